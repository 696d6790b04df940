"""The training loop: steps that never come, steps that are skipped, gradients that are never cleared, the
wrong mode.
"""

import polars as pl

from gradlab.diagnosis.rule import Answer, NotApplicable, numbers
from gradlab.measures.spells import spell
from gradlab.tables import Finding, Tables

PATIENCE = 20
"""A training that is still going on has no step after so few backward passes because it accumulates gradients."""
WARM_UP = 25
"""A `GradScaler` begins with a scale of 2¹⁶ and halves it with each step that it skips, until the gradient fits into
float16. Among the first so many attempts, skipped steps are how it finds its scale."""
FEW_ATTEMPTS = 10
"""So many attempts after those are too few to judge."""
SKIPPED = 0.1
"""A scaler that has found its scale skips one step of 2000, to see whether a larger scale fits."""
MOST = 0.5
"""If it skips as many as this, training hardly goes on."""
LEFT = 0.25
"""Gradients were not cleared if at least this share of them was still there, so that also one of several optimizers
counts."""
EVALUATING = 0.5
"""The model trains in evaluation mode if at least this share of the modules with two modes is in it."""
USUALLY = 0.5
"""A loop clears gradients in every step or in none. A share is judged so that a call now and then counts as none."""


def no_steps(tables: Tables) -> Answer:
    """The optimizer has done no step of the watched model.

    Either backward passes were seen and no step followed, or neither was seen, or the optimizer steps while another
    model computes. Nothing is recorded then.

    What to try: call `optimizer.step()` after `backward()`; watch the model and the optimizer that the loop uses.
    """
    if tables.config is not None:
        return NotApplicable("a configured run does its own steps")
    if tables.steps.height:
        return []
    unfinished = tables.summary.get("unfinished")
    if unfinished is None:
        return NotApplicable("nobody counted the backward passes")
    passes, skipped = int(unfinished["passes"]), int(unfinished["skipped"])
    if tables.status == "running" and passes < PATIENCE:
        return NotApplicable("the first step has not ended yet")
    if skipped > MOST * passes:
        return []  # skipped-steps says more
    steps = int(tables.summary.get("steps", 0))
    message, remedy = _why_no_step(passes, steps)
    return [
        Finding("no-steps", "error", message, measured=numbers(backward_passes=passes, steps=steps), remedies=(remedy,))
    ]


def _why_no_step(passes: int, steps: int) -> tuple[str, str]:
    if steps:
        return (
            f"the optimizer did {steps} steps, and no module of the watched model computed anything in them",
            "Watch the model that the loop trains.",
        )
    if passes:
        return (
            f"{passes} backward passes were seen, and no step of the optimizer: no weight has moved",
            "Call the step of the watched optimizer after the backward pass.",
        )
    return (
        "neither a backward pass through the watched model nor a step of the optimizer was seen",
        "Watch the model and the optimizer that the loop uses, and train inside the block.",
    )


def skipped_steps(tables: Tables) -> Answer:
    """The gradient of many steps is NaN or infinite, so that they are skipped.

    In mixed precision a `GradScaler` skips such a step and halves the scale of the loss. A few skipped steps at the
    start are how it finds its scale. If it goes on, no scale helps: the gradient is NaN or infinite for another reason,
    such as an epsilon that float16 rounds to 0, or a root, a logarithm or a division of 0.

    What to try: compute the operation in float32; give it an epsilon that float16 knows (1e-4, not 1e-8).
    """
    skipped = tables.steps.drop_nulls("skipped").sort("step")
    waiting = int((tables.summary.get("unfinished") or {}).get("skipped", 0))
    if not skipped.height and not waiting:
        return NotApplicable("nobody counted the steps that were skipped")
    before = [int(count) for count in skipped["skipped"]]
    attempts = sum(before) + len(before) + waiting
    late = _after_warm_up(before, waiting)
    judged = attempts - WARM_UP
    if not late:
        return []
    if judged < FEW_ATTEMPTS:
        return NotApplicable(f"{attempts} attempts are too few to tell; {WARM_UP + FEW_ATTEMPTS} are needed")
    share = late / judged
    stuck = waiting >= FEW_ATTEMPTS
    if share < SKIPPED and not stuck:
        return []
    last = int(skipped["step"][-1]) if skipped.height else None
    since = "no step has been done at all" if last is None else f"none has been done after step {last}"
    first = skipped.filter(pl.col("skipped") > 0)["step"].head(1).to_list()
    return [
        Finding(
            rule="skipped-steps",
            severity="error" if stuck or share >= MOST else "warning",
            message=f"{sum(before) + waiting} of {attempts} attempts at a step were skipped, because the gradient was "
            f"NaN or infinite{f'; {since}' if stuck else ''}",
            steps=((*first, last or 0)[0], last or 0),
            measured=numbers(skipped=share, attempts=attempts),
            threshold={"skipped": SKIPPED},
            remedies=(
                "Find the operation whose derivative is NaN or infinite, compute it in float32, and give it an epsilon "
                "that float16 does not round to 0.",
            ),
        )
    ]


