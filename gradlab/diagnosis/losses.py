"""The loss: it stays where it was, or it rises."""

from math import log

import numpy as np
import polars as pl

from gradlab.config import Config
from gradlab.diagnosis import remedies
from gradlab.diagnosis.graph import classes_of_loss, graph_of
from gradlab.diagnosis.rule import Answer, NotApplicable, numbers
from gradlab.measures.constant import classes_of, constant_loss
from gradlab.measures.trend import Trend, trend
from gradlab.operations import SHAPE_ONLY
from gradlab.tables import INSPECTED, Finding, Severity, Tables

STALLED = 0.95
"""A run whose training loss stays above this share of ln(classes) has learned nothing. The loss of the best constant
predictor is the entropy of the labels: ln(classes) where classes are equally frequent, 0.953 of it in breast_cancer,
the least balanced of the bundled datasets, and 0.960 in shapeset."""
GUESSING = 1.3
"""A run has learned nothing if its training accuracy is not above this multiple of 1/classes, or of the share of the
most frequent class. Always guessing that class reaches 1.25 in breast_cancer, and 1.24 is three standard deviations of
a guess on the digits."""
CHANCE = 2.0
"""A run has learned something, however high its loss, if its training accuracy is above this multiple. In between it
has learned next to nothing, and nobody can tell yet."""
LAST = 3
"""So many evaluations at the end are judged together: the accuracy of a network that guesses jumps from class to
class, and may be twice chance in one of ten evaluations."""
TOO_SHORT = 50
"""A run with fewer steps that learned nothing may just have been too short."""
TOO_FEW = 100
"""The same for a watched model: nobody knows how well it could do, so that only its own course tells."""
WARMING = 1.5
"""The learning rate is still warming up if it is so many times what it was in the middle of the training."""
STILL = 1e-7
"""Weights that move by less of their size do not move: a float32 has no smaller steps."""
RISEN = 1.2
"""A loss that ends at so many times its start has risen."""
LARGE_STEPS = 0.03
"""A loss rises because of large steps if the median update moves weights by more of their size than this; networks
that train well stay near 0.001. Otherwise what is to be learned may move, as in reinforcement learning, where the loss
of a sound value network rises with the values."""


def stalled_loss(tables: Tables) -> Answer:
    """The network has learned nothing.

    In a configured run a predictor that ignores its input reaches the entropy of the labels, ln(classes) where they are
    equally frequent; with squared errors it is their variance, (1 − 1/classes)/classes. Judged on the lowest loss over
    the training split in any evaluation and on the accuracy in the last ones; one little above that of a guess is too
    little to tell. Where the number of classes is not known from the config, the loss is compared with that of the
    untrained network instead. Of a watched model the loss at the start is compared with the lowest median of ten
    windows, against the noise between neighbouring steps; a cross-entropy that never gets below ln(classes), however
    far above it began, has learned nothing either. Whether the weights move is said as well.

    What to try: cure a vanishing gradient, a collapsed signal or dead units if one was found; otherwise a larger
    learning rate, or a smaller one if updates are large.
    """
    if tables.status == "diverged":
        return NotApplicable("the run diverged")
    if tables.status == INSPECTED:
        return NotApplicable("nothing is learned in a single pass")
    return _watched_stalled(tables) if tables.config is None else _configured_stalled(tables)


