"""`summary.json` ─► what of it has the right form, and what has not: the only place that checks it.

The file may be damaged, or somebody else's. A field of the wrong form is left out and named, so that whoever reads a
summary finds each field in its form or not at all. Fields that are not known here are kept as they are: a newer gradlab
has written them.
"""

import re
from collections.abc import Callable, Mapping
from math import isfinite
from pathlib import Path
from typing import Any

from gradlab.measures.headline import MEASURES
from gradlab.reading import read_json
from gradlab.run_folder.names import SUMMARY
from gradlab.tables import SEVERITIES, Finding
from gradlab.text import counted

Form = Callable[[Any], bool]
MOST_WORDS = 200
"""Characters of a name or a status."""
LARGEST = 2**53
"""Of whole numbers, which are exact up to here wherever they are read."""


def _text(value: Any) -> bool:
    return isinstance(value, str)


def _name(value: Any) -> bool:
    return isinstance(value, str) and 0 < len(value) <= MOST_WORDS


def _id(value: Any) -> bool:
    return isinstance(value, str) and re.fullmatch("[0-9A-Za-z_-]{1,64}", value) is not None


def _number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 1e308 and isfinite(value)


def _whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and abs(value) < LARGEST


def _or_nothing(form: Form) -> Form:
    return lambda value: value is None or form(value)


def _list_of(form: Form) -> Form:
    return lambda value: isinstance(value, list) and all(map(form, value))


def _mapping_of(form: Form) -> Form:
    return lambda value: isinstance(value, dict) and all(map(form, value.values()))


def _anything(value: Any) -> bool:
    return True


def _config(value: Any) -> bool:
    return isinstance(value, dict) and isinstance(value.get("watch", {}), dict)


def _unfinished(value: Any) -> bool:
    return isinstance(value, dict) and all(_number(value.get(name)) for name in ("passes", "skipped"))


FIELDS: Mapping[str, tuple[Form, str]] = {
    "schema": (_anything, "anything"),
    "id": (_id, "letters and digits"),
    "name": (_name, "a name"),
    "status": (_name, "a word"),
    "config": (_config, "a mapping of settings"),
    "verdict": (_name, "a word"),
    "findings": (_list_of(_anything), "a list"),
    "not_judged": (_mapping_of(_text), "a mapping of texts"),
    "traceback": (_text, "a text"),
    "resumed": (_list_of(_whole), "a list of whole numbers"),
    "problems": (_list_of(_text), "a list of texts"),
    "layout": (_or_nothing(_name), "a word"),
    "unfinished": (_or_nothing(_unfinished), "a mapping of numbers"),
    "graph": (_or_nothing(_mapping_of(_anything)), "a mapping"),
    "activation_traits": (_or_nothing(_mapping_of(_anything)), "a mapping"),
    "steps": (_or_nothing(_whole), "a whole number"),
    "thinned": (_or_nothing(_whole), "a whole number"),
    "step_seconds": (_or_nothing(_number), "a number"),
    "record_seconds": (_or_nothing(_number), "a number"),
    **{
        f"log10_delta_{moment}": (_or_nothing(_list_of(_or_nothing(_number))), "a list of numbers")
        for moment in ("start", "end")
    },
    **{name: (_or_nothing(_number), "a number") for name in MEASURES if name != "steps"},
}
"""For each field of a summary, whether a value has its form, and what that form is."""
FINDING: Mapping[str, Form] = {
    "rule": _name,
    "severity": lambda value: value in SEVERITIES,
    "message": _text,
    "modules": _list_of(_text),
    "layers": _list_of(_whole),
    "steps": _or_nothing(lambda value: _list_of(_whole)(value) and len(value) == 2),
    "measured": _mapping_of(_number),
    "threshold": _mapping_of(_number),
    "predicted": _mapping_of(_number),
    "remedies": _list_of(_text),
}
"""The form of each field of a finding."""


def examine_summary(path: Path) -> tuple[dict[str, Any], list[str]]:
    """What the summary of a run folder says, as far as it has the right form; and a line for each thing that has not.

    Raises:
        OSError: it cannot be read, is no regular file, or is larger than any that gradlab writes.
        ValueError: it holds something else.
    """
    given = read_json(path / SUMMARY)
    wrong = [name for name, (fits, _) in FIELDS.items() if name in given and not fits(given[name])]
    problems = [f"{SUMMARY}: {name} is not {FIELDS[name][1]}" for name in wrong]
    summary = {name: value for name, value in given.items() if name not in wrong}
    if "status" not in given:
        problems.append(f"{SUMMARY} does not say how the run ended")
    if "findings" in summary:
        summary["findings"] = [found for found in summary["findings"] if is_finding(found)]
        if missing := len(given["findings"]) - len(summary["findings"]):
            problems.append(f"{SUMMARY}: {counted(missing, 'finding')} cannot be understood")
    return summary, problems


def is_finding(data: Any) -> bool:
    """Whether data is a finding as `Finding.to_json` writes it; fields that are not known are passed over."""
    needed = {"rule", "severity", "message"}
    return (
        isinstance(data, dict)
        and needed <= data.keys()
        and all(fits(data[name]) for name, fits in FINDING.items() if name in data)
    )


def finding_of(data: Mapping[str, Any]) -> Finding:
    """The finding that data is, without the fields that are not known."""
    return Finding.from_json({name: value for name, value in data.items() if name in FINDING})