def _after_warm_up(before: list[int], waiting: int) -> int:
    """How many attempts were skipped after the first `WARM_UP`, given how many were skipped before each step."""
    late = attempts = 0
    for count in (*before, waiting):
        late += count - max(0, min(count, WARM_UP - attempts))
        attempts += count + 1
    return late


def gradients_not_cleared(tables: Tables) -> Answer:
    """Each backward pass adds to gradients that the optimizer has used already.

    PyTorch adds gradients up until somebody clears them. Without that, each update repeats all gradients since the
    start: the steps become longer and longer and point where earlier batches did. Gradients that are added up over
    several backward passes before one step are no such case. Looked at in a few steps only.

    What to try: call `optimizer.zero_grad()` once in each step, before the backward pass.
    """
    looked = tables.steps.drop_nulls("gradients_left").sort("step")
    if looked.height < 2:
        return NotApplicable("fewer than two steps were looked at")
    left = looked.filter(pl.col("gradients_left") >= LEFT)
    if left.height < max(2, USUALLY * looked.height):
        return []
    share = float(left["gradients_left"].mean())  # type: ignore[arg-type]
    some = "gradients" if share > 1 - LEFT else f"{share:.0%} of the gradients"
    return [
        Finding(
            rule="gradients-not-cleared",
            severity="error",
            message=f"backward passes add to {some} that the step before has used: they were not cleared in "
            f"{left.height} of the {looked.height} steps that were looked at",
            steps=(int(left["step"][0]), int(left["step"][-1])),
            measured=numbers(gradients_left=share),
            threshold={"gradients_left": LEFT},
            remedies=("Call optimizer.zero_grad() in each step, before the backward pass.",),
        )
    ]


def eval_mode(tables: Tables) -> Answer:
    """The model trains in evaluation mode: dropout does nothing, and batch normalization uses its running statistics.

    Where that began in mid-training, an evaluation has called `model.eval()` and nobody has called `model.train()`
    after it. From the start it is usual in fine-tuning, and information.

    What to try: call `model.train()` after each evaluation.
    """
    known = tables.steps.drop_nulls("evaluating").sort("step")
    if not known.height:
        return NotApplicable("no module computes another thing in evaluation")
    evaluating_T = known["evaluating"].to_numpy() >= EVALUATING
    when = spell(known["step"].to_numpy(), evaluating_T)
    if when is None:
        return []
    changed = when.at_end and not when.at_start
    share = float(known["evaluating"][when.quote])
    return [
        Finding(
            rule="eval-mode",
            severity="warning" if changed else "info",
            message=f"{share:.0%} of the dropout and batch normalization modules compute as in evaluation, {when}",
            steps=when.steps,
            measured=numbers(evaluating=share),
            threshold={"evaluating": EVALUATING},
            remedies=(
                "Call model.train() before the training, unless the model is meant to train as it evaluates."
                if when.at_start
                else "Call model.train() after each evaluation.",
            ),
        )
    ]
