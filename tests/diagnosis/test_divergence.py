import math

import pytest

from gradlab.diagnosis import judge
from tests.diagnosis.tables import assert_clean, assert_not_applicable, config, evaluated, found, tables
from tests.measures.test_origin import NAN, Spoiled, nan, trained


def test_diverged():
    finding = found("diverged", tables(steps=range(4), losses=[2.3, 5.0, 1e30, math.nan], status="diverged"))
    assert finding.message == (
        "the first number that is not finite arose in step 3 in the loss, in what it computes from the output of "
        "`output`; the loss is nan in step 3; it was 2.3 at first and 1e+30 just before"
    )
    assert finding.steps == (3, 3)
    assert finding.remedies == ("train.learning_rate=0.005", "train.clip_gradient_norm=1.0")


def test_diverged_before_any_update_is_not_the_learning_rates_fault():
    run = tables(steps=[0], losses=[math.inf], status="diverged", model=config(depth=10, initializer="normal"))
    finding = found("diverged", run)
    assert finding.message.endswith("; the loss is inf in step 0, before any update")
    assert not any("learning_rate" in remedy for remedy in finding.remedies)
    assert finding.remedies[0].startswith("model.")


def test_not_diverged():
    assert_clean("diverged", tables())


def test_divergence_needs_a_loss():
    assert_not_applicable("diverged", type(tables())(), "nothing was recorded")


# ------------------------------------------------------------------------------------------- where it arose, and why


@pytest.mark.parametrize(
    ("options", "phase", "words"),
    [
        ({"at": "input", "how": nan}, "in the input of `first`", "inputs"),
        ({"at": "first", "how": nan}, "in the forward pass, at `second`, which comes after", "forward pass"),
        (
            {"loss_of": lambda out: (out * NAN).mean()},
            "in the loss, in what it computes from the output of `head`",
            "loss",
        ),
        ({"at": "first", "how": Spoiled.apply}, "in the backward pass, in the gradient of", "derivative"),
    ],
    ids=["input", "forward", "loss", "backward"],
)
def test_the_phase_and_the_module_are_named(options, phase, words):
    finding = found("diverged", trained(**options))
    assert finding.severity == "error"
    assert finding.steps == (3, 3)
    assert f"arose in step 3 {phase}" in finding.message
    assert words in finding.remedies[0]
    assert not any("learning rate" in remedy for remedy in finding.remedies)


def test_a_finite_loss_without_a_derivative_is_not_the_learning_rates_fault():
    finding = found("diverged", trained(loss_of=lambda out: (out - out.detach()).abs().sqrt().mean()))
    assert (
        "in the backward pass: the loss of 0 is finite, and its derivative by the output of `head` is not"
        in finding.message
    )
    assert finding.modules == ("head",)
    (remedy,) = finding.remedies
    assert "an epsilon inside a root" in remedy


def test_an_infinite_update():
    finding = found("diverged", trained(update=lambda optimizer: optimizer.param_groups[0].update(lr=math.inf)))
    assert "in the update of the weights of" in finding.message


def test_what_led_to_it_and_smaller_steps_where_something_grew():
    run = trained(loss_of=lambda out: (100 * out.abs()).exp().mean(), at="second", how=lambda x: x * 1e3)
    finding = found("diverged", run)
    assert "whose largest entry grew from" in finding.message
    assert "Divide the learning rate by 10." in finding.remedies


def test_a_loss_that_was_not_finite_once_is_information():
    run = tables(steps=range(4), losses=[2.3, math.nan, 2.2, 2.1], evaluations=evaluated(2.3, 1.0))
    assert found("diverged", run).severity == "info"
    assert found("diverged", run).message.endswith("later on all is finite")
    assert judge(run).verdict == "healthy"
