"""A repair in the terminal: a row for the config as it was, for each trial and for the repaired config.

change                        found                        test accuracy    difference  runs
                              vanishing-gradient, …        0.103 ± 0.021                   3
model.batch_norm=before       nothing                      0.912 ± 0.010  0.809 ± 0.02     3  proven, kept
model.activation=relu …       nothing                      0.871 ± 0.021  0.768 ± 0.03     3  proven
train.learning_rate=0.5       vanishing-gradient, …                0.101        −0.003     1  ended after one seed
"""

from collections.abc import Sequence

from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from gradlab.measures.intervals import Mean
from gradlab.repair.search import Repair
from gradlab.repair.trial import LARGER_IS_BETTER, Proof, Trial, prove
from gradlab.tables import Finding
from gradlab.text import ABSENT, counted, mean_and_interval
from gradlab.views.terminal import paragraph, plain_table, print_parts

SHOWN_RULES = 2
"""Findings that a row names; the others are counted."""


def print_repair(repair: Repair, console: Console) -> None:
    """Print what was tried, what is kept, and what a repair takes its proof from."""
    parts: list[Text | Table] = []
    if repair.trials or repair.before.findings:
        parts.append(_table(repair))
    parts += [paragraph(line, console.width, style) for line, style in _conclusion(repair)]
    print_parts(parts, console)


def _table(repair: Repair) -> Table:
    table = plain_table(gap=2)
    table.add_column("change", overflow="fold")
    for column in (repair.measure.replace("_", " "), "difference", "runs"):
        table.add_column(column, justify="right", no_wrap=True)
    for trial in (repair.before, *repair.trials):
        proof = None if trial is repair.before else prove(repair.compared_with(trial), trial)
        table.add_row(*_cells(repair, trial, proof))
        about = " · ".join(filter(None, (_found(trial.findings), _result(repair, trial, proof))))
        table.add_row(Padding(Text(about, "dim"), (0, 0, 0, 2)))
    return table


def _cells(repair: Repair, trial: Trial, proof: Proof | None) -> list[Text]:
    """What was changed, its number, the difference that it makes, its runs."""
    mean = trial.mean(repair.measure)
    gain = Mean(None, None, 0) if proof is None else proof.gain
    return [
        Text(trial.remedies or "as it is", "bold" if trial in repair.kept else ""),
        Text(ABSENT if mean.value is None else mean_and_interval(mean.value, mean.half_width)),
        Text("" if gain.value is None else mean_and_interval(gain.value, gain.half_width)),
        Text(str(len(trial.outcomes))),
    ]


def _found(findings: Sequence[Finding]) -> str:
    """The findings of a trial in a few words."""
    rules = [finding.rule for finding in findings]
    more = len(rules) - SHOWN_RULES
    return ", ".join(rules[:SHOWN_RULES]) + (f" and {more} more" if more > 0 else "") or "nothing found"


def _result(repair: Repair, trial: Trial, proof: Proof | None) -> str:
    """What became of a trial, and why."""
    if proof is None:
        return trial.failure
    if trial in repair.kept:
        return "proven, kept"
    if trial.failure:
        return f"failed: {trial.failure}"
    if proof.left:
        return f"{proof.left[0]} is still there"
    if proof.come:
        return f"{proof.come[0]} has come"
    if not trial.finished:
        return "not better on the first seed"
    return "proven" if proof.proven else "the interval reaches 0"


def _conclusion(repair: Repair) -> list[tuple[str, str]]:
    """What came of it, in sentences with a style each."""
    seeds = counted(len(repair.before.configs), "seed")
    cost = f"{counted(repair.runs, 'run')} in all"
    if repair.before.failure:
        return [(f"the config does not run: {repair.before.failure}", "bold red")]
    if repair.healthy_already:
        return [(f"healthy already on {seeds}: nothing to repair", "green")]
    if not repair.trials:
        return [("nothing proven: the findings have no remedy that this config can take", "yellow")]
    if not repair.proven:
        return [(f"nothing proven; {_nearest(repair)} · {cost}", "yellow")]
    gain = prove(repair.before, repair.after).gain
    better = "higher" if LARGER_IS_BETTER[repair.measure] else "lower"
    by_how_much = mean_and_interval(gain.value, gain.half_width)
    said = f"{repair.measure.replace('_', ' ')} {by_how_much} {better} on the same {seeds}"
    remains = f"; what remains: {_found(repair.after.findings)}" if repair.after.findings else ""
    return [(f"proven: {repair.after.remedies}", "bold green"), (f"{said}{remains} · {cost}", "")]


def _nearest(repair: Repair) -> str:
    """The trial that came closest, and what speaks against it."""
    trial = repair.closest
    if trial is None:
        return "nothing was tried"
    return f"closest came {trial.remedies}: {_result(repair, trial, prove(repair.compared_with(trial), trial))}"
