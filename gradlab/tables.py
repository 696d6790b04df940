"""The tables of a run: their columns, how rows become tables, and the snapshot of a run that everything else reads.

    COLUMNS      columns of every table, with their types and what they are
    Finding      one thing that is wrong with a run
    Tables       a run as it stands at one moment: what rules, pictures, exports and claims are given

A run folder and a live `watch` both hand out `Tables`. Nothing here needs torch.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import FrozenInstanceError, asdict, dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NoReturn

import numpy as np
import polars as pl

from gradlab.choices import MEASURED_TRAITS, Activation, PythonActivation, Traits
from gradlab.config import SCHEMA, Config
from gradlab.statistics import LAYER_STATISTICS, STATISTICS, StepRows
from gradlab.text import one_line

COLUMNS: Mapping[str, Mapping[str, tuple[Any, str]]] = {
    "layers": {
        "step": (pl.Int64, "Number of the step, from 0. All numbers are those before its update."),
        "layer": (pl.Int32, "0 for the first weight layer that computes; others have that of the last one."),
        "module": (pl.String, "Name of the module; of a function that a module calls, `module:relu`."),
        "kind": (pl.String, "`weight`, `norm`, `activation`, `output` (the last weight layer), `block` or `other`."),
        "calls": (pl.Int32, "Calls of the module in this step, which the row combines."),
        "dtype": (pl.String, "Number format of the output."),
        **{name: (pl.Float64, statistic.doc) for name, statistic in STATISTICS.items()},
    },
    "steps": {
        "step": (pl.Int64, "Number of the step, from 0."),
        "epoch": (pl.Int64, "Number of the epoch, from 0; null for a watched model."),
        "loss": (pl.Float64, "Loss of the batch; of a watched model, what `backward` was called on."),
        "learning_rate": (pl.Float64, "Learning rate of the optimizer; of several, of the last one's first group."),
        "gradient_norm": (pl.Float64, "Norm of the gradient of all parameters, before clipping."),
        "gradient_scale": (pl.Float64, "What a GradScaler multiplied the loss with; all numbers are those without it."),
        "skipped": (
            pl.Float64,
            "Attempts before this step that a scaler skipped, or the loop gave up, with a gradient of NaN or infinity.",
        ),
        "gradients_left": (
            pl.Float64,
            "Share of the gradients that this step added to what the step before had used; in a few steps only.",
        ),
        "evaluating": (
            pl.Float64,
            "Share of the dropout and batch normalization modules in evaluation mode; null where there are none.",
        ),
        "step_seconds": (pl.Float64, "Seconds that the step took, recording included."),
        "record_seconds": (pl.Float64, "Seconds that recording took."),
    },
    "evaluations": {
        "step": (pl.Int64, "Steps done before the evaluation."),
        "split": (pl.String, "`train`, `test`, or `train_batch_statistics`: with the batch's own statistics."),
        "loss": (pl.Float64, "Mean loss over the split."),
        "accuracy": (pl.Float64, "Share of the split that is classified correctly."),
    },
    "histograms": {
        "step": (pl.Int64, "Number of the step, from 0."),
        "layer": (pl.Int32, "As in `layers`."),
        "module": (pl.String, "As in `layers`."),
        "quantity": (pl.String, "`activation`, `delta`, `weight` or `weight_gradient`."),
        "low": (pl.Float64, "Smallest finite entry, where the first bin begins."),
        "high": (pl.Float64, "Largest finite entry, where the last bin ends."),
        "counts": (pl.List(pl.Int64), "Entries in each of 64 bins of equal width."),
        "non_finite": (pl.Int64, "Entries that are NaN or infinite."),
    },
    "theory": {
        "layer": (pl.Int32, "Number of the hidden layer, from 0."),
        "preactivation_variance": (pl.Float64, "q: second moment of what enters the activation."),
        "activation_mean": (pl.Float64, "E φ."),
        "activation_rms": (pl.Float64, "√(E φ²)."),
        "activation_std": (pl.Float64, "√(E (φ − E φ)²)."),
        "chi": (pl.Float64, "χ: E δ² of this layer, divided by that of the next."),
        "delta_relative": (pl.Float64, "RMS δ, relative to the last hidden layer."),
        "output_delta_relative": (pl.Float64, "The same at the outputs of the hidden layers."),
        "delta_log_variance": (pl.Float64, "Variance over networks of ln(mean δ²) of a sample, relative to the last."),
    },
    "modules": {
        "layer": (pl.Int32, "As in `layers`."),
        "module": (pl.String, "As in `layers`; a row a module, in the order in which they computed something first."),
        "kind": (pl.String, "As in `layers`."),
        "type": (pl.String, "Class of the module, `Linear`; of a function, its name."),
        "shape": (pl.List(pl.Int64), "Shape of the output of its first call, in the step whose graph was walked."),
        "entries": (pl.Int64, "Entries of the outputs of all its calls in that step."),
        "parameters": (pl.Int64, "Entries of its own parameters that are trained."),
        "optimizer": (pl.Int32, "Number of the optimizer that updates it; null for none or several."),
        "chain": (pl.Int32, "Number of the way from the loss to the input on which it lies; null where none does."),
        "before": (pl.List(pl.String), "The modules whose output enters it with no other recorded one between."),
        "averaged": (pl.List(pl.Float64), "For each of those, how many entries become one on the way: 64 for a mean."),
        "last": (pl.Boolean, "Whether the loss uses its output with no other recorded module between."),
        "losses": (pl.List(pl.Int64), "Which of the step's backward passes reach it, by number from 0."),
        "recurrent": (pl.Boolean, "Whether what it returns enters a later call of it in the same step."),
    },
}
"""The columns of every table: type and what it is. Those of `layers` that are statistics come from `STATISTICS`."""
SCHEMAS: Mapping[str, Mapping[str, Any]] = {
    table: {name: dtype for name, (dtype, _) in columns.items()} for table, columns in COLUMNS.items()
}
"""The types of the columns of every table."""


def layers_frame(rows: Sequence[StepRows]) -> pl.DataFrame:
    """The table `layers` of some recorded steps."""
    if not rows:
        return pl.DataFrame(schema=SCHEMAS["layers"])
    values = np.concatenate([row.values_MS for row in rows])
    applies = np.concatenate([row.applies_MS for row in rows])
    columns: dict[str, Any] = {
        "step": np.repeat([row.step for row in rows], [len(row.layer) for row in rows]),
        "layer": [number for row in rows for number in row.layer],
        "module": [name for row in rows for name in row.module],
        "kind": [kind for row in rows for kind in row.kind],
        "calls": [calls for row in rows for calls in row.calls],
        "dtype": [dtype for row in rows for dtype in row.dtype],
    }
    for index, name in enumerate(LAYER_STATISTICS):
        column = pl.Series(name, np.ascontiguousarray(values[:, index]))
        mask = pl.Series(np.ascontiguousarray(applies[:, index]))
        columns[name] = pl.select(pl.when(mask).then(column)).to_series()
    return pl.DataFrame(columns, schema=SCHEMAS["layers"])


def rows_frame(table: str, rows: Sequence[Mapping[str, Any]]) -> pl.DataFrame:
    """Any other table, from one mapping a row; a missing column is null."""
    schema = SCHEMAS[table]
    return pl.DataFrame({name: [row.get(name) for row in rows] for name in schema}, schema=schema)


def other_schema(summary: Mapping[str, Any]) -> str | None:
    """The version of a run folder (`gradlab.config.SCHEMA`), where it is not this program's.

    Args:
        summary: what `summary.json` holds.

    Returns:
        the version as text: `1` of a folder that does not say; None of this version, and of a run that has no folder.
    """
    schema = summary.get("schema", 1 if "id" in summary else SCHEMA)
    return None if schema == SCHEMA else one_line(str(schema))[:20]


# ------------------------------------------------------------------------------------------------------------ findings

Severity = Literal["error", "warning", "info"]
"""error: the run cannot do its job · warning: it is hampered · info: worth knowing, and no reason to act."""
SEVERITIES: tuple[Severity, ...] = ("error", "warning", "info")
"""Worst first."""
HEALTHY = "healthy"
"""The verdict on a run with nothing to act on."""
UNKNOWN = "unknown"
"""The verdict on a run that has not been judged, or of which nothing can be said."""


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong with a run, with the evidence.

    Attributes:
        rule: id of the rule that found it.
        severity: how bad it is.
        message: one line in plain words, with the numbers. It says so where the finding only follows from another one.
        modules: the modules concerned, by name; empty where it concerns the whole run.
        layers: the layers concerned, by number, for pictures.
        steps: first and last step that show it.
        measured: the numbers it rests on, by name; finite ones only.
        threshold: the limits they crossed, under the same names.
        predicted: what theory says of them, under the same names.
        remedies: what to try: of a configured run, strings of config overrides that can be pasted after `gradlab run
            CONFIG`; of a watched model, one sentence each.
    """

    rule: str
    severity: Severity
    message: str
    modules: tuple[str, ...] = ()
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


