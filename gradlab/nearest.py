"""Names that were perhaps meant: where a word is none of the names that are known, the nearest of them."""

import difflib
from collections.abc import Iterable, Sequence

LISTED = 10
"""So many names are all listed; of more names, only the nearest are."""
NEAREST = 5
"""Names that are listed of many."""


def did_you_mean(word: str, names: Iterable[str]) -> str:
    """`; did you mean 'relu'?` if a name is close to the word, else nothing."""
    near = close(word, names)
    return f"; did you mean {near[0]!r}?" if near else ""


def close(word: str, names: Iterable[str]) -> list[str]:
    """The name that is most like a word, if one is close to it."""
    lowered = {name.lower(): name for name in names}
    return [lowered[near] for near in difflib.get_close_matches(word.lower(), lowered, n=1)]


def nearest(word: str, names: Iterable[str], count: int = NEAREST) -> list[str]:
    """The names that are most like a word, the nearest first; of equally near ones, the order stays."""
    matcher = difflib.SequenceMatcher(b=word.lower())

    def likeness(name: str) -> float:
        matcher.set_seq1(name.lower())
        return matcher.ratio()

    return sorted(names, key=likeness, reverse=True)[:count]


def named(word: str, names: Sequence[str], noun: str = "choices", everything: str = "") -> str:
    """The names that there are, and before them the one that was perhaps meant.

    Args:
        word: what was written.
        names: the names that are known.
        noun: what they are called, in the plural.
        everything: the command that lists all of them; it is named where there are too many to list here.

    Examples:
        >>> named("befor", ["none", "before", "after"])
        "; did you mean 'before'?  (choices: none, before, after)"
    """
    if len(names) <= LISTED:
        listed = f"{noun}: {', '.join(names) or 'none'}"
    else:
        listed = f"nearest of {len(names)} {noun}: {', '.join(nearest(word, names))}"
        listed += f"; all of them: {everything}" if everything else ""
    return f"{did_you_mean(word, names)}  ({listed})"
