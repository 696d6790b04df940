"""What a claim is: the section `claim` of a sweep file, as frozen models.

Claim
├── expect    [Expectation, …]   what must be measured for the claim to be confirmed
│                └── measure     a number of a run
└── picture   [Panel, …]         what shows it at a glance
"""

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal

from pydantic import AfterValidator, BeforeValidator, Discriminator, Field, Tag, model_validator

from gradlab.choices import Options
from gradlab.diagnosis import RULES
from gradlab.measures.headline import MEASURES
from gradlab.measures.settings import Wanted
from gradlab.nearest import named
from gradlab.statistics import LAYER_STATISTICS

HEADLINES = (*(name for name in MEASURES if name not in ("steps", "seconds")), "diverged")
"""Numbers of a whole run that have a name."""
THEORY_COLUMNS = {
    ("delta_rms", "weight"): "delta_relative",
    ("activation_mean", "activation"): "activation_mean",
    ("activation_rms", "activation"): "activation_rms",
    ("activation_std", "activation"): "activation_std",
    ("activation_rms", "weight"): "preactivation_variance",
}
"""Where the table `theory` has the prediction for a column of `layers`."""

Kind = Literal["weight", "norm", "activation", "output", "block"]
Split = Literal["train", "test", "train_batch_statistics"]
Over = Literal["slope", "first", "last", "mean", "min", "max"] | int
"""How layers become one number; `slope` is in decades per layer toward the input."""
Moment = Literal["start", "end", "mean", "min", "max"] | Annotated[int, Field(ge=0)]
"""How time becomes one number; a step stands for the record nearest to it."""


def _known(word: str, words: tuple[str, ...], what: str) -> str:
    if word not in words:
        raise ValueError(f"{word!r} is not {what}{named(word, words)}")
    return word


class Quantity(Options):
    """A column of the table `layers`, of the modules of one kind."""

    column: Annotated[str, AfterValidator(lambda name: _known(name, LAYER_STATISTICS, "a column of layers"))]
    """Name of the column."""
    kind: Kind | None = None
    """Which rows; by default those of the weights for δ and for weights, those of the activations otherwise."""

    @property
    def rows(self) -> str:
        """The kind of its rows."""
        of_weights = self.column.startswith(("delta", "weight", "update"))
        return self.kind or ("weight" if of_weights else "activation")

    def require_theory(self) -> None:
        """Raise `ValueError` where theory does not predict the column."""
        if (self.column, self.rows) not in THEORY_COLUMNS:
            known = ", ".join(f"{column} of {kind}" for column, kind in THEORY_COLUMNS)
            raise ValueError(f"theory does not predict {self.column} of {self.rows}  (it does: {known})")


class LayerMeasure(Quantity):
    """A column of `layers`, reduced over layers, then over time."""

    layers: Over
    """How layers become one number; a whole number is a layer of that kind, −1 the last."""
    at: Moment = "end"
    """How time becomes one number."""
    theory: Literal["difference"] | None = None
    """difference: how much larger it is than mean-field theory predicts for the network at initialization."""

    @model_validator(mode="after")
    def _predicted(self) -> "LayerMeasure":
        if self.theory:
            self.require_theory()
        if self.theory and self.at != "start":
            raise ValueError("theory is about the start: at: start")
        if self.theory and self.column == "delta_rms" and self.layers != "slope":
            raise ValueError("theory predicts how δ changes from layer to layer, not its size: layers: slope")
        return self

    def __str__(self) -> str:
        words = {"slope": "decades per layer toward the input", "mean": "mean over layers"}
        words |= {"first": "first layer", "last": "last layer", "min": "smallest layer", "max": "largest layer"}
        over = f"layer {self.layers}".replace("-", "−") if isinstance(self.layers, int) else words[self.layers]
        minus = " − theory" if self.theory else ""
        usual = Quantity(column=self.column).rows
        rows = "" if self.rows == usual else f" of {self.rows} rows"
        return f"{self.column}{rows}, {over}{minus}, {_moment(self.at)}"


class EvaluationMeasure(Options):
    """A column of `evaluations`, reduced over time."""

    split: Split
    """Samples that the network was evaluated on; train_batch_statistics is BatchNorm with those of the samples."""
    versus: Split | None = None
    """Subtract the same of this split, evaluation by evaluation."""
    column: Literal["loss", "accuracy"]
    """What was evaluated."""
    at: Moment = "end"
    """How time becomes one number."""

    def __str__(self) -> str:
        versus = f" − {self.versus}" if self.versus else ""
        return f"{self.column}, {self.split}{versus}, {_moment(self.at)}"


class FindingMeasure(Options):
    """Whether a diagnosis rule found something, 1 or 0; or since when."""

    finding: Annotated[str, AfterValidator(lambda rule: _known(rule, tuple(RULES), "a rule"))]
    """Id of the rule."""
    onset: bool = False
    """The first step that shows it; runs without it have none."""

    def __str__(self) -> str:
        return f"first step of {self.finding}" if self.onset else f"share of runs with {self.finding}"


class Headline(Options):
    """A number of the whole run that has a name."""

    name: Annotated[str, AfterValidator(lambda name: _known(name, HEADLINES, "a number of a run"))]
    """One of `HEADLINES`."""

    def __str__(self) -> str:
        return self.name.replace("_", " ")


def _which(value: Any) -> str:
    if isinstance(value, Options):
        return type(value).__name__
    keys = value if isinstance(value, Mapping) else {"name": value}
    by_key = {"name": "Headline", "split": "EvaluationMeasure", "finding": "FindingMeasure"}
    return next((by_key[key] for key in by_key if key in keys), "LayerMeasure")


