"""YAML text ─► plain data, with the place of every key and every problem at once; and plain data ─► YAML text.

YAML here is the core schema of YAML 1.2: `1e-3` is a number, `no` is a string, a date is a string.
"""

import itertools
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from gradlab.errors import ConfigError, Problem
from gradlab.text import dotted

Path_ = tuple[str | int, ...]
MOST_VALUES = 100_000
"""Of a config or a sweep file; a width for each of as many layers as there may be is among them."""


def syntax_problem(error: yaml.YAMLError, text: str, path: Path) -> Problem:
    """What PyYAML found wrong with a text, and where."""
    if isinstance(error, yaml.reader.ReaderError):
        line = text.count("\n", 0, error.position) + 1
        return Problem(f"not YAML: the character U+{ord(text[error.position]):04X} is not allowed", f"{path}:{line}")
    mark = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
    parts = [getattr(error, "context", None), getattr(error, "problem", None)]
    said = ", ".join(part for part in parts if part) or str(error).splitlines()[0]
    hint = "; YAML indents with spaces" if "'\\t'" in said else ""
    return Problem(f"not YAML: {said}{hint}", f"{path}:{mark.line + 1}" if mark else str(path))


class Builder:
    """YAML nodes ─► plain data, collecting places and problems on the way.

    Args:
        place: what to call the place of a node.
    """

    def __init__(self, place: Callable[[yaml.Node], str]) -> None:
        self.place = place
        self.places: dict[Path_, str] = {}
        self.problems: list[Problem] = []
        self.unreadable: set[Path_] = set()
        self._open: list[yaml.Node] = []
        self._values = 0
        self._scalars = Loader("")

    def mapping(self, node: yaml.MappingNode, path: Path_) -> dict[str, Any]:
        """The data of a mapping that stands at a path."""
        data: dict[str, Any] = {}
        lines: dict[str, int] = {}
        for key_node, value_node in node.value:
            place, line = self.place(key_node), key_node.start_mark.line + 1
            if not isinstance(key_node, yaml.ScalarNode):
                self.problems.append(Problem("a key must be a word", place))
                continue
            key = str(key_node.value)
            here = (*path, key)
            if key in data:
                first = f"; first in line {lines[key]}" if lines[key] != line else ""
                self.problems.append(Problem(f"{dotted(here)}: given twice{first}", place))
                continue
            lines[key], self.places[here] = line, place
            data[key] = self.value(value_node, here)
        return data

    def value(self, node: yaml.Node, path: Path_) -> Any:
        """The data of any node that stands at a path."""
        if any(node is parent for parent in self._open):
            return self._unreadable(node, path, "contains itself")
        self._values += 1
        if self._values > MOST_VALUES:  # aliases may stand for as many as anybody likes
            message = f"a config has at most {MOST_VALUES:,} values, those that an alias stands for counted each time"
            raise ConfigError([Problem(message, self.place(node))])
        self._open.append(node)
        try:
            if isinstance(node, yaml.MappingNode):
                return self.mapping(node, path)
            if isinstance(node, yaml.SequenceNode):
                return [self._item(item, (*path, index)) for index, item in enumerate(node.value)]
            return self._scalars.construct_object(node, deep=True)
        except (yaml.YAMLError, ValueError):
            tag = node.tag.replace("tag:yaml.org,2002:", "!!")
            return self._unreadable(node, path, f"{flow(node.value)} cannot be read as {tag}")
        finally:
            self._open.pop()

    def _item(self, node: yaml.Node, path: Path_) -> Any:
        self.places[path] = self.place(node)
        return self.value(node, path)

    def _unreadable(self, node: yaml.Node, path: Path_, message: str) -> None:
        self.problems.append(Problem(f"{dotted(path)}: {message}", self.places.get(path) or self.place(node)))
        self.unreadable.add(path)


class Loader(yaml.SafeLoader):
    """The core schema of YAML 1.2: no dates, no sexagesimal numbers, no merge keys, no tags beyond it."""

    def construct_undefined(self, node: yaml.Node) -> Any:
        """Refuse a tag."""
        raise yaml.constructor.ConstructorError(None, None, f"unknown tag {node.tag}", node.start_mark)


