"""For Hugging Face: `Trainer(…, callbacks=[Watch(into="runs/my-run")])`."""

from functools import partial
from inspect import currentframe, signature
from pathlib import Path
from typing import TYPE_CHECKING, Any

try:
    from transformers import TrainerCallback
    from transformers.trainer_callback import CallbackHandler
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
            stops. Each new finding is logged like the loss: in the trainer's log history, and by everything it reports
            to, as `gradlab/<rule>`: 1 for information, 2 for a warning, 3 for an error, and as
            `gradlab/<rule>/message`, a text.

    Raises:
        TypeError: `gradlab.watch` has no such option.

    Attributes:
        recorder: the `gradlab.watching.Watch`; None before training starts.
    """

    def __init__(self, into: str | Path | None = None, **options: Any) -> None:
        signature(watching.watch).bind(None, None, into=into, **options)  # a misspelt option is an error here
        self._options = {"into": into, **options}
        self.recorder: watching.Watch | None = None
        self._stop = False

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Begin to watch the model and its optimizer, out of what Accelerate has wrapped around it."""
        optimizer = kwargs["optimizer"]
        optimizer = getattr(optimizer, "optimizer", optimizer)
        heard = partial(self._hear, _handler(), args, state, control)
        self.recorder = watching.watch(kwargs["model"], optimizer, **{**self._options, "on_finding": heard})
        self.recorder.__enter__()

    def _hear(self, handler: CallbackHandler | None, args: Any, state: Any, control: Any, finding: "Finding") -> None:
        """Log a finding as the trainer logs its loss, and pass it on to whoever asked for it."""
        name = f"gradlab/{finding.rule}"
        logs = {name: RANKS[finding.severity], f"{name}/message": finding.message}
        state.log_history.append({**logs, "step": state.global_step})
        if handler is not None:
            due = control.should_log
            handler.on_log(args, state, control, logs)
            control.should_log = due
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

    def on_train_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Remove every hook; write the rest."""
        if self.recorder is not None and self.recorder.status == "running":
            self.recorder.__exit__(None, None, None)


def _handler() -> CallbackHandler | None:
    """Who calls this callback and those that report. It is not handed to callbacks, so that the call stack has to tell.

    Callbacks that report come before this one: what it adds to their logs would be too late.
    """
    frame = currentframe()
    while frame is not None:
        caller = frame.f_locals.get("self")
        if isinstance(caller, CallbackHandler):
            return caller
        frame = frame.f_back
    return None