Measure = Annotated[
    Annotated[Headline, Tag("Headline")]
    | Annotated[LayerMeasure, Tag("LayerMeasure")]
    | Annotated[EvaluationMeasure, Tag("EvaluationMeasure")]
    | Annotated[FindingMeasure, Tag("FindingMeasure")],
    Discriminator(_which),
    BeforeValidator(lambda value: {"name": value} if isinstance(value, str) else value),
]
"""A number of a run: a name, or a mapping that says where it is read."""


class Compared(Options):
    """A measure of some runs, perhaps beside the same measure of others."""

    measure: Measure
    """What is measured."""
    minus: Wanted = Field(default_factory=dict)
    """Subtract the measure of the same run with these settings."""
    over: Wanted = Field(default_factory=dict)
    """Divide by the measure of the same run with these settings."""

    @model_validator(mode="after")
    def _one_partner(self) -> "Compared":
        if self.minus and self.over:
            raise ValueError("minus and over exclude each other; keep one")
        return self

    @property
    def partner(self) -> Wanted:
        """Settings of the run that it is compared with; empty for none."""
        return self.minus or self.over


class Expectation(Compared):
    """What one measure must be, for every configuration that is meant."""

    says: Annotated[str, Field(min_length=1)]
    """The expectation in words."""
    role: Literal["claim", "condition"] = "claim"
    """claim: part of what is claimed; condition: a limit of it, which makes it a conditional one where it holds."""
    of: Wanted = Field(default_factory=dict)
    """The runs that are meant; all of them by default."""
    above: float | None = None
    """The measure is greater."""
    below: float | None = None
    """The measure is smaller."""

    @model_validator(mode="after")
    def _bounded(self) -> "Expectation":
        if self.above is None and self.below is None:
            raise ValueError("has no bound; say above, below or both")
        if self.above is not None and self.below is not None and self.above >= self.below:
            raise ValueError(f"nothing is above {self.above:g} and below {self.below:g}")
        return self


# ------------------------------------------------------------------------------------------------------------ pictures


class PanelOptions(Options):
    """What panels share."""

    tag: ClassVar[str] = "draw"
    title: Annotated[str, Field(min_length=1)]
    """Written above the panel."""
    of: Wanted = Field(default_factory=dict)
    """The runs that it shows; all of them by default."""
    scale: Literal["log", "linear"] | None = None
    """Of the vertical axis; by default logarithmic for δ, gradients and weights."""


class Profile(PanelOptions, Quantity):
    """A column of `layers` against depth, at one moment: a line for each value of `lines`."""

    draw: Literal["profile"]
    """Its name."""
    at: Literal["start", "end"] | Annotated[int, Field(ge=0)] = "start"
    """The moment."""
    lines: str = ""
    """The setting that tells the lines apart."""
    theory: bool = False
    """Also draw what theory predicts for the start, dashed."""

    @model_validator(mode="after")
    def _predicted(self) -> "Profile":
        if self.theory:
            self.require_theory()
        return self


class Course(PanelOptions):
    """A column of `layers` or of `evaluations` against the step."""

    draw: Literal["course"]
    """Its name."""
    column: str
    """Name of the column."""
    kind: Kind | None = None
    """Which rows of `layers`."""
    layers: Over | None = None
    """How layers become one number."""
    split: Split | None = None
    """Which evaluations, for a column of those."""
    lines: str = ""
    """The setting that tells the lines apart, or `layer`."""

    @model_validator(mode="after")
    def _whole(self) -> "Course":
        if self.split is not None:
            _known(self.column, ("loss", "accuracy"), "a column of evaluations")
            if self.kind is not None or self.layers is not None or self.lines == "layer":
                raise ValueError("evaluations (split: …) have no layers; leave out kind, layers and lines: layer")
        else:
            _known(self.column, LAYER_STATISTICS, "a column of layers")
            if (self.layers is None) == (self.lines != "layer"):
                raise ValueError("say how layers become one number (layers: …), or draw each of them (lines: layer)")
        return self

    @property
    def quantity(self) -> Quantity:
        """The column of `layers`."""
        return Quantity(column=self.column, kind=self.kind)


class Points(PanelOptions, Compared):
    """A measure with its 95 % interval against the values of a setting."""

    draw: Literal["points"]
    """Its name."""
    across: str
    """The setting along the axis."""
    lines: str = ""
    """The setting that tells the colours apart."""


class Histograms(PanelOptions):
    """The distribution in each layer at one moment, of one run."""

    draw: Literal["histograms"]
    """Its name."""
    quantity: Literal["activation", "delta", "weight", "weight_gradient"]
    """What is distributed."""
    at: Literal["start", "end"] = "start"
    """The moment."""


Panel = Annotated[Profile | Course | Points | Histograms, Field(discriminator="draw")]


class Claim(Options):
    """What a sweep is expected to show."""

    title: Annotated[str, Field(min_length=1)]
    """A line."""
    sentence: Annotated[str, Field(min_length=1)]
    """What is claimed, as notes and textbooks have it."""
    expect: Annotated[list[Expectation], Field(min_length=1)]
    """What must be measured."""
    note: str = ""
    """The answer in plain words."""
    picture: Annotated[list[Panel], Field(min_length=1, max_length=4)]
    """Panels of one picture."""
    reduced: Mapping[str, Any] = Field(default_factory=dict)
    """Axes that make the sweep a small one of the same outcome, for tests."""


def _moment(at: Moment) -> str:
    words = {"start": "at the start", "end": "at the end", "mean": "mean over time"}
    words |= {"min": "smallest in time", "max": "largest in time"}
    return words[at] if isinstance(at, str) else f"at step {at}"
