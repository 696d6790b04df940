"""No fault of gradlab ends somebody's training: an error in a hook becomes a warning, once a place and reason."""

import warnings
from collections.abc import Callable
from typing import Any

from gradlab.text import printable


class Guard:
    """Decides what becomes of errors in hooks.

    Args:
        strict: raise them.
    """

    def __init__(self, *, strict: bool = False) -> None:
        self.strict = strict
        self._said: set[str] = set()

    def warn(self, message: str, *, once_for: str | None = None) -> None:
        """Say something, once; of several messages about the same matter, the first one only."""
        if (once_for or message) not in self._said:
            self._said.add(once_for or message)
            warnings.warn(printable(message), RuntimeWarning, stacklevel=2)

    def failed(self, where: str, error: Exception) -> None:
        """Something could not be recorded; called while the error is being handled.

        Args:
            where: what could not be recorded: the name of a module, for example.
            error: what has happened.
        """
        if self.strict:
            raise error
        self.warn(
            f"gradlab could not record {where}: {type(error).__name__}: {error}. What it could not record is null; the "
            "training goes on. With strict=True the error is raised."
        )

    def closed(self, function: Callable[..., Any], where: str) -> Callable[..., Any]:
        """A function that does the same, and does not raise; it returns None where it fails."""

        def call(*arguments: Any) -> Any:
            try:
                return function(*arguments)
            except Exception as error:
                self.failed(where, error)

        return call
