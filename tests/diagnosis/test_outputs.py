"""Outputs that do not fit their loss, in short trainings, beside those that do."""

import polars as pl
import pytest
import torch
from torch import nn
from torch.nn import functional

from gradlab.tables import Tables
from tests.diagnosis.short_trainings import CLASSES, NUMBERS, X, findings, net
from tests.diagnosis.tables import assert_clean, found, geometric, tables

ONE_HOT = functional.one_hot(CLASSES, 3).float()
MISMATCHED = {
    "softmax before cross-entropy": (net(3, nn.Softmax(1)), lambda y: functional.cross_entropy(y, CLASSES)),
    "the same in float64": (net(3, nn.Softmax(1)), lambda y: functional.cross_entropy(y.double(), CLASSES)),
    "the same, smoothed": (
        net(3, nn.Softmax(1)), lambda y: functional.cross_entropy(y, CLASSES, label_smoothing=0.1),
    ),
    "sigmoid before cross-entropy": (net(3, nn.Sigmoid()), lambda y: functional.cross_entropy(y, CLASSES)),
    "tanh before cross-entropy": (net(3, nn.Tanh()), lambda y: functional.cross_entropy(y, CLASSES)),
    "tanh before logits": (
        net(1, nn.Tanh()), lambda y: functional.binary_cross_entropy_with_logits(y[:, 0], (CLASSES > 0).float()),
    ),
    "binary targets beyond 1": (
        net(1), lambda y: functional.binary_cross_entropy_with_logits(y, 200 + 50 * NUMBERS),
    ),
    "divergence of probabilities": (
        net(3, nn.Softmax(1)), lambda y: functional.kl_div(y, ONE_HOT * 0.9 + 0.03, reduction="batchmean"),
    ),
    "ReLU before cross-entropy": (net(3, nn.ReLU()), lambda y: functional.cross_entropy(y, CLASSES)),
    "softmax before a weighted sum": (
        net(3, nn.Softmax(1)), lambda y: 0.5 * functional.cross_entropy(y, CLASSES) + 0.1 * y.square().mean(),
    ),
    "sigmoid before logits": (
        net(1, nn.Sigmoid()),
        lambda y: functional.binary_cross_entropy_with_logits(y[:, 0], (CLASSES > 0).float()),
    ),
    "nll of logits": (net(3), lambda y: functional.nll_loss(y, CLASSES)),
    "nll of probabilities": (net(3, nn.Softmax(1)), lambda y: functional.nll_loss(y, CLASSES)),
    "regression on entries of a softmax": (
        net(3, nn.Softmax(1)), lambda y: functional.mse_loss(y.gather(1, CLASSES[:, None])[:, 0], 5 * NUMBERS[:, 0]),
    ),
    "targets beyond a sigmoid": (net(1, nn.Sigmoid()), lambda y: functional.mse_loss(y, 10 + NUMBERS)),
    "targets beyond a tanh": (net(1, nn.Tanh()), lambda y: functional.mse_loss(y, 10 + NUMBERS)),
    "broadcast by mse_loss": (net(1), lambda y: functional.mse_loss(y, NUMBERS[:, 0])),
    "broadcast by hand": (net(1), lambda y: (y - NUMBERS[:, 0]).square().mean()),
    "broadcast in one of several losses": (
        net(1), lambda y: functional.huber_loss(y, NUMBERS[:, 0]) - 0.1 * y.square().mean(),
    ),
    "broadcast the other way": (net(1), lambda y: (y[:, 0] - NUMBERS).abs().mean()),
}  # fmt: skip


@pytest.mark.parametrize("name", MISMATCHED)
def test_outputs_that_do_not_fit_their_loss(name):
    model, loss_of = MISMATCHED[name]
    assert set(findings(model, lambda: loss_of(model(X)))) == {"output-mismatch"}


