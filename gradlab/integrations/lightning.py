"""For Lightning: `Trainer(callbacks=[Watch(into="runs/my-run")])`."""

from functools import partial
from inspect import signature
from pathlib import Path
from typing import TYPE_CHECKING, Any

try:
    from lightning.pytorch import Callback
except ImportError as error:
    raise ImportError("this needs Lightning: pip install 'gradlab[lightning]'") from error

from gradlab import watching
from gradlab.announcing import RANKS
from gradlab.errors import StopTraining

if TYPE_CHECKING:
    from gradlab.tables import Finding


class Watch(Callback):
    """Watches a training from its start to its end, however it ends.

    Args:
        into: see `gradlab.watch`.
        options: all other options of `gradlab.watch`. Where `on_finding` raises `gradlab.StopTraining`, the trainer
            stops. Each new finding is passed to the trainer's loggers, as `gradlab/<rule>`: 1 for information, 2 for a
            warning, 3 for an error; to TensorBoard its message, too, as a text.

    Raises:
        TypeError: `gradlab.watch` has no such option.

    Attributes:
        recorder: the `gradlab.watching.Watch`; None before training starts.
    """

    def __init__(self, into: str | Path | None = None, **options: Any) -> None:
        signature(watching.watch).bind(None, None, into=into, **options)  # a misspelt option is an error here
        self._options = {"into": into, **options}
        self.recorder: watching.Watch | None = None

    def on_train_start(self, trainer: Any, pl_module: Any) -> None:
        """Begin to watch the module and all of its optimizers."""
        heard = partial(self._hear, trainer)
        self.recorder = watching.watch(pl_module, trainer.optimizers, **{**self._options, "on_finding": heard})
        self.recorder.__enter__()

    def _hear(self, trainer: Any, finding: "Finding") -> None:
        """Pass a finding on to the loggers, and to whoever asked for it."""
        for logger in trainer.loggers:
            name = f"gradlab/{finding.rule}"
            logger.log_metrics({name: RANKS[finding.severity]}, step=trainer.global_step)
            add_text = getattr(logger.experiment, "add_text", None)
            if add_text is not None:  # TensorBoard
                add_text(name, finding.message, trainer.global_step)
        try:
            if self._options.get("on_finding") is not None:
                self._options["on_finding"](finding)
        except StopTraining:
            trainer.should_stop = True

    def on_train_end(self, trainer: Any, pl_module: Any) -> None:
        """Remove every hook; write the rest."""
        self._end(None)

    def on_exception(self, trainer: Any, pl_module: Any, exception: BaseException) -> None:
        """The same after an exception."""
        self._end(exception)

    def _end(self, error: BaseException | None) -> None:
        if self.recorder is not None and self.recorder.status == "running":
            self.recorder.__exit__(type(error) if error else None, error, None)
