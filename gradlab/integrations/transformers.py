"""For Hugging Face: `Trainer(…, callbacks=[Watch(into="runs/my-run")])`."""

from inspect import signature
from pathlib import Path
from typing import Any

try:
    from transformers import TrainerCallback
except ImportError as error:
    raise ImportError("this needs transformers: pip install 'gradlab[transformers]'") from error

from gradlab import watching


class Watch(TrainerCallback):
    """Watches a training from its start to its end.

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

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Begin to watch the model and its optimizer, out of what Accelerate has wrapped around it."""
        optimizer = kwargs["optimizer"]
        optimizer = getattr(optimizer, "optimizer", optimizer)
        self.recorder = watching.watch(kwargs["model"], optimizer, **self._options)
        self.recorder.__enter__()

    def on_train_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Remove every hook; write the rest."""
        if self.recorder is not None and self.recorder.status == "running":
            self.recorder.__exit__(None, None, None)