def verdict_of(findings: Iterable[Finding]) -> str:
    """A run in a word: the rule of its worst finding, or `healthy`, which findings of severity info leave it."""
    worst = min(findings, key=lambda finding: SEVERITIES.index(finding.severity), default=None)
    return HEALTHY if worst is None or worst.severity == "info" else worst.rule


# ------------------------------------------------------------------------------------------------------------ snapshot

INSPECTED = "inspected"
"""The status of a snapshot of one forward and one backward pass, without a step (`gradlab.inspect`)."""

DEATH_THROES = 5
"""Records up to the first loss that is not finite that show the divergence itself, not what led to it."""


def empty_table(table: str) -> pl.DataFrame:
    """A table of `SCHEMAS` without rows."""
    return pl.DataFrame(schema=SCHEMAS[table])


class Source:
    """Where the parts of a snapshot come from: a run folder, or a recorder. This one has nothing."""

    def table(self, name: str) -> pl.DataFrame:
        """A table of `SCHEMAS`."""
        return empty_table(name)

    def config(self) -> Config | None:
        """The resolved config; None for a model that gradlab only watched."""
        return None

    def problems(self) -> Sequence[str]:
        """What could not be written in time, or cannot be read of the tables that were asked for, a line each."""
        return ()

    def findings(self, tables: "Tables") -> Sequence[Finding]:
        """What the rules found. A rule is given the snapshot before it has any."""
        return ()

    def verdict(self, tables: "Tables") -> str:
        """The findings in a word."""
        return verdict_of(tables.findings)

    def not_judged(self, tables: "Tables") -> Mapping[str, str]:
        """The rules that could not judge the run, and why."""
        return {}