Loader.yaml_implicit_resolvers = {}
Loader.yaml_constructors = {
    **{
        f"tag:yaml.org,2002:{tag}": yaml.SafeLoader.yaml_constructors[f"tag:yaml.org,2002:{tag}"]
        for tag in ("bool", "null", "str")
    },
    None: Loader.construct_undefined,
}
_FLOAT = re.compile(r"^[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?$|^[-+]?\.(inf|Inf|INF)$|^\.(nan|NaN|NAN)$")
_INT = re.compile(r"^[-+]?[0-9]+$|^0o[0-7]+$|^0x[0-9a-fA-F]+$")
_CORE_SCHEMA: Sequence[tuple[str, re.Pattern[str], str | None]] = (
    ("tag:yaml.org,2002:bool", re.compile(r"^(true|True|TRUE|false|False|FALSE)$"), "tTfF"),
    ("tag:yaml.org,2002:int", _INT, "-+0123456789"),
    ("tag:yaml.org,2002:float", _FLOAT, "-+0123456789."),
    ("tag:yaml.org,2002:null", re.compile(r"^(~|null|Null|NULL|)$"), None),
)


def _construct_int(loader: yaml.SafeLoader, node: yaml.ScalarNode) -> int:
    text = str(loader.construct_scalar(node))
    return int(text, {"0o": 8, "0x": 16}.get(text[:2], 10))


def _construct_float(loader: yaml.SafeLoader, node: yaml.ScalarNode) -> float:
    return float(str(loader.construct_scalar(node)).lower().replace(".inf", "inf").replace(".nan", "nan"))


for _tag, _pattern, _first in _CORE_SCHEMA:
    Loader.add_implicit_resolver(_tag, _pattern, list(_first) if _first else None)
Loader.add_constructor("tag:yaml.org,2002:int", _construct_int)
Loader.add_constructor("tag:yaml.org,2002:float", _construct_float)


class Dumper(yaml.SafeDumper):
    """Quotes what our loader would not read back as the string it is."""


Dumper.yaml_implicit_resolvers = {
    first: [*resolvers, *Loader.yaml_implicit_resolvers.get(first, [])]
    for first, resolvers in {
        **{first: [] for first in Loader.yaml_implicit_resolvers},
        **yaml.SafeDumper.yaml_implicit_resolvers,
    }.items()
}


def _represent_float(dumper: yaml.SafeDumper, value: float) -> yaml.ScalarNode:
    text = repr(value).replace("inf", ".inf").replace("nan", ".nan")
    return dumper.represent_scalar("tag:yaml.org,2002:float", text)


def _represent_text(dumper: yaml.SafeDumper, value: str) -> yaml.ScalarNode:
    # PyYAML writes U+0085 and its like as line breaks where they are not in double quotes.
    return dumper.represent_scalar("tag:yaml.org,2002:str", value, style=None if value.isprintable() else '"')


def _represent_list(dumper: yaml.SafeDumper, value: list[Any]) -> yaml.SequenceNode:
    return dumper.represent_sequence("tag:yaml.org,2002:seq", value, flow_style=True)


Dumper.add_representer(float, _represent_float)
Dumper.add_representer(str, _represent_text)
Dumper.add_representer(list, _represent_list)


def plain(value: Any) -> Any:
    """A deep copy as YAML would give it: dicts with words for keys, lists, and Python's own numbers for NumPy's."""
    if value is None or type(value) in (str, int, bool, float):  # most are, and sweeps have many
        return value
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if isinstance(value, Path):
        return str(value)
    return value.item() if getattr(value, "shape", None) == () and hasattr(value, "item") else value


def _beginning(value: Any) -> Any:
    """As much of a value as fits into a short line."""
    if isinstance(value, list):
        return [_beginning(item) for item in value[:30]]
    if isinstance(value, dict):
        return {key: _beginning(item) for key, item in itertools.islice(value.items(), 30)}
    return value


def flow(value: Any) -> str:
    """A value in one short line, as one would type it."""
    value = _beginning(plain(value))
    if type(value) is int:
        text = str(value)
    elif value is None or isinstance(value, bool | int | float | list | dict):
        try:
            text = yaml.dump(value, Dumper=Dumper, default_flow_style=True, width=1 << 20).splitlines()[0]
        except (yaml.YAMLError, ValueError, RecursionError):
            text = f"a {type(value).__name__}"  # with something in it that YAML has no words for
    else:
        text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."
