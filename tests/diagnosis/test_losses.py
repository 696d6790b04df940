import numpy as np
import pytest

from gradlab.diagnosis import judge
from gradlab.tables import Tables, rows_frame
from tests.diagnosis.tables import assert_clean, assert_not_applicable, config, evaluated, found, tables

LONG = range(0, 500, 25)
STALLED, RISING = "stalled-loss", "rising-loss"


def watched(losses, *, update=1e-3, optimizer="Adam", rates=None, graph=None, **options):
    """A watched training of which the loss and the size of its steps are known."""
    steps = range(len(losses))
    rates = [1e-3] * len(losses) if rates is None else rates
    rows = [
        {"step": step, "loss": loss, "learning_rate": rate}
        for step, loss, rate in zip(steps, losses, rates, strict=True)
    ]
    layers = [{"step": step, "module": "a", "kind": "weight", "layer": 0, "update_ratio": update} for step in steps]
    return Tables(
        steps=rows_frame("steps", rows),
        layers=rows_frame("layers", layers),
        summary={"config": {"watch": {"optimizer": optimizer}}, "graph": graph},
        **options,
    )


def noisy(course, noise=0.05, seed=0):
    return (np.asarray(course) * (1 + noise * np.random.default_rng(seed).normal(size=len(course)))).tolist()


# ----------------------------------------------------------------------------------------------------- stalled


def test_stalled():
    finding = found(STALLED, tables(steps=LONG, evaluations=evaluated(2.9, 2.31, 2.3)))
    assert finding.severity == "error"
    assert "the training loss is 2.3 at best, against ln 10 = 2.3" in finding.message


@pytest.mark.parametrize(
    ("data", "entropy", "share"),
    [("digits", 2.302, 0.102), ("wine", 1.086, 0.399), ("breast_cancer", 0.6603, 0.627), ("shapeset", 2.11, 0.18)],
)
def test_the_best_constant_predictor_of_each_dataset_has_stalled(data, entropy, share):
    run = tables(steps=LONG, evaluations=evaluated(5.0, entropy, accuracy=share), model=config(depth=10, data=data))
    assert found(STALLED, run)


def test_learning_shows_in_the_loss_or_in_the_accuracy():
    assert_clean(STALLED, tables(steps=LONG, evaluations=evaluated(2.9, 2.0, 1.5)))
    assert_clean(STALLED, tables(steps=LONG, evaluations=evaluated(2.3, 2.29, 2.28, accuracy=0.3)))


def test_data_of_unknown_classes_is_compared_with_the_start(tmp_path):
    own = config(depth=10, data={"name": "file", "path": tmp_path / "x.csv"})
    assert found(STALLED, tables(steps=LONG, evaluations=evaluated(1.2, 1.19), model=own))
    assert_clean(STALLED, tables(steps=LONG, evaluations=evaluated(1.2, 0.9), model=own))


def test_too_little_to_call_stalled():
    stuck = evaluated(2.3, 2.3)
    assert_not_applicable(STALLED, tables(steps=range(20), evaluations=stuck), "too few")
    assert_not_applicable(STALLED, tables(steps=LONG, evaluations=stuck[:1]), "fewer than two")
    assert_not_applicable(STALLED, tables(steps=LONG, evaluations=stuck, status="diverged"), "diverged")


def test_a_network_that_guesses_is_not_saved_by_one_lucky_evaluation():
    lucky = evaluated(2.47, 2.3, 2.3, 2.295, 2.29, 2.29, 2.29)
    lucky[3]["accuracy"] = 0.21
    assert found(STALLED, tables(steps=LONG, evaluations=lucky)).severity == "error"


@pytest.mark.parametrize(
    ("accuracy", "verdict"), [(0.12, "stalled-loss"), (0.14, "unknown"), (0.19, "unknown"), (0.25, "healthy")]
)
def test_a_run_that_learned_next_to_nothing_is_never_healthy(accuracy, verdict):
    run = tables(steps=LONG, evaluations=evaluated(2.31, 2.3, 2.3, 2.29, accuracy=accuracy))
    assert judge(run).verdict == verdict
    if verdict == "unknown":
        assert_not_applicable(STALLED, run, "next to nothing was learned in 476 steps: the training accuracy is")


def test_the_limits_suit_a_class_that_is_most_frequent_by_far():
    cancer = config(depth=10, data="breast_cancer")
    good, guess = (evaluated(0.9, 0.67, 0.67, 0.67, accuracy=accuracy) for accuracy in (0.9, 0.64))
    assert_clean(STALLED, tables(steps=LONG, evaluations=good, model=cancer))
    assert found(STALLED, tables(steps=LONG, evaluations=guess, model=cancer))


def test_a_short_run_that_learned_nothing_is_unknown_and_not_healthy():
    assert judge(tables(steps=range(20), evaluations=evaluated(2.3, 2.3))).verdict == "unknown"
    assert judge(tables(steps=range(20), evaluations=evaluated(2.3, 1.3))).verdict == "healthy"


# --------------------------------------------------------------------------------------------- stalled, watched


@pytest.mark.parametrize("scale", [1e-6, 1.0, 1e20])
def test_a_flat_loss_whatever_its_scale(scale):
    finding = found(STALLED, watched(noisy([scale] * 300)))
    assert finding.severity == "warning"
    assert "never clearly below the start; a step moves the weights by 0.001 of their size" in finding.message
    assert finding.steps == (0, 299)


def test_weights_that_do_not_move_are_an_error():
    finding = found(STALLED, watched(noisy([2.3] * 200), update=0.0))
    assert finding.severity == "error"
    assert "the weights do not move" in finding.message