def _configured_stalled(tables: Tables) -> Answer:
    train = tables.split("train").filter(pl.col("loss").is_finite())
    if train.height < 2:
        return NotApplicable("fewer than two evaluations were recorded", too_early=True)
    classes = classes_of(tables.config)
    known = constant_loss(tables.config)
    constant = known if known is not None else float(train["loss"][0])
    best = float(train["loss"][1:].min())  # type: ignore[arg-type]
    accuracy = float(train["accuracy"][1:].tail(LAST).median() or 0.0)  # type: ignore[arg-type]
    guess = None if classes is None else _commonest(tables.config, classes)
    if best < STALLED * constant or (guess is not None and accuracy > min(CHANCE * guess, (1 + guess) / 2)):
        return []
    if tables.steps_done < TOO_SHORT:
        return NotApplicable(f"{tables.steps_done} steps are too few to tell; {TOO_SHORT} are needed", too_early=True)
    if guess is not None and accuracy > GUESSING * guess:
        return NotApplicable(
            f"next to nothing was learned in {tables.steps_done} steps: the training accuracy is {accuracy:.1%}, "
            f"that of a guess {guess:.1%}",
            too_early=True,
        )
    entropy = classes is not None and tables.config is not None and tables.config.train.loss == "cross_entropy"
    number = f"ln {classes} = {constant:.3g}" if entropy else f"{constant:.3g}"
    what = f"{number} of a constant prediction" if classes else f"{constant:.3g} before training"
    return [
        Finding(
            rule="stalled-loss",
            severity="error",
            message=f"nothing was learned in {tables.steps_done} steps: the training loss is {best:.3g} at best, "
            f"against {what}",
            steps=(0, tables.steps_done - 1),
            measured=numbers(loss=best, accuracy=accuracy),
            threshold=numbers(loss=STALLED * constant),
            remedies=(*remedies.start(tables.config), *remedies.learning_rate(tables.config, 10)),
        )
    ]


