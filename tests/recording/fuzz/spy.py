"""An observer of its own: hooks that share nothing with gradlab keep every tensor in float64; NumPy does the rest."""

import contextlib

import numpy as np
import torch

from tests.recording.fuzz.pieces import Reentrant


def whole(x):
    """The entries of any tensor, complex ones as two each."""
    x = x.detach()
    if x.is_sparse:
        x = x.to_dense()
    if x.is_complex():
        x = torch.view_as_real(x.resolve_conj())
    return x.resolve_neg().double().cpu().numpy().reshape(-1).copy()


def is_lazy(parameter):
    return isinstance(parameter, torch.nn.parameter.UninitializedParameter)


class Nobody:
    """Is told the same, and does nothing."""

    scale, closed = 1.0, False

    def __getattr__(self, name):
        return contextlib.nullcontext if name == "pause" else lambda *arguments, **options: None


class Spy:
    """Watches a loop.

    Attributes:
        steps: the loss and the norm of the gradient of each step.
        rows: what is known of each module in each step: of its outputs, and of its weights.
        gradients_of_steps: the norms of the gradients of all parameters in each step, by the parameters' names.
        scale: what the loss is multiplied with.
        closed: whether what is computed does not count.
    """

    def __init__(self, model):
        self.model = model
        self.steps, self.rows, self.gradients_of_steps = [], [], []
        self.scale, self.closed, self.paused = 1.0, False, False
        self.handles = []
        self.gradients, self.weights = {}, {}
        self.closed_modules = set()
        self.forget()
        self.watch()

    def watch(self):
        """Look at the modules that there are now."""
        for handle in self.handles:
            handle.remove()
        self.handles = [m.register_forward_hook(self.hook(name)) for name, m in self.model.named_modules()]

    def forget(self):
        self.outputs, self.losses = {}, []

    def hook(self, name):
        def on_output(module, inputs, output):
            x = output[0] if isinstance(output, tuple) else output
            if self.closed or name in self.closed_modules or not torch.is_grad_enabled():
                return
            again = torch._C._current_graph_task_id() != -1 and not Reentrant.again
            if again or not x.numel():  # checkpointing computes what was seen before
                return
            record = {"x": whole(x), "delta": None}
            self.outputs.setdefault(name, []).append(record)
            if x.requires_grad:
                x.register_hook(lambda delta: self.take_delta(name, record, delta))

        return on_output

    def take_delta(self, name, record, delta):
        if not self.paused and not self.closed and name not in self.closed_modules:
            record["delta"] = whole(delta) + (0 if record["delta"] is None else record["delta"])

    # ------------------------------------------------------------------------------------------ what the loop tells

    @contextlib.contextmanager
    def pause(self):
        """What is differentiated now is not for the update."""
        self.paused = True
        yield
        self.paused = False

    def given_up(self):
        self.forget()

    def backward(self, loss):
        if not self.closed:
            self.losses.append(float(loss.detach()))

    def close(self, name):
        """What a module does from now on was not seen by its optimizer."""
        self.closed_modules.add(name)

    def see_gradients(self, parameters=None):
        """The gradients are now as the optimizer gets them."""
        chosen = None if parameters is None else set(parameters)
        for name, p in self.model.named_parameters():
            if chosen is None or p in chosen:
                self.gradients[name] = None if p.grad is None else whole(p.grad) / self.scale

    def before_step(self, parameters=None, *, gradients=True):
        if gradients:
            self.see_gradients(parameters)
        chosen = None if parameters is None else set(parameters)
        self.lazy = {name for name, p in self.model.named_parameters() if is_lazy(p)}
        for name, p in self.model.named_parameters():
            if not is_lazy(p) and (chosen is None or p in chosen):
                self.weights[name] = whole(p)

    def step_done(self):
        after = {name: whole(p) for name, p in self.model.named_parameters()}
        for name, weight in after.items():
            self.weights.setdefault(name, weight)  # nobody has updated it
        norms = {name: np.sqrt((g**2).sum()) for name, g in self.gradients.items() if g is not None and g.size}
        self.gradients_of_steps.append(norms)
        self.steps.append({"loss": sum(self.losses), "gradient_norm": np.sqrt(sum(n**2 for n in norms.values()))})
        self.rows.append(
            ({name: self.outputs_of(records) for name, records in self.outputs.items()}, self.of_weights(after))
        )
        self.gradients, self.weights = {}, {}
        self.closed_modules.clear()
        self.forget()

    # ---------------------------------------------------------------------------------------------- what comes of it

    def outputs_of(self, records):
        x = np.concatenate([record["x"] for record in records])
        deltas = [record["delta"] for record in records if record["delta"] is not None]
        delta = np.concatenate(deltas) / self.scale if deltas else None
        return {
            "calls": len(records),
            "activation_mean": x.mean(),
            "activation_std": x.std(),
            "activation_rms": np.sqrt((x**2).mean()),
            "activation_min": x.min(),
            "activation_max": x.max(),
            "zero_fraction": (x == 0).mean(),
            "delta_rms": None if delta is None else np.sqrt((delta**2).mean()),
        }

    def of_weights(self, after):
        found = {}
        if self.lazy:  # before a closure had made the weights
            return found
        for name, module in self.model.named_modules():
            own = dict(module.named_parameters(recurse=False))
            if "weight" in own:
                own = {"weight": own["weight"]}
            elif any(p.ndim >= 2 for p in own.values()):
                own = {key: p for key, p in own.items() if p.ndim >= 2}
            names = [self.first_name(p) for p in own.values()]
            if not names or not all(n in self.weights and self.weights[n].size for n in names):
                continue
            norm = np.sqrt(sum((self.weights[n] ** 2).sum() for n in names))
            gradients = [g for n in names if (g := self.gradients.get(n)) is not None]
            change = np.sqrt(sum(((after[n] - self.weights[n]) ** 2).sum() for n in names))
            found[name] = {
                "weight_norm": norm,
                "weight_gradient_norm": np.sqrt(sum((g**2).sum() for g in gradients)) if gradients else None,
                "update_ratio": change / norm if gradients and norm > 0 else None,
            }
        return found

    def first_name(self, parameter):
        """The name of a parameter; of a tied one, the first."""
        return next(name for name, p in self.model.named_parameters() if p is parameter)


def row_of_parameters(model, outputs, rows):
    """Which parameters each row has, by the law of design: by name of the module.

    Args:
        model: the model.
        outputs: what has computed something in the step, in that order.
        rows: the names of the modules that have rows.
    """
    order = {name: place for place, name in enumerate(outputs)}
    found = {}
    for name, parameter in model.named_parameters():
        owners = [
            path
            for path, module in model.named_modules()
            if any(p is parameter for p in module.parameters(recurse=False))
        ]
        ran = [owner for owner in owners if owner in order and owner in rows]
        if ran:
            found[name] = min(ran, key=order.__getitem__)
            continue
        around = [path for owner in owners for path in upwards(owner) if path in rows]
        found[name] = around[0] if around else None
    return found


def upwards(name):
    while name:
        yield name
        name = name.rpartition(".")[0]
    yield ""