FALLING = {
    "at once": [2.3] * 3 + [0.1] * 297,
    "slowly": np.linspace(2.3, 2.0, 300),
    "and rising again": [*np.linspace(1.4, 0.9, 150), *np.linspace(0.9, 1.4, 150)],
    "below zero": np.linspace(1.0, -3.0, 300),
}


@pytest.mark.parametrize("course", FALLING.values(), ids=FALLING)
def test_a_loss_that_fell_has_not_stalled(course):
    assert_clean(STALLED, watched(noisy(course, 0.02)))


def test_a_loss_that_cannot_be_judged():
    assert_not_applicable(STALLED, watched(noisy([2.3] * 60)), "60 steps are too few")
    assert_not_applicable(STALLED, watched([1.0] * 4), "4 losses are too few")
    assert_not_applicable(STALLED, watched(noisy([1.0] * 300, 0.6)), "too noisy")
    assert_not_applicable(STALLED, watched([None] * 300), "could not be seen")
    assert_not_applicable(STALLED, watched(noisy([1.0] * 300), optimizer="Adam, Adam"), "several losses")
    warming = np.linspace(0, 1e-3, 200)
    assert_not_applicable(STALLED, watched(noisy([2.3] * 200), rates=warming), "warming")


def test_too_few_steps_of_a_watched_model_are_unknown():
    assert judge(watched(noisy([2.3] * 20))).verdict == "unknown"
    assert judge(watched([2.3, 2.2])).verdict == "unknown"


# ------------------------------------------------------------------------------------------------------- rising


def test_a_loss_that_rises_with_large_steps():
    finding = found(RISING, watched(noisy(np.linspace(1, 4, 200)), update=0.1))
    assert finding.severity == "warning"
    assert finding.message.startswith("the loss rose from 1")
    assert_clean(STALLED, watched(noisy(np.linspace(1, 4, 200)), update=0.1))


def test_what_is_to_be_learned_may_move():
    assert found(RISING, watched(noisy(np.linspace(1, 4, 200)))).severity == "info"


def test_a_configured_run_that_rises():
    assert found(RISING, tables(steps=LONG, evaluations=evaluated(2.3, 1.0, 4.0))).severity == "warning"
    assert_clean(RISING, tables(steps=LONG, evaluations=evaluated(2.3, 1.0, 2.4)))


def test_noise_does_not_rise():
    assert_clean(RISING, watched(noisy([1.0] * 200, 0.5), update=0.1))
    assert_not_applicable(RISING, watched([1.0] * 4), "too few")
    assert_not_applicable(RISING, tables(), "fewer than two")
    assert_not_applicable(RISING, watched(noisy([1.0] * 200), status="diverged"), "diverged")


# ------------------------------------------------------------------------------------- what the graph says of the loss


def classifier(losses, chain=(("NllLoss", []), ("LogSoftmax", [64, 10]), ("Addmm", [64, 10])), **options):
    """A watched training whose loss is made by these operations."""
    graph = {
        "trained": 1, "unreached": {}, "not_optimized": {}, "strangers": [False], "outside": {}, "fresh": [],
        "chains": [[list(link) for link in chain]],
    }  # fmt: skip
    return watched(losses, graph=graph, **options)


def test_a_cross_entropy_that_falls_to_that_of_a_guess_has_learned_nothing():
    losses = noisy([2.3 + 5 * 0.9**step for step in range(200)], 0.01)
    finding = found(STALLED, classifier(losses))
    assert "never clearly below that of a constant prediction of 10 classes, 2.3" in finding.message
    assert_clean(STALLED, classifier([loss - 1 for loss in losses]))
    assert_clean(STALLED, watched(losses))  # without a graph, nobody knows what a guess reaches


def test_a_cross_entropy_on_its_way_to_that_of_a_guess_is_too_early():
    falling = noisy(np.linspace(9, 3, 150).tolist(), 0.01)
    assert_not_applicable(STALLED, classifier(falling), "above that of a guess, and falls")
    assert judge(classifier(falling)).verdict == "unknown"


def test_a_sum_over_the_samples_is_compared_with_no_guess():
    assert_clean(STALLED, classifier(noisy([60 + 80 * 0.9**step for step in range(200)], 0.01)))


def test_a_cross_entropy_that_rises_is_no_matter_of_the_size_of_steps():
    rising = noisy([2.3 + 0.02 * step for step in range(200)])
    assert found(RISING, classifier(rising)).severity == "warning"
    assert found(RISING, watched(rising)).severity == "info"


SIGNS = {
    "cross-entropy": (("Neg", []), ("NllLoss", []), ("LogSoftmax", [64, 10])),
    "log-likelihood": (("Mean", []), ("Squeeze", [64]), ("Gather", [64, 1]), ("LogSoftmax", [64, 10])),
}


@pytest.mark.parametrize("chain", SIGNS.values(), ids=SIGNS)
def test_a_likelihood_that_is_made_small(chain):
    falling = noisy([-2.3 - 0.1 * step for step in range(200)])
    finding = found(RISING, classifier(falling, chain))
    assert "each step makes what is true less likely" in finding.message
    assert finding.remedies == ("Change the sign of the loss.",)


def test_a_likelihood_that_is_weighed_or_made_large():
    falling = noisy([2.3 - 0.1 * step for step in range(200)])
    assert_clean(RISING, classifier(falling))
    weighed = (("Mean", []), ("Mul", [64]), ("Gather", [64, 1]), ("LogSoftmax", [64, 10]))
    assert_clean(RISING, classifier(falling, weighed))
