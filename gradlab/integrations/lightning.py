"""For Lightning: `Trainer(callbacks=[Watch(into="runs/my-run")])`."""

from inspect import signature
from pathlib import Path
from typing import Any

try:
    from lightning.pytorch import Callback
except ImportError as error:
    raise ImportError("this needs Lightning: pip install 'gradlab[lightning]'") from error

from gradlab import watching


class Watch(Callback):
    """Watches a training from its start to its end, however it ends.

    Args:
        into: see `gradlab.watch`.
        options: all other options of `gradlab.watch`.

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
        self.recorder = watching.watch(pl_module, trainer.optimizers, **self._options)
        self.recorder.__enter__()

    def on_train_end(self, trainer: Any, pl_module: Any) -> None:
        """Remove every hook; write the rest."""
        self._end(None)

    def on_exception(self, trainer: Any, pl_module: Any, exception: BaseException) -> None:
        """The same after an exception."""
        self._end(exception)

    def _end(self, error: BaseException | None) -> None:
        if self.recorder is not None and self.recorder.status == "running":
            self.recorder.__exit__(type(error) if error else None, error, None)
