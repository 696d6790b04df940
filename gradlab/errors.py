"""Everything that gradlab raises on purpose.

GradlabError                  carries a message and a fix
└── UserError                 the input is wrong: the command line prints it and exits with 2
    ├── ConfigError           a config file, a dict or an override; carries every problem at once
    ├── DatasetError          a dataset cannot be read or does not fit the task
    ├── RunFolderError        a run folder cannot be written, or is none
    └── RunBusyError          another process is writing the same run

StopTraining                  no error: ends a training that is watched
"""

from collections.abc import Sequence
from dataclasses import dataclass

from gradlab.text import printable

MOST_PLACE = 300
"""Characters of a place that are quoted; an override may be as long as anybody likes."""


class GradlabError(Exception):
    """The base of all gradlab errors. What a message quotes of somebody else's is made safe for a terminal.

    Args:
        message: what is wrong, with what arrived and what was allowed.
        fix: what to do about it, one sentence; empty where the message says it.
    """

    def __init__(self, message: str, *, fix: str = "") -> None:
        self.message = printable(message)
        self.fix = printable(fix)
        super().__init__(self.message)

    def __str__(self) -> str:
        return f"{self.message}\n{self.fix}" if self.fix else self.message


class UserError(GradlabError):
    """The user's input is wrong. Nothing has been written."""


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong with a config.

    Attributes:
        message: what is wrong, naming the key by its dotted path.
        place: `file:line`, the override as it was typed, or empty for a dict.
    """

    message: str
    place: str = ""

    def __str__(self) -> str:
        place = self.place if len(self.place) <= MOST_PLACE else f"{self.place[: MOST_PLACE - 3]}..."
        return f"{place}: {self.message}" if place else self.message


class ConfigError(UserError):
    """A config is wrong. `problems` holds all that is wrong with it, in the order of the file."""

    def __init__(self, problems: Sequence[Problem], *, fix: str = "") -> None:
        super().__init__("\n".join(map(str, problems)), fix=fix)
        self.problems = tuple(problems)


class DatasetError(UserError):
    """A dataset cannot be read, or it does not fit the task."""


class RunFolderError(UserError):
    """A run folder cannot be written, or what was named is not a run."""


class RunBusyError(UserError):
    """Another process is writing the run of the same config right now."""


class StopTraining(BaseException):
    """Raised by `on_finding` of `gradlab.watch`: ends the `with` block cleanly, and the training in it.

    No `Exception`, so that it passes through loops that go on after errors, as `KeyboardInterrupt` does.
    """


class RunInterrupted(KeyboardInterrupt):
    """Ctrl-C ended a run early. What was recorded has been kept, diagnosed and drawn.

    Args:
        run: the interrupted `gradlab.results.Run`.
    """

    def __init__(self, run: object) -> None:
        super().__init__(str(run))
        self.run = run
