"""A second derivation of everything the recorder reports: forward and backward by hand, NumPy, float64.

Shares nothing with gradlab but the exported weights. Letters: B samples, N units.
"""

from dataclasses import dataclass, field

import numpy as np

EPS = 1e-5  # torch.nn.BatchNorm1d's default

ACTIVATIONS = {
    "identity": (lambda h: h, np.ones_like),
    "tanh": (np.tanh, lambda h: 1 - np.tanh(h) ** 2),
    "relu": (lambda h: np.where(h > 0, h, 0.0), lambda h: np.where(h > 0, 1.0, 0.0)),
    "sigmoid": (lambda h: 1 / (1 + np.exp(-h)), lambda h: np.exp(-h) / (1 + np.exp(-h)) ** 2),
}


@dataclass
class Trace:
    """By module name: its output, its input where it is an activation, δ at its output; by parameter: its gradient."""

    outputs: dict = field(default_factory=dict)
    inputs: dict = field(default_factory=dict)
    deltas: dict = field(default_factory=dict)
    gradients: dict = field(default_factory=dict)
    loss: float = 0.0


def batch_norm(x_BN, weight, bias):
    mean, variance = x_BN.mean(0), x_BN.var(0)
    normalized = (x_BN - mean) / np.sqrt(variance + EPS)
    return normalized * weight + bias, normalized, np.sqrt(variance + EPS)


def batch_norm_backward(delta_BN, normalized, std, weight):
    d = delta_BN * weight
    return (d - d.mean(0) - normalized * (d * normalized).mean(0)) / std


def trace(state, *, depth, activation, batch_norm_place, residual, x, y):
    """Forward and backward through gradlab's MLP, from its state_dict as NumPy arrays."""
    phi, slope = ACTIVATIONS[activation]
    t = Trace()
    saved = []
    for layer in range(depth):
        linear, norm, act = (f"hidden.{layer}.{part}" for part in ("linear", "norm", "activation"))
        entered = x
        h = t.outputs[linear] = x @ state[f"{linear}.weight"].T + state[f"{linear}.bias"]
        stats = None
        if batch_norm_place == "before":
            h, *stats = batch_norm(h, state[f"{norm}.weight"], state[f"{norm}.bias"])
            t.outputs[norm] = h
        t.inputs[act] = h
        out = t.outputs[act] = phi(h)
        if batch_norm_place == "after":
            out, *stats = batch_norm(out, state[f"{norm}.weight"], state[f"{norm}.bias"])
            t.outputs[norm] = out
        skips = residual and entered.shape == out.shape
        x = out + entered if skips else out
        if skips:
            t.outputs[f"hidden.{layer}"] = x
        saved.append((entered, h, stats, skips))
    logits = t.outputs["output"] = x @ state["output.weight"].T + state["output.bias"]

    shifted = logits - logits.max(1, keepdims=True)
    log_p = shifted - np.log(np.exp(shifted).sum(1, keepdims=True))
    rows = np.arange(len(y))
    t.loss = -log_p[rows, y].mean()
    delta = np.exp(log_p)
    delta[rows, y] -= 1
    delta /= len(y)
    t.deltas["output"] = delta
    t.gradients["output.weight"], t.gradients["output.bias"] = delta.T @ x, delta.sum(0)
    delta = delta @ state["output.weight"]

    for layer in reversed(range(depth)):
        linear, norm, act = (f"hidden.{layer}.{part}" for part in ("linear", "norm", "activation"))
        entered, h, stats, skips = saved[layer]
        through = delta
        if skips:
            t.deltas[f"hidden.{layer}"] = through
        if batch_norm_place == "after":
            normalized, std = stats
            t.deltas[norm] = through
            t.gradients[f"{norm}.weight"], t.gradients[f"{norm}.bias"] = (through * normalized).sum(0), through.sum(0)
            through = batch_norm_backward(through, normalized, std, state[f"{norm}.weight"])
        t.deltas[act] = through
        through = through * slope(h)
        if batch_norm_place == "before":
            normalized, std = stats
            t.deltas[norm] = through
            t.gradients[f"{norm}.weight"], t.gradients[f"{norm}.bias"] = (through * normalized).sum(0), through.sum(0)
            through = batch_norm_backward(through, normalized, std, state[f"{norm}.weight"])
        t.deltas[linear] = through
        t.gradients[f"{linear}.weight"], t.gradients[f"{linear}.bias"] = through.T @ entered, through.sum(0)
        delta = through @ state[f"{linear}.weight"] + (delta if skips else 0)
    return t