class RowsSource(Source):
    """Rows in memory, which become tables when they are asked for.

    Args:
        rows: gives the rows of a table, by its name; those of `layers` a step each.
    """

    def __init__(self, rows: Callable[[str], Sequence[Any]]) -> None:
        self._rows = rows

    def table(self, name: str) -> pl.DataFrame:
        """A table of these rows; empty where there are none."""
        rows = self._rows(name)
        return layers_frame(rows) if name == "layers" else rows_frame(name, rows)


class Tables:
    """A run as it stands at one moment: whole or cut off, configured or only watched. It does not change.

    Its parts are read from the source when they are first asked for, and kept.

    Args:
        source: where the parts come from.
        name: what the run is called.
        path: its folder; of a run that has none, the working directory.
        status: `running`, `completed`, `diverged`, `interrupted`, `failed`, or `inspected`.
        summary: what `summary.json` holds.
        parts: tables, the config or the findings, by name, that are at hand already.
    """

    def __init__(
        self,
        source: Source | None = None,
        *,
        name: str = "",
        path: Path = Path(),
        status: str = "completed",
        summary: Mapping[str, Any] | None = None,
        **parts: Any,
    ) -> None:
        about = {"name": name, "path": path, "status": status, "summary": summary or {}}
        vars(self).update(about, _source=source or Source(), **parts)

    if TYPE_CHECKING:
        name: str
        path: Path
        status: str
        summary: Mapping[str, Any]
        _source: Source

    def __setattr__(self, name: str, value: object) -> NoReturn:
        raise FrozenInstanceError(f"cannot change {name!r} of a snapshot")

    @cached_property
    def config(self) -> Config | None:
        """The resolved config; None for a model that gradlab only watched."""
        return self._source.config()

    @cached_property
    def layers(self) -> pl.DataFrame:
        """A row a recorded step and module."""
        return self._source.table("layers")

    @cached_property
    def steps(self) -> pl.DataFrame:
        """A row a step."""
        return self._source.table("steps")

    @cached_property
    def evaluations(self) -> pl.DataFrame:
        """Loss and accuracy of each split, about a dozen times; empty for a model that was only watched."""
        return self._source.table("evaluations")

    @cached_property
    def histograms(self) -> pl.DataFrame:
        """Distributions of activations, deltas, weights and weight gradients."""
        return self._source.table("histograms")

    @cached_property
    def theory(self) -> pl.DataFrame:
        """What mean-field theory predicts, a row a hidden layer; empty where it does not cover the network."""
        return self._source.table("theory")

    @cached_property
    def modules(self) -> pl.DataFrame:
        """The graph of a step, a row a module: what feeds it, and its chain; empty where no graph was walked."""
        return self._source.table("modules")

    @cached_property
    def findings(self) -> list[Finding]:
        """What the rules found, in the order of causes (`gradlab.diagnosis.causes`)."""
        return list(self._source.findings(self))

    @cached_property
    def verdict(self) -> str:
        """Id of the worst finding's rule, `healthy`, or `unknown` for a run that has not been judged."""
        return self._source.verdict(self)

    @cached_property
    def not_judged(self) -> Mapping[str, str]:
        """The rules that had nothing to say about the run, and why."""
        return self._source.not_judged(self)

    @property
    def problems(self) -> Sequence[str]:
        """What could not be written in time, or cannot be read of the tables that were asked for, a line each."""
        return self._source.problems()

    @cached_property
    def recorded_steps(self) -> list[int]:
        """The steps that have rows in `layers`, ascending."""
        return [int(step) for step in self.layers["step"].unique().sort()]

    @cached_property
    def judged(self) -> pl.DataFrame:
        """`layers` without the death throes of a diverged run, the first record always kept."""
        if self.status != "diverged":
            return self.layers
        bad = self.bad_step
        steps = [step for step in self.recorded_steps if bad is None or step <= bad]
        return self.layers.filter(pl.col("step").is_in([*steps[:1], *steps[1:-DEATH_THROES]]))

    @cached_property
    def activation(self) -> Activation | None:
        """The activation function, where it is known."""
        return None if self.config is None else self.config.model.hidden_activation

    @cached_property
    def activation_traits(self) -> Traits | None:
        """What is known of the activation function; of one of the user's own, what the run has measured of it."""
        if not isinstance(self.activation, PythonActivation):
            return None if self.activation is None else self.activation.traits
        measured = self.summary.get("activation_traits")
        if not isinstance(measured, Mapping):
            return None
        values: dict[str, Any] = {name: measured.get(name) is True for name in MEASURED_TRAITS}
        return Traits(**values)

    @cached_property
    def steps_done(self) -> int:
        """Steps that the run did, as far as its tables tell."""
        return max([*self.steps["step"], *self.recorded_steps], default=-1) + 1

    @cached_property
    def bad_step(self) -> int | None:
        """The step at which a run diverged: the first whose loss is not finite."""
        bad = self.steps.filter(~pl.col("loss").is_finite())
        return int(bad["step"][0]) if self.status == "diverged" and bad.height else None

    def split(self, name: str) -> pl.DataFrame:
        """The evaluations of one split, in the order of steps."""
        return self.evaluations.filter(pl.col("split") == name).sort("step")