FITTING = {
    "cross-entropy on logits": (net(3), lambda y: functional.cross_entropy(y, CLASSES)),
    "nll of log-probabilities": (net(3, nn.LogSoftmax(1)), lambda y: functional.nll_loss(y, CLASSES)),
    "soft targets": (net(3), lambda y: functional.cross_entropy(y, ONE_HOT)),
    "probabilities": (
        net(1, nn.Sigmoid()), lambda y: functional.binary_cross_entropy(y[:, 0], (CLASSES > 0).float()),
    ),
    "logits": (net(1), lambda y: functional.binary_cross_entropy_with_logits(y[:, 0], (CLASSES > 0).float())),
    "the Brier score": (net(3, nn.Softmax(1)), lambda y: functional.mse_loss(y, ONE_HOT)),
    "an autoencoder": (net(8, nn.Sigmoid()), lambda y: functional.mse_loss(y, X.sigmoid())),
    "a regression": (net(1), lambda y: functional.mse_loss(y, NUMBERS)),
    "its targets in a row": (net(1), lambda y: functional.mse_loss(y[:, 0], NUMBERS[:, 0])),
    "a sum of squares": (net(1, nn.Sigmoid()), lambda y: functional.mse_loss(y, NUMBERS, reduction="sum") / 100),
    "positive numbers": (net(1, nn.Softplus()), lambda y: functional.mse_loss(y, NUMBERS.abs())),
    "a distribution": (net(3, nn.LogSoftmax(1)), lambda y: functional.kl_div(y, ONE_HOT)),
    "a softmax inside": (
        nn.Sequential(nn.Linear(8, 8), nn.Softmax(1), nn.Linear(8, 3)), lambda y: functional.cross_entropy(y, CLASSES),
    ),
    "a policy gradient": (
        net(3), lambda y: -(y.log_softmax(1).gather(1, CLASSES[:, None])[:, 0] * NUMBERS[:, 0]).mean(),
    ),
    "similarities": (net(4), lambda y: functional.cross_entropy(y @ y.t() / 4, torch.arange(16))),
}  # fmt: skip


@pytest.mark.parametrize("name", FITTING)
@pytest.mark.filterwarnings("ignore:reduction")
def test_outputs_that_fit_their_loss(name):
    model, loss_of = FITTING[name]
    assert findings(model, lambda: loss_of(model(X))) == {}


# ------------------------------------------------------------------------------------------ logits that are too large

GRAPH = {"trained": 10, "unreached": {}, "not_optimized": {}, "strangers": [False], "outside": {}, "fresh": []}
CROSS_ENTROPY = [["NllLoss", []], ["LogSoftmax", [64, 10]], ["Addmm", [64, 10]]]


def beginning(loss, chains=(CROSS_ENTROPY,), *, calls=1, **columns):
    """A watched training whose first loss is this, over ten classes and 64 samples."""
    run = tables(losses=[loss, *[2.0] * 19], **columns)
    return Tables(
        layers=run.layers.with_columns(calls=pl.lit(calls, pl.Int32)),
        steps=run.steps,
        summary={"graph": {**GRAPH, "chains": list(chains)}},
    )


def test_a_first_loss_far_above_that_of_a_constant_prediction():
    finding = found("output-mismatch", beginning(21.0))
    assert finding.severity == "warning"
    assert finding.steps == (0, 0)
    assert finding.message == (
        "the first loss is 21, where a constant prediction of 10 classes has 2.3: the logits are large before any "
        "training"
    )


@pytest.mark.parametrize(
    "run",
    [
        beginning(3.0),
        beginning(64 * 2.3),  # a sum over the samples
        beginning(21.0, calls=4),  # several backward passes
        beginning(21.0, [CROSS_ENTROPY, CROSS_ENTROPY]),  # several losses
        beginning(21.0, [[["Div", []], *CROSS_ENTROPY]]),  # divided by something
        beginning(21.0, [CROSS_ENTROPY[:1]]),
        beginning(21.0, activation_rms=geometric(10, -0.4)),  # signal-explosion says why
    ],
    ids=range(7),
)
def test_first_losses_that_are_no_trouble_of_the_output(run):
    assert_clean("output-mismatch", run)
