"""One seed: the same training alone, with a spy, and watched; what gradlab says must be what the spy has seen."""

import math
import random
import warnings

import torch

import gradlab
from tests.recording.fuzz.loops import Loop
from tests.recording.fuzz.spy import Nobody, Spy, row_of_parameters

NULL_MATTERS = ("weight_gradient_norm", "update_ratio", "weight_norm", "delta_rms")


def close(got, want, tolerance=1e-5):
    if got is None or want is None:
        return got is None and want is None
    if math.isnan(got) and math.isnan(want):
        return True
    return got == want or abs(got - want) <= tolerance * max(abs(got), abs(want), 1e-9)


def state(loop):
    return [p.detach().clone() for p in loop.model.parameters()] + [b.clone() for b in loop.model.buffers()]


def equal(one, other):
    return one.shape == other.shape and torch.equal(one.nan_to_num(0.5), other.nan_to_num(0.5))


def hooks_left(model):
    kinds = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_forward_hooks_always_called")
    on_modules = sum(len(getattr(module, kind)) for module in model.modules() for kind in kinds)
    on_parameters = sum(len(p._post_accumulate_grad_hooks or ()) for p in model.parameters())
    lazy = sum(isinstance(p, torch.nn.parameter.UninitializedParameter) for p in model.parameters())
    return 0 if lazy else on_modules + on_parameters


def check(seed, **options):
    """The disagreements of one seed, each a tuple that begins with its kind, and the loop."""
    alone, spied, watched = (Loop(seed, **options) for _ in range(3))
    alone.run(Nobody())
    spy = Spy(spied.model)
    spied.run(spy)
    every = random.Random(seed + 3).choice([1, 1, 1, 2, 3])
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        with gradlab.watch(watched.model, watched.optimizers, every=every) as recorder:
            watched.run(Nobody())
        rows, steps = recorder.layers.to_dicts(), recorder.steps.to_dicts()
    problems = [("warned", str(w.message)) for w in said if "gradlab" in str(w.message)]
    if not all(equal(a, b) for a, b in zip(state(alone), state(watched), strict=True)):
        problems.append(("training differs",))
    if hooks_left(watched.model):
        problems.append(("hooks left",))
    recorded = range(0, len(spy.steps), every)
    if [step["step"] for step in steps] != list(recorded):
        problems.append(("steps", [step["step"] for step in steps], len(spy.steps), every))
        return problems, watched
    for got, want in zip(steps, spy.steps[::every], strict=True):
        problems += [(k, got["step"], got[k], want[k]) for k in want if not close(got[k], want[k])]
    for number in recorded:
        outputs, weights = spy.rows[number]
        of_step = {row["module"]: row for row in rows if row["step"] == number and ":" not in row["module"]}
        problems += _check_step(number, of_step, outputs, weights)
        last = number == len(spy.rows) - 1  # the model may have been changed since an earlier step
        problems += _check_parameters(spied.model if last else None, of_step, outputs, spy, number)
    return problems, watched


def _check_step(number, rows, outputs, weights):
    for name, row in rows.items():
        if name not in outputs and row["calls"]:
            yield "row of nothing", number, name
            continue
        for column, want in {**outputs.get(name, {}), **weights.get(name, {})}.items():
            got = row[column]
            if not close(got, want, 1e-4 if column == "update_ratio" else 1e-5):
                kind = f"{column} null" if column in NULL_MATTERS and got is None else column
                yield kind, number, name, got, want
    for name in weights:
        if name in outputs and name not in rows:
            yield "no row", number, name


def _check_parameters(model, rows, outputs, spy, number):
    total = math.sqrt(sum((row["parameter_gradient_norm"] or 0.0) ** 2 for row in rows.values()))
    if not close(total, spy.steps[number]["gradient_norm"]):
        yield "coverage", number, total, spy.steps[number]["gradient_norm"]
    if model is None:
        return
    norms = spy.gradients_of_steps[number]
    squares = {}
    for parameter, row in row_of_parameters(model, outputs, rows).items():
        if parameter in norms:
            squares[row] = squares.get(row, 0.0) + norms[parameter] ** 2
    for name, row in rows.items():
        want = math.sqrt(squares[name]) if name in squares else None
        if not close(row["parameter_gradient_norm"], want):
            yield "parameter_gradient_norm", number, name, row["parameter_gradient_norm"], want
