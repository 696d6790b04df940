"""The verdict on gradients follows the network, not the units in which its loss happens to be measured.

And the trap: gradients of the weights that are flat over the depth while δ vanishes (Glorot & Bengio 2010, eq. 14).
"""

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

import gradlab
from gradlab import datasets
from gradlab.config import Config
from gradlab.diagnosis import NotApplicable, examine
from gradlab.measures.profiles import profiles
from gradlab.networks.mlp import build_mlp
from gradlab.recording.recorder import Recorder
from gradlab.tables import Tables, layers_frame
from gradlab.training import Data, batches

GRADIENT_RULES = ("vanishing-gradient", "exploding-gradient", "gradient-underflow")
STEPS = 6
NETWORKS = {
    "vanishing-gradient": {"activation": "sigmoid", "initializer": "glorot_uniform", "depth": 8},
    "exploding-gradient": {"activation": "identity", "initializer": "he_normal", "depth": 20},
    "healthy": {"activation": "tanh", "initializer": "glorot_uniform", "depth": 10},
}


def trained(model, *, batch_size=64, scale=1.0, reduction="mean"):
    """A few steps of a loss that is scaled, with the learning rate divided by as much."""
    config = Config.model_validate({"model": {"width": 128, **model}, "data": {"batch_size": batch_size}})
    dataset = datasets.load(config.data, config.seed)
    data = Data.on(torch.device("cpu"), torch.float32, dataset)
    network = build_mlp(
        config.model,
        features=dataset.features,
        classes=dataset.classes,
        seed=config.seed,
        dtype=torch.float32,
        device=torch.device("cpu"),
    )
    divisor = scale * (batch_size if reduction == "sum" else 1)
    optimizer = torch.optim.SGD(network.parameters(), lr=0.01 / divisor)
    records = []
    with Recorder(network, [optimizer], emit=records.append):
        for _, (_, x, y) in zip(range(STEPS), batches(data.train, batch_size, config.seed), strict=False):
            optimizer.zero_grad()
            (functional.cross_entropy(network(x), y, reduction=reduction) * scale).backward()
            optimizer.step()
    return Tables(layers=layers_frame([record.rows for record in records]), config=config)


def gradient_findings(tables):
    """Of the rules on gradients: rule, severity, layers, steps and the measured slope to three digits."""
    answers = examine(tables)
    return [
        (one.rule, one.severity, one.layers, one.steps, f"{one.measured.get('decades_per_layer', 0):.3g}")
        for rule in GRADIENT_RULES
        if not isinstance(found := answers[rule], NotApplicable)
        for one in found
    ]


def verdict(tables):
    found = gradient_findings(tables)
    assert len(found) <= 1, found
    return found[0][:2] if found else ("healthy", None)


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize(("scale", "reduction"), [(1e-4, "mean"), (1e4, "mean"), (1.0, "sum")])
def test_the_scale_of_the_loss_changes_nothing(name, scale, reduction):
    plain = gradient_findings(trained(NETWORKS[name]))
    assert [found[0] for found in plain] == ([] if name == "healthy" else [name])
    assert gradient_findings(trained(NETWORKS[name], scale=scale, reduction=reduction)) == plain


@pytest.mark.parametrize("name", NETWORKS)
def test_the_batch_size_changes_no_verdict(name):
    few, many = (verdict(trained(NETWORKS[name], batch_size=size)) for size in (16, 512))
    assert few == many == (name, None if name == "healthy" else "error")


@pytest.mark.parametrize(
    "model",
    [
        {"activation": "relu", "initializer": "glorot_uniform", "depth": 20},
        {"activation": "tanh", "initializer": "pytorch_default", "depth": 10},
    ],
    ids=["relu", "tanh"],
)
def test_vanishing_is_found_where_weight_gradients_are_flat(model):
    tables = trained(model)
    assert verdict(tables) == ("vanishing-gradient", "error")
    delta, weights = (
        np.log10(profiles(tables.layers, column, ["weight"]).values_TL[0, 1:])
        for column in ("delta_rms", "weight_gradient_norm")
    )
    assert delta[-1] - delta[0] > 1.8  # decades over the inner layers
    assert np.ptp(weights) < 0.5


# ------------------------------------------------------------------------------------------------- every other rule

BATCH = torch.randn(256, 8, generator=torch.Generator().manual_seed(0))
LABELS = BATCH[:, :3].argmax(1)


class Troubled(nn.Module):
    """A classifier with a second output, and one trouble."""

    def __init__(self, trouble):
        super().__init__()
        torch.manual_seed(3)
        self.trouble = trouble
        self.first, self.second, self.out, self.other = (
            nn.Linear(*size) for size in ((8, 16), (16, 16), (16, 3), (16, 1))
        )
        self.squash, self.relu = nn.Tanh(), nn.ReLU()
        self.hidden = [nn.Linear(16, 16)]
        with torch.no_grad():
            if trouble == "symmetric-units":
                for each in self.first, self.second:
                    each.weight.fill_(0.1)
                    each.bias.zero_()
            if trouble == "saturated-activations":
                self.first.weight *= 100
            if trouble == "dead-units":
                self.second.bias.fill_(-100)

    def forward(self, x):
        h = self.squash(self.first(x * 5000 if self.trouble == "unscaled-inputs" else x))
        h = self.relu(self.second(h.detach() if self.trouble == "no-gradient" else h))
        h = h + self.hidden[0](h) if self.trouble == "unregistered-parameters" else h
        scores = self.out(h)
        return scores.softmax(1) if self.trouble == "output-mismatch" else scores, self.other(h)


TROUBLES = (
    "no-gradient", "unregistered-parameters", "output-mismatch", "not-optimized", "gradients-not-cleared",
    "symmetric-units", "saturated-activations", "dead-units", "unscaled-inputs", "updates-too-large", "stalled-loss",
    "updates-too-small", "nothing",
)  # fmt: skip


def troubles_of(trouble, *, scale=1.0, batch=64, weight=0.01):
    """Rules with a warning or an error about a training of 110 steps, whose loss has a second term of some weight."""
    model = Troubled(trouble)
    rate = {"updates-too-large": 30.0, "stalled-loss": 1e-7, "updates-too-small": 1e-7}.get(trouble, 0.1) / scale
    held = [*model.first.parameters()] if trouble == "not-optimized" else [*model.parameters()]
    optimizer = torch.optim.SGD(held, lr=rate)
    generator = torch.Generator().manual_seed(1)
    with gradlab.watch(model, optimizer) as recorder:
        for _ in range(110):
            chosen = torch.randint(0, 256, (batch,), generator=generator)
            scores, other = model(BATCH[chosen])
            loss = functional.cross_entropy(scores, LABELS[chosen])
            loss = loss + weight * functional.mse_loss(other, BATCH[chosen, :1])
            if trouble != "gradients-not-cleared":
                model.zero_grad()
            (scale * loss).backward()
            optimizer.step()
    return {finding.rule for finding in recorder.diagnose() if finding.severity != "info"}


@pytest.mark.slow
@pytest.mark.parametrize("trouble", TROUBLES)
def test_no_unit_of_the_loss_no_batch_and_no_second_loss_changes_what_is_found(trouble):
    plain = troubles_of(trouble)
    assert trouble in plain or trouble == "nothing"
    for scale in (1e-4, 1e4):
        assert troubles_of(trouble, scale=scale) == plain
    for batch in (32, 256):  # of fewer samples, nobody knows whether a unit is dead
        assert (trouble in troubles_of(trouble, batch=batch)) == (trouble in plain)
    assert (trouble in troubles_of(trouble, weight=0.5)) == (trouble in plain)
