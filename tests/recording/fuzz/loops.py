"""Random models under random training loops.

A `Loop` is made of a seed: a tree of modules, optimizers, and what happens in each step. `Loop.run` trains, and tells a
spy what an ideal observer would know. Trained alone, with a spy or while gradlab watches, it does the same to the bit.
"""

import contextlib
import random

import torch
from torch import nn
from torch.nn import functional

from tests.recording.fuzz.pieces import BATCH, PIECES, WIDTH, WRAPPERS, tree
from tests.recording.fuzz.spy import is_lazy

ACTIONS = [
    "accumulate", "clip", "evaluate", "penalty", "twice", "grad after", "freeze", "unfreeze", "replace", "add",
    "closure", "lbfgs", "sam", "exception", "abandon", "sloppy evaluation", "hand grad", "grad only", "set to zero",
    "late zero",
    "scaler", "eval mode", "super step", "memory format", "two optimizers", "adversary", "autocast",
]  # fmt: skip
ALONE = ("closure", "lbfgs", "sam", "scaler", "grad only", "adversary", "two optimizers")
"""Kinds of loops, of which there is one at a time."""


class Derived(torch.optim.SGD):
    """A class whose `step` calls that of the class that it is derived from."""

    def step(self, closure=None):
        return super().step(closure)


class Twice(torch.optim.SGD):
    """Sharpness-aware minimization: the update is made from the second evaluation, at weights moved uphill."""

    @torch.no_grad()
    def step(self, closure=None):
        parameters = [p for group in self.param_groups for p in group["params"]]
        with torch.enable_grad():
            closure()
        before = [p.detach().clone() for p in parameters]
        for p in parameters:
            if p.grad is not None:
                p.add_(p.grad, alpha=0.05)
        with torch.enable_grad():
            closure()
        for p, old in zip(parameters, before, strict=True):
            p.copy_(old)
            if p.grad is not None:
                p.add_(p.grad, alpha=-0.05)


