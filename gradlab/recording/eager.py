"""Recorded steps run without torch.compile: compiled code calls no hooks, and would be compiled anew for them.

The stance "force_eager" (`torch.compiler.set_stance`) makes everything that is compiled run as it was written, and
keeps what has been compiled for later. The stance belongs to the whole process. So it is set when the first recorder
begins a recorded step, and set back when no recorder is in one.
"""

import weakref
from typing import Any

from gradlab.recording.torch_private import compiler_stance, is_compiler_there, set_eager

MESSAGE = (
    "Recorded steps run without torch.compile, because compiled code calls no hooks: with every=1 these are all steps, "
    "and every=10 keeps most of the speed."
)
"""What is said once where something is compiled."""
RAN_COMPILED = (
    "A part of the model ran compiled in a recorded step, because the loop sets the compiler's stance itself. What "
    "was compiled before has no rows; what is compiled now is compiled in pieces, around the hooks of gradlab. Call "
    "torch.compiler.set_stance once, before gradlab.watch, or record the model without torch.compile."
)
"""What is said once where compiled code ran in a recorded step."""


class Compiler:
    """Turns the compiler off and on. A stance that the training loop has set in the meantime stays."""

    def __init__(self) -> None:
        self._off_for: weakref.WeakSet[object] = weakref.WeakSet()
        self._ours: Any = None

    def turn_off(self, recorder: object) -> None:
        """Run everything as it was written: a recorder begins a recorded step."""
        self._off_for.add(recorder)
        if self._is_off() or not is_compiler_there():
            return
        setting = set_eager()
        if self._ours is None:
            self._ours = setting
        else:  # always the same object: a block of the loop may bring it back later, and it has to be known then
            self._ours.prev = setting.prev
            self._ours.__enter__()

    def turn_on(self, recorder: object) -> None:
        """Run as before, unless another recorder is in a recorded step; also where the compiler is on already."""
        self._off_for.discard(recorder)
        if not self._off_for and self._ours is not None and self._is_off():
            self._ours.__exit__(None, None, None)

    def _is_off(self) -> bool:
        return self._ours is not None and compiler_stance() is self._ours.stance


COMPILER = Compiler()
"""The compiler of this process."""
