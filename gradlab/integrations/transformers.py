"""For Hugging Face: `Trainer(…, callbacks=[Watch(into="runs/my-run")])`."""

from functools import partial
from inspect import signature
from pathlib import Path
from typing import TYPE_CHECKING, Any

try:
    from transformers import TrainerCallback
except ImportError as error:
    raise ImportError("this needs transformers: pip install 'gradlab[transformers]'") from error

from gradlab import watching
from gradlab.announcing import RANKS
from gradlab.errors import StopTraining

if TYPE_CHECKING:
    from gradlab.tables import Finding


class Watch(TrainerCallback):
    """Watches a training from its start to its end.

    Args:
        into: see `gradlab.watch`.
        options: all other options of `gradlab.watch`. Where `on_finding` raises `gradlab.StopTraining`, the trainer
            stops. Each new finding is in the trainer's log history, as `gradlab/<rule>`: 1 for information, 2 for a
            warning, 3 for an error; callbacks that come after this one log it, too.

    Raises:
        TypeError: `gradlab.watch` has no such option.

    Attributes:
        recorder: the `gradlab.watching.Watch`; None before training starts.
    """

    def __init__(self, into: str | Path | None = None, **options: Any) -> None:
        signature(watching.watch).bind(None, None, into=into, **options)  # a misspelt option is an error here
        self._options = {"into": into, **options}
        self.recorder: watching.Watch | None = None
        self._unlogged: dict[str, int] = {}
        self._stop = False

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Begin to watch the model and its optimizer, out of what Accelerate has wrapped around it."""
        optimizer = kwargs["optimizer"]
        optimizer = getattr(optimizer, "optimizer", optimizer)
        heard = partial(self._hear, state, control)
        self.recorder = watching.watch(kwargs["model"], optimizer, **{**self._options, "on_finding": heard})
        self.recorder.__enter__()

    def _hear(self, state: Any, control: Any, finding: "Finding") -> None:
        """Pass a finding on to the trainer's log, and to whoever asked for it."""
        numbers = {f"gradlab/{finding.rule}": RANKS[finding.severity]}
        state.log_history.append({**numbers, "step": state.global_step})
        self._unlogged.update(numbers)
        try:
            if self._options.get("on_finding") is not None:
                self._options["on_finding"](finding)
        except StopTraining:
            self._stop = True
            control.should_training_stop = True

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Stop: the trainer has cleared what was asked for during the step."""
        if self._stop:
            control.should_training_stop = True

    def on_log(self, args: Any, state: Any, control: Any, logs: dict[str, Any] | None = None, **kwargs: Any) -> None:
        """Add the findings that are new to what callbacks after this one log."""
        if logs is not None:
            logs.update(self._unlogged)
            self._unlogged.clear()

    def on_train_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Remove every hook; write the rest."""
        if self.recorder is not None and self.recorder.status == "running":
            self.recorder.__exit__(None, None, None)