class Loop:
    """A random training.

    Args:
        seed: makes everything.
        pieces: of which the model may be made.
        actions: what may happen.
        steps: how many.
    """

    def __init__(self, seed, pieces=(*PIECES, *WRAPPERS), actions=ACTIONS, steps=4):
        r = random.Random(seed)
        self.seed, self.steps, self.pieces = seed, steps, list(pieces)
        self.chosen = self._choose(r, list(actions))
        pieces = [piece for piece in pieces if piece not in self._unsuitable()]
        torch.manual_seed(seed)
        self.model = nn.Sequential(*(tree(r, pieces) for _ in range(r.randint(1, 3))), nn.Linear(WIDTH, 2))
        for parameter in self.model.parameters():
            if r.random() < 0.08 and not is_lazy(parameter):
                parameter.requires_grad_(False)
        self.model[-1].requires_grad_(True)
        trained = [p for p in self.model.parameters() if p.requires_grad]
        self.optimizers = self._make_optimizers(r, trained)
        self.data = torch.Generator().manual_seed(seed)

    def _choose(self, r, actions):
        chosen = set(r.sample(actions, min(r.randint(0, 3), len(actions))))
        alone = [action for action in ALONE if action in chosen]
        chosen -= set(alone[1:])
        if chosen & {"closure", "lbfgs", "sam"}:
            chosen -= {"accumulate", "clip", "penalty", "twice", "grad after", "hand grad", "late zero"}
        if chosen & {"scaler", "grad only", "adversary", "two optimizers", "lbfgs", "sam"}:
            chosen -= {"hand grad", "unfreeze", "replace", "add", "super step"}
        if chosen & {"grad only", "adversary"}:
            chosen -= {"accumulate", "penalty", "twice", "grad after", "abandon", "late zero", "clip"}
        if "adversary" in chosen:
            chosen -= {"exception", "sloppy evaluation"}
        if "hand grad" in chosen:
            chosen -= {"clip"}  # what was clipped and then set is what the optimizer gets
        if chosen & {"freeze", "unfreeze"} == {"freeze", "unfreeze"}:
            chosen -= {"freeze"}
        return chosen

    def _unsuitable(self):
        """Pieces that PyTorch itself cannot train so."""
        chosen = self.chosen
        unsuitable = set()
        if "penalty" in chosen:
            unsuitable |= {"attention", "recurrent", "sparse"}
        if chosen & {"scaler", "lbfgs", "sam", "hand grad", "grad only", "set to zero"}:
            unsuitable |= {"complex", "sparse"}
        if "lbfgs" in chosen:
            unsuitable |= {"image", "volume"}
        if "autocast" in chosen:
            unsuitable |= {"complex", "sparse", "negative"}
        if chosen & {"penalty", "twice", "grad after", "grad only"}:
            unsuitable |= {"reentrant"}
        if chosen & {"clip", "grad after", "adversary"}:
            unsuitable |= {"sparse"}
        if chosen & {"twice", "grad after", "penalty"}:
            unsuitable |= {"spectral", "weight norm"} if "eval mode" in chosen else set()
        return unsuitable

    def _make_optimizers(self, r, trained):
        kinds = [torch.optim.SGD, torch.optim.Adam, torch.optim.AdamW]
        if any(isinstance(module, nn.Embedding) and module.sparse for module in self.model.modules()):
            kinds = kinds[:1]
        kind = r.choice(kinds)
        if "lbfgs" in self.chosen:
            return [torch.optim.LBFGS(trained, lr=0.1, max_iter=3)]
        if "sam" in self.chosen:
            return [Twice(trained, lr=0.05)]
        if "super step" in self.chosen:
            torch.optim.SGD([torch.zeros(1)], lr=1.0)  # from then on PyTorch calls the hooks of both classes
            return [Derived(trained, lr=0.01)]
        if self.chosen & {"two optimizers", "adversary"}:
            last = set(self.model[-1].parameters())
            others = [p for p in trained if p not in last]
            if others:
                return [kind([p for p in trained if p in last], lr=0.01), kind(others, lr=0.01)]
            self.chosen -= {"two optimizers", "adversary"}
        return [kind(trained, lr=0.01)]

    # ---------------------------------------------------------------------------------------------------------- parts

    def batch(self):
        x = torch.randn(BATCH, WIDTH, generator=self.data)
        return x, torch.randint(0, 2, (BATCH,), generator=self.data)

    def loss(self, x, y):
        with self.precision():
            return functional.cross_entropy(self.model(x), y)

    def precision(self):
        """Mixed precision, or none."""
        return torch.autocast("cpu", torch.bfloat16, enabled="autocast" in self.chosen)

    def zero(self):
        for optimizer in self.optimizers:
            optimizer.zero_grad(set_to_none="set to zero" not in self.chosen)

    def trained(self):
        return [p for p in self.model.parameters() if p.requires_grad]

    # ----------------------------------------------------------------------------------------------------------- run

    def run(self, spy):
        """Train, and tell the spy."""
        r = random.Random(self.seed + 1)
        torch.manual_seed(self.seed + 2)
        self.scaler = torch.amp.GradScaler("cpu", init_scale=2.0**10, growth_interval=2)
        for step in range(self.steps):
            self._change(step, r, spy)
            if "late zero" not in self.chosen:
                self.zero()
            self._before(r, spy)
            kind = next((kind for kind in ALONE if kind in self.chosen), "usual")
            getattr(self, "_" + kind.replace(" ", "_"))(r, spy)

    def _change(self, step, r, spy):
        model, chosen, optimizer = self.model, self.chosen, self.optimizers[0]
        if "eval mode" in chosen:
            model.train(r.random() < 0.5)
        if step == 1 and "freeze" in chosen:
            next(p for p in model.parameters() if not is_lazy(p)).requires_grad_(False)
        if step == 2 and "unfreeze" in chosen:
            known = {p for group in optimizer.param_groups for p in group["params"]}
            for parameter in model.parameters():
                parameter.requires_grad_(True)
                if parameter not in known:
                    optimizer.add_param_group({"params": [parameter]})
        if step == 2 and chosen & {"replace", "add"}:
            new = nn.Linear(WIDTH, WIDTH)
            model[0] = new if "replace" in chosen else nn.Sequential(model[0], new)
            optimizer.add_param_group({"params": list(new.parameters())})
            spy.watch()
        if step == 2 and "memory format" in chosen:
            for module in model.modules():
                if isinstance(module, nn.Conv2d):
                    module.to(memory_format=torch.channels_last)

    def _before(self, r, spy):
        """What may come before a step."""
        chosen = self.chosen
        if "evaluate" in chosen and r.random() < 0.7:
            with torch.no_grad():
                self.loss(*self.batch())
        if "sloppy evaluation" in chosen and r.random() < 0.7:
            training = self.model.training
            self.model.eval()
            self.loss(*self.batch())
            self.model.train(training)
            spy.given_up()
        if "exception" in chosen and r.random() < 0.5:
            with contextlib.suppress(ValueError):
                self._fail(r)
            spy.given_up()
        if "abandon" in chosen and r.random() < 0.5:
            self.loss(*self.batch()).backward()
            self.zero()
            spy.given_up()

    def _fail(self, r):
        """An error somewhere in a forward pass."""

        def fail(module, inputs):
            raise ValueError("a batch that is no good")

        handle = r.choice(list(self.model)).register_forward_pre_hook(fail)
        try:
            self.model(self.batch()[0])
        finally:
            handle.remove()

    # ----------------------------------------------------------------------------------------------- kinds of a step

    def _usual(self, r, spy):
        optimizer, chosen = self.optimizers[0], self.chosen
        self._passes(r, spy, lambda loss: loss)
        if "hand grad" in chosen:
            for parameter in self.trained():
                if parameter.grad is not None:
                    parameter.grad = parameter.grad * 0.5
        spy.before_step()
        self._clip()
        optimizer.step()
        spy.step_done()

    def _clip(self):
        if "clip" in self.chosen:
            nn.utils.clip_grad_norm_([p for p in self.model.parameters() if p.grad is not None], 0.05)

    def _passes(self, r, spy, scale):
        """Forward and backward passes."""
        chosen = self.chosen
        for number in range(r.randint(2, 3) if "accumulate" in chosen else 1):
            x, y = self.batch()
            x.requires_grad_("penalty" in chosen)
            loss = self.loss(x, y)
            if "late zero" in chosen and number == 0:
                self.zero()
            if "penalty" in chosen:
                with spy.pause():
                    (gradient,) = torch.autograd.grad(loss, x, create_graph=True)
                loss = loss + 0.1 * gradient.square().sum()
            spy.backward(loss)
            scale(loss).backward(retain_graph=bool(chosen & {"twice", "grad after"}))
            if "twice" in chosen:
                spy.backward(loss)
                scale(loss).backward()
            elif "grad after" in chosen:
                with spy.pause():
                    torch.autograd.grad(loss, self.trained(), allow_unused=True)

    def _scaler(self, r, spy):
        """With a scaler, which skips a step when there is an infinity."""
        scaler, (optimizer,) = self.scaler, self.optimizers
        if r.random() < 0.4:
            self._passes(r, spy, lambda loss: scaler.scale(loss * float("inf")))
            spy.given_up()
            scaler.step(optimizer)
            scaler.update()
            if "late zero" not in self.chosen:
                self.zero()
        self._passes(r, spy, scaler.scale)
        spy.scale = scaler.get_scale()
        spy.before_step()
        if "clip" in self.chosen:
            scaler.unscale_(optimizer)
            self._clip()
        scaler.step(optimizer)
        scaler.update()
        spy.step_done()

    def _closure(self, r, spy):
        """An optimizer with a closure, which it calls once."""
        spy.before_step(gradients=False)
        self.optimizers[0].step(self._evaluation(spy))
        spy.step_done()

    def _sam(self, r, spy):
        """An optimizer that calls the closure twice; the update is made from the second evaluation."""
        spy.before_step(gradients=False)
        self.optimizers[0].step(self._evaluation(spy))
        spy.step_done()

    def _lbfgs(self, r, spy):
        """An optimizer that calls the closure several times; the direction is made from the first evaluation."""
        spy.before_step(gradients=False)
        self.optimizers[0].step(self._evaluation(spy, only_first=True))
        spy.closed = False
        spy.step_done()

    def _evaluation(self, spy, *, only_first=False):
        x, y = self.batch()

        def closure():
            self.zero()
            if not spy.closed:
                spy.given_up()
            loss = self.loss(x, y)
            spy.backward(loss)
            loss.backward()
            if not spy.closed:
                spy.see_gradients()
            spy.closed = only_first
            return loss

        return closure

    def _grad_only(self, r, spy):
        """Gradients by `torch.autograd.grad`, put in place by hand."""
        loss = self.loss(*self.batch())
        spy.backward(loss)
        parameters = self.trained()
        for parameter, gradient in zip(
            parameters, torch.autograd.grad(loss, parameters, allow_unused=True), strict=True
        ):
            parameter.grad = gradient
        spy.before_step()
        self.optimizers[0].step()
        spy.step_done()

    def _two_optimizers(self, r, spy):
        """Two optimizers after the same backward passes."""
        self._passes(r, spy, lambda loss: loss)
        spy.before_step()
        self._clip()
        for optimizer in self.optimizers:
            optimizer.step()
        spy.step_done()

    def _adversary(self, r, spy):
        """The last module is trained against the others, as the discriminator of a GAN is."""
        *generator, judge = self.model
        first, second = self.optimizers
        x, y = self.batch()
        with self.precision():
            made = nn.Sequential(*generator)(x)
            loss = functional.cross_entropy(judge(made.detach()), y)
        spy.backward(loss)
        loss.backward()
        spy.before_step(list(judge.parameters()))
        first.step()
        spy.close("" if not generator else str(len(generator)))
        second.zero_grad()
        with self.precision():
            loss = functional.cross_entropy(judge(nn.Sequential(*generator)(x)), 1 - y)
        spy.backward(loss)
        loss.backward()
        spy.before_step([p for part in generator for p in part.parameters()])
        second.step()
        spy.step_done()
