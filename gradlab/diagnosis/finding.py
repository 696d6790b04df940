"""What a rule is given and what it gives back.

    Tables ─► rule ─► [Finding, …], or NotApplicable and why

A rule is a pure function of a run's tables. It opens no file, so that its test is a tiny table and an answer.
"""

import inspect
import math
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from functools import cached_property, partial
from typing import Any, Literal

import polars as pl

from gradlab.choices import Activation
from gradlab.columns import SCHEMAS
from gradlab.config import Config
from gradlab.diagnosis.measures import Spell, recorded_steps

Severity = Literal["error", "warning", "info"]
"""error: the run cannot do its job · warning: it is hampered · info: worth knowing, and no reason to act."""
SEVERITIES: tuple[Severity, ...] = ("error", "warning", "info")
"""Worst first."""

DEATH_THROES = 5
"""Records at the end of a diverged run that show the divergence itself, not what led to it."""
BRIEF = 0.1
"""A trouble that went away within this share of the run cost next to nothing."""


# ------------------------------------------------------------------------------------------------------------- answers


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong with a run, with the evidence.

    Attributes:
        rule: id of the rule that found it.
        severity: how bad it is.
        message: one line in plain words, with the numbers.
        layers: the layers concerned, by number; empty where it concerns the whole run.
        steps: first and last step that show it.
        measured: the numbers it rests on, by name; finite ones only.
        threshold: the limits they crossed, under the same names.
        predicted: what theory says of them, under the same names.
        remedies: what to try, each a string of config overrides that can be pasted after `gradlab run CONFIG`.
    """

    rule: str
    severity: Severity
    message: str
    layers: tuple[int, ...] = ()
    steps: tuple[int, int] | None = None
    measured: Mapping[str, float] = field(default_factory=dict)
    threshold: Mapping[str, float] = field(default_factory=dict)
    predicted: Mapping[str, float] = field(default_factory=dict)
    remedies: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """As plain JSON types."""
        return {key: list(value) if isinstance(value, tuple) else value for key, value in asdict(self).items()}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> "Finding":
        """The finding that `to_json` wrote."""
        fields: dict[str, Any] = {key: tuple(v) if isinstance(v, list) else v for key, v in data.items()}
        return cls(**fields)


@dataclass(frozen=True)
class NotApplicable:
    """A rule has nothing to say about this run.

    Attributes:
        reason: why, in a few words.
    """

    reason: str


Answer = list[Finding] | NotApplicable
"""What a rule returns; an empty list is a clean bill."""


def numbers(**values: float | None) -> dict[str, float]:
    """The finite ones among some named numbers: JSON has no others, and neither has evidence."""
    return {name: float(value) for name, value in values.items() if value is not None and math.isfinite(value)}


def severity_of(spell: Spell, severity: Severity) -> Severity:
    """How bad a trouble is, seen over the run.

    One that was there at the start and went away weighs less, the sooner the less. One that came and went in training
    is only worth knowing.
    """
    if spell.at_end:
        return severity
    return "warning" if severity == "error" and spell.at_start and spell.share > BRIEF else "info"


# --------------------------------------------------------------------------------------------------------------- input


@dataclass(frozen=True, eq=False)
class Tables:
    """All that rules may look at: the tables of a run, whole or cut off, or of a watched model.

    Attributes:
        layers: as in `columns.SCHEMAS`, like the four tables that follow.
        steps: a row a step.
        evaluations: loss and accuracy by split.
        histograms: unused by today's rules.
        theory: the prediction; empty where theory does not cover the network.
        config: None for a model that gradlab only watched.
        status: of the run folder.
    """

    layers: pl.DataFrame
    steps: pl.DataFrame = field(default_factory=partial(pl.DataFrame, schema=SCHEMAS["steps"]))
    evaluations: pl.DataFrame = field(default_factory=partial(pl.DataFrame, schema=SCHEMAS["evaluations"]))
    histograms: pl.DataFrame = field(default_factory=partial(pl.DataFrame, schema=SCHEMAS["histograms"]))
    theory: pl.DataFrame = field(default_factory=partial(pl.DataFrame, schema=SCHEMAS["theory"]))
    config: Config | None = None
    status: str = "completed"

    @cached_property
    def judged(self) -> pl.DataFrame:
        """`layers` without the death throes of a diverged run, the first record always kept."""
        if self.status != "diverged":
            return self.layers
        steps = recorded_steps(self.layers)
        return self.layers.filter(pl.col("step").is_in([*steps[:1], *steps[1:-DEATH_THROES]]))

    @cached_property
    def activation(self) -> Activation | None:
        """The activation function, where it is known."""
        return None if self.config is None else self.config.model.activation

    @cached_property
    def steps_done(self) -> int:
        """Steps that the run did, as far as its tables tell."""
        seen = [*self.steps["step"], *recorded_steps(self.layers)]
        return max(seen, default=-1) + 1

    def split(self, name: str) -> pl.DataFrame:
        """The evaluations of one split, in the order of steps."""
        return self.evaluations.filter(pl.col("split") == name).sort("step")


# ---------------------------------------------------------------------------------------------------------------- rule


@dataclass(frozen=True)
class Rule:
    """A check with a name.

    Attributes:
        id: what findings and verdicts call it; never changes.
        severity: of its findings at worst.
        title: one line.
        papers: where the trouble is described.
        check: the rule itself; its docstring is the long form of the message.
    """

    id: str
    severity: Severity
    title: str
    papers: tuple[str, ...]
    check: Callable[[Tables], Answer]

    @property
    def description(self) -> str:
        """The long form: what the rule looks at, what it means and what to do."""
        return inspect.getdoc(self.check) or ""
