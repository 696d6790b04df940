"""Words that every message is made of."""

import difflib
from collections.abc import Iterable, Sequence


def did_you_mean(word: str, choices: Iterable[str]) -> str:
    """`; did you mean 'relu'?` if a choice is close to the word, else nothing."""
    lowered = {choice.lower(): choice for choice in choices}
    near = difflib.get_close_matches(word.lower(), lowered, n=1)
    return f"; did you mean {lowered[near[0]]!r}?" if near else ""


def dotted(path: Sequence[str | int]) -> str:
    """A path of keys as one types it: `model.depth`."""
    return one_line(".".join(map(str, path)))


def one_line(text: str) -> str:
    """Text with its line breaks spelled out: a problem is one line, whatever it quotes."""
    return text if text.isprintable() else repr(text)[1:-1]