def _watched_stalled(tables: Tables) -> Answer:
    course = _watched_course(tables)
    if isinstance(course, NotApplicable):
        return course
    classes = classes_of_loss(tables)
    guesses = classes is not None and course.lowest >= STALLED * log(classes)
    if not guesses and (course.fell or course.rose):
        return []
    if course.records < TOO_FEW or not course.certain:
        why = f"{course.records} steps are too few" if course.records < TOO_FEW else "the loss is too noisy"
        return NotApplicable(f"{why} to tell whether it falls", too_early=True)
    if guesses and _falls_at_the_end(tables):
        return NotApplicable("the loss is still above that of a guess, and falls", too_early=True)
    rates = tables.steps.sort("step")["learning_rate"].drop_nulls()
    if len(rates) and rates[-1] > WARMING * rates[len(rates) // 2]:
        return NotApplicable("the learning rate is still warming up", too_early=True)
    moved = _typical_update(tables)
    still = moved is not None and moved < STILL
    weights = "" if moved is None else f"; a step moves the weights by {moved:.1g} of their size"
    weights = "; the weights do not move" if still else weights
    guess = f"that of a constant prediction of {classes} classes, {log(classes):.3g}" if classes and guesses else ""
    return [
        Finding(
            rule="stalled-loss",
            severity="error" if still else "warning",
            message=f"the loss does not fall: {course.start:.3g} at the start and {course.end:.3g} at the end of "
            f"{course.records} recorded steps, never clearly below {guess or 'the start'}{weights}",
            steps=_first_and_last(tables),
            measured=numbers(start=course.start, lowest=course.lowest, standard_error=course.error, update_ratio=moved),
            threshold=numbers(lowest=STALLED * course.start),
            remedies=(
                "Look at the findings above; if there is none, try a learning rate ten times as large, and whether the "
                "network can learn a single batch by heart.",
            ),
        )
    ]


def rising_loss(tables: Tables) -> Answer:
    """The loss is higher at the end than at the start.

    A watched model is judged on the medians of windows, against the noise between neighbouring steps; a configured run
    on its evaluations of the training split. It is a warning where the steps are large, and of a cross-entropy. Else it
    is information: the loss of a value network rises with the values that it learns, that of a generator when the
    discriminator learns. A log-likelihood that is minimized, and falls, is a warning: its sign is wrong.

    What to try: a smaller learning rate; where the loss is to be made large, the sign of it.
    """
    if tables.status == "diverged":
        return NotApplicable("the run diverged")
    if tables.status == INSPECTED:
        return NotApplicable("nothing is learned in a single pass")
    if tables.config is not None:
        train = tables.split("train").filter(pl.col("loss").is_finite())["loss"]
        if len(train) < 2:
            return NotApplicable("fewer than two evaluations were recorded")
        start, end = float(train[0]), float(train[-1])
        return _risen(tables, start, end, "warning") if end > RISEN * start > 0 else []
    course = _watched_course(tables)
    if isinstance(course, NotApplicable):
        return course
    if course.fell and _is_log_likelihood(tables):
        return [
            Finding(
                rule="rising-loss",
                severity="warning",
                message=f"the loss is a log-likelihood and falls, from {course.start:.3g} to {course.end:.3g}: each "
                "step makes what is true less likely",
                steps=_first_and_last(tables),
                measured=numbers(start=course.start, end=course.end),
                remedies=("Change the sign of the loss.",),
            )
        ]
    if not course.rose or course.end - course.start < (RISEN - 1) * abs(course.start):
        return []
    moved = _typical_update(tables)
    classifies = classes_of_loss(tables) is not None
    serious = classifies or (moved is not None and moved > LARGE_STEPS)
    return _risen(tables, course.start, course.end, "warning" if serious else "info")


def _risen(tables: Tables, start: float, end: float, severity: Severity) -> Answer:
    moved = _typical_update(tables)
    how = "" if moved is None else f", while a step moves the weights by {moved:.1g} of their size"
    return [
        Finding(
            rule="rising-loss",
            severity=severity,
            message=f"the loss rose from {start:.3g} at the start to {end:.3g} at the end{how}",
            steps=_first_and_last(tables),
            measured=numbers(start=start, end=end, update_ratio=moved),
            threshold=numbers(end=RISEN * start),
            remedies=(
                *remedies.learning_rate(tables.config, 0.1),
                *(["Check the sign of the loss: each step makes it smaller."] if tables.config is None else []),
            ),
        )
    ]


def _is_log_likelihood(tables: Tables) -> bool:
    """Whether the loss is a log-probability, or a cross-entropy with the sign changed, and nothing else."""
    chains = (graph_of(tables) or {}).get("chains", ())
    if len(chains) != 1:
        return False
    names = [name for name, _ in chains[0] if name not in SHAPE_ONLY | {"Mean", "Sum", "Div"}]
    return names[:1] == ["LogSoftmax"] or names[:3] == ["Neg", "NllLoss", "LogSoftmax"]


def _falls_at_the_end(tables: Tables) -> bool:
    """Whether the loss of a watched model falls in the second half of the training."""
    losses = tables.steps.sort("step")["loss"].drop_nulls().to_numpy()
    late = trend(losses[len(losses) // 2 :])
    return late is not None and late.fell


def _watched_course(tables: Tables) -> Trend | NotApplicable:
    """The trend of a watched model's loss."""
    losses = tables.steps.sort("step")["loss"].drop_nulls().to_numpy()
    if not len(losses):
        return NotApplicable("the loss could not be seen")
    about = tables.summary.get("config", {}).get("watch", {})
    if "," in str(about.get("optimizer", "")):
        return NotApplicable("several optimizers minimize several losses")
    course = trend(losses)
    return course or NotApplicable(f"{len(losses)} losses are too few to tell whether it falls", too_early=True)


def _typical_update(tables: Tables) -> float | None:
    """The median update ratio, over weights and steps; None where none was recorded."""
    ratios = tables.layers["update_ratio"].drop_nulls().to_numpy()
    return float(np.median(ratios)) if len(ratios) else None


def _first_and_last(tables: Tables) -> tuple[int, int] | None:
    steps = tables.steps["step"].to_numpy()
    return (int(steps.min()), int(steps.max())) if len(steps) else None


def _commonest(config: Config | None, classes: int) -> float:
    known = None if config is None else config.data.facts.commonest
    return 1 / classes if known is None else known
