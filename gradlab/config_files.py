"""YAML text ─► Config, with every problem at once and where it stands; and a Config back to YAML.

    text ─► (data, lines) ─► overrides ─► pydantic ─► Config
                 └── the line of every key, so that a problem found later can still say file:line

YAML here is the core schema of YAML 1.2: `1e-3` is a number, `no` is a string, a date is a string.
"""

import difflib
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, get_args

import yaml
from pydantic import ValidationError
from pydantic_core import ErrorDetails

from gradlab.choices import ACTIVATIONS, ALIASES, DATASETS, INITIALIZERS, OPTIMIZERS, Choice, Options
from gradlab.config import Config
from gradlab.errors import ConfigError, Problem

Path_ = tuple[str | int, ...]

CHOICES: Mapping[str, tuple[str, Mapping[str, type[Choice]]]] = {
    "model.activation": ("an activation", ACTIVATIONS),
    "model.initializer": ("an initializer", INITIALIZERS),
    "data": ("a dataset", DATASETS),
    "train.optimizer": ("an optimizer", OPTIMIZERS),
}
"""Where a config names one of a registry's choices."""


def load_config(
    source: str | Path | Mapping[str, Any] | Config, overrides: Sequence[str] | Mapping[str, Any] = ()
) -> Config:
    """Make a Config from a file, a dict or another Config, with overrides applied.

    Args:
        source: path of a YAML file, a dict of the same form, or a Config.
        overrides: `["model.depth=50"]`, values as in YAML, or `{"model.depth": 50}`.

    Raises:
        ConfigError: all that is wrong with it.
    """
    if isinstance(source, Config):
        document = Document(source.model_dump(mode="json"))
    elif isinstance(source, Mapping):
        document = Document(_plain(source))
    else:
        document = read_document(Path(source))
    return document.overridden(overrides).config()


def dump_config(config: Config) -> str:
    """YAML that loads as an equal config with the same id."""
    return yaml.dump(config.model_dump(mode="json"), Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=100)


@dataclass(frozen=True)
class Document:
    """Data that may become a Config, and where each part of it stands.

    Attributes:
        data: nested dicts, lists and scalars.
        places: `file:line`, or an override as it was typed, by the path of a key.
        base: directory that relative paths in `data` refer to.
        problems: what is wrong already.
        unreadable: keys among those problems whose value is not known, so that nothing else is said of it.
    """

    data: dict[str, Any]
    places: Mapping[Path_, str] = field(default_factory=dict)
    base: Path = field(default_factory=Path.cwd)
    problems: tuple[Problem, ...] = ()
    unreadable: frozenset[Path_] = frozenset()

    def place(self, path: Path_) -> str:
        """Where a key stands; else one below it, which brought it in; else the nearest above it."""
        if path not in self.places:
            below = next((place for known, place in self.places.items() if path and known[: len(path)] == path), None)
            if below is not None:
                return below
        return next((self.places[path[:end]] for end in range(len(path), -1, -1) if path[:end] in self.places), "")

    def overridden(self, overrides: Sequence[str] | Mapping[str, Any]) -> "Document":
        """The document with each override in the place it names."""
        data, places, problems = _plain(self.data), dict(self.places), list(self.problems)
        items = (
            [(f"{key}={flow(value)}", str(key), _plain(value)) for key, value in overrides.items()]
            if isinstance(overrides, Mapping)
            else [_parse_override(text) for text in ([overrides] if isinstance(overrides, str) else overrides)]
        )
        given: set[str] = set()
        for item in items:
            if isinstance(item, Problem):
                problems.append(item)
                continue
            typed, key, value = item
            path = tuple(key.split("."))
            if not all(path):
                problems.append(Problem(NO_OVERRIDE, typed))
                continue
            if blocker := _blocker(data, path):
                problems.append(Problem(f"{_dotted(path)}: {blocker} is a value and has no keys", typed))
                continue
            path = _set(data, path, _absolute(value, path, Path.cwd()))
            _drop_excluded(data, key, given)
            given.add(key)
            places = {old: place for old, place in places.items() if old[: len(path)] != path}
            places[path] = typed
        return Document(data, places, self.base, tuple(problems), self.unreadable)

    def config(self) -> Config:
        """The Config.

        Raises:
            ConfigError: all that is wrong.
        """
        data = _absolute(self.data, (), self.base)
        problems = list(self.problems)
        try:
            config = Config.model_validate(data)
        except ValidationError as error:
            problems += self._explain(error.errors(include_url=False), data)
        if problems:
            raise ConfigError(sorted(problems, key=_line))
        return config

    def _explain(self, errors: Iterable[ErrorDetails], data: Any) -> list[Problem]:
        """Pydantic's errors in our words; those of the branches of one union become one."""
        found: dict[Path_, Problem] = {}
        for error in errors:
            path = written_path(error, data)
            if any(path[:end] in found for end in range(1, len(path))):
                continue  # the branches of a union: one problem is enough
            if any(unreadable[: len(path)] == path for unreadable in self.unreadable):
                continue
            message = _message(error, path, data)
            place = self.place((*path, "name") if error["type"] == "union_tag_invalid" else path)
            found.setdefault(path, Problem(f"{_dotted(path)}: {message}" if path else message, place))
        return list(found.values())


# ------------------------------------------------------------------------------------------------------------ reading


def read_document(path: Path) -> Document:
    """Read a YAML file.

    Raises:
        ConfigError: there is no such file, or it is no YAML mapping.
    """
    return parse_document(_read(path), path)


def parse_document(text: str, path: Path) -> Document:
    """The document of a YAML text that stands, or might stand, in a file.

    Raises:
        ConfigError: the text is no YAML mapping.
    """
    try:
        nodes = list(yaml.compose_all(text, Loader=_Loader))
    except yaml.YAMLError as error:
        raise ConfigError([_syntax_problem(error, text, path)]) from None
    except RecursionError:
        raise ConfigError([Problem("is nested too deeply", str(path))]) from None
    if not nodes:
        raise ConfigError([Problem("the file is empty", str(path))], fix="gradlab init writes a config to start from.")
    if len(nodes) > 1:
        line = nodes[1].start_mark.line + 1
        raise ConfigError([Problem("a second document begins here; a config is one document", f"{path}:{line}")])
    node = nodes[0]
    if not isinstance(node, yaml.MappingNode):
        kind = "a list" if isinstance(node, yaml.SequenceNode) else "a single value"
        place = f"{path}:{node.start_mark.line + 1}"
        raise ConfigError([Problem(f"a config is a mapping of keys to values, not {kind}", place)])
    builder = _Builder(lambda node: f"{path}:{node.start_mark.line + 1}")
    data = {"name": _name_of(path), **builder.mapping(node, ())}
    places = {(): str(path), **builder.places}
    return Document(data, places, path.parent.absolute(), tuple(builder.problems), frozenset(builder.unreadable))


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        siblings = [str(p) for p in sorted(path.parent.glob("*.y*ml"))] if path.parent.is_dir() else []
        hint = did_you_mean(str(path), siblings)
        known = f"  (there is: {', '.join(siblings[:10])})" if siblings else ""
        fix = "" if siblings else "gradlab init writes a config to start from."
        raise ConfigError([Problem(f"there is no such file{hint}{known}", str(path))], fix=fix) from None
    except IsADirectoryError:
        raise ConfigError([Problem("is a directory; name a YAML file in it", str(path))]) from None
    except UnicodeDecodeError as error:
        line = error.object[: error.start].count(b"\n") + 1
        raise ConfigError([Problem("is not text in UTF-8", f"{path}:{line}")]) from None
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise ConfigError([Problem(f"cannot be read: {reason}", str(path))]) from None


def _syntax_problem(error: yaml.YAMLError, text: str, path: Path) -> Problem:
    if isinstance(error, yaml.reader.ReaderError):
        line = text.count("\n", 0, error.position) + 1
        return Problem(f"not YAML: the character U+{ord(text[error.position]):04X} is not allowed", f"{path}:{line}")
    mark = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
    parts = [getattr(error, "context", None), getattr(error, "problem", None)]
    said = ", ".join(part for part in parts if part) or str(error).splitlines()[0]
    hint = "; YAML indents with spaces" if "'\\t'" in said else ""
    return Problem(f"not YAML: {said}{hint}", f"{path}:{mark.line + 1}" if mark else str(path))


def _name_of(path: Path) -> str:
    return re.sub(r"[^A-Za-z0-9._-]+", "-", path.stem).lstrip("._-")[:100] or "run"


class _Builder:
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
        self._scalars = _Loader("")

    def mapping(self, node: yaml.MappingNode, path: Path_) -> dict[str, Any]:
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
                self.problems.append(Problem(f"{_dotted(here)}: given twice{first}", place))
                continue
            lines[key], self.places[here] = line, place
            data[key] = self.value(value_node, here)
        return data

    def value(self, node: yaml.Node, path: Path_) -> Any:
        if any(node is parent for parent in self._open):
            return self._unreadable(node, path, "contains itself")
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
        self.problems.append(Problem(f"{_dotted(path)}: {message}", self.places.get(path) or self.place(node)))
        self.unreadable.add(path)


class _Loader(yaml.SafeLoader):
    """The core schema of YAML 1.2: no dates, no sexagesimal numbers, no merge keys, no tags beyond it."""

    def construct_undefined(self, node: yaml.Node) -> Any:
        raise yaml.constructor.ConstructorError(None, None, f"unknown tag {node.tag}", node.start_mark)


_Loader.yaml_implicit_resolvers = {}
_Loader.yaml_constructors = {
    **{
        f"tag:yaml.org,2002:{tag}": yaml.SafeLoader.yaml_constructors[f"tag:yaml.org,2002:{tag}"]
        for tag in ("bool", "null", "str")
    },
    None: _Loader.construct_undefined,
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
    _Loader.add_implicit_resolver(_tag, _pattern, list(_first) if _first else None)
_Loader.add_constructor("tag:yaml.org,2002:int", _construct_int)
_Loader.add_constructor("tag:yaml.org,2002:float", _construct_float)


class _Dumper(yaml.SafeDumper):
    """Quotes what our loader would not read back as the string it is."""


_Dumper.yaml_implicit_resolvers = {
    first: [*resolvers, *_Loader.yaml_implicit_resolvers.get(first, [])]
    for first, resolvers in {
        **{first: [] for first in _Loader.yaml_implicit_resolvers},
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


_Dumper.add_representer(float, _represent_float)
_Dumper.add_representer(str, _represent_text)
_Dumper.add_representer(list, _represent_list)


# ---------------------------------------------------------------------------------------------------------- overrides


NO_OVERRIDE = "an override is KEY=VALUE with a dotted key, such as model.depth=50"


def _parse_override(text: str) -> tuple[str, str, Any] | Problem:
    key, equals, value = text.partition("=")
    key, text = key.strip(), _one_line(text)
    if not equals or not key:
        return Problem(NO_OVERRIDE, text)
    try:
        node = yaml.compose(value, Loader=_Loader)
    except (yaml.YAMLError, RecursionError):
        return Problem(f"{_one_line(key)}: the value is not YAML", text)
    builder = _Builder(lambda _: text)
    data = None if node is None else builder.value(node, tuple(key.split(".")))
    return builder.problems[0] if builder.problems else (text, key, data)


def _blocker(data: Any, path: tuple[str, ...]) -> str | None:
    """What stands above a path and cannot hold keys."""
    for end in range(1, len(path)):
        data, dotted = data.get(path[end - 1]), _dotted(path[:end])
        if data is None or (isinstance(data, str) and dotted in CHOICES):
            return None  # there will be a mapping when the value is set
        if not isinstance(data, dict):
            return dotted
    return None


def _set(data: dict[str, Any], path: tuple[str, ...], value: Any) -> tuple[str, ...]:
    """Put a value at a path. A choice that changes its name keeps the options that the new one knows.

    Returns:
        The path that now holds the value: that of the name, where a choice keeps its options.
    """
    node = data
    for end, key in enumerate(path[:-1], start=1):
        if not isinstance(node.get(key), dict):  # `activation: relu` is short for `{name: relu}`
            node[key] = {"name": node[key]} if node.get(key) else _default_choice(_dotted(path[:end]))
        node = node[key]
    if _dotted(path) in CHOICES and isinstance(value, str) and isinstance(node.get(path[-1]), dict):
        node, path = node[path[-1]], (*path, "name")
    node[path[-1]] = value
    choice = _dotted(path[:-1])
    if choice in CHOICES and path[-1] == "name" and isinstance(value, str):
        known = CHOICES[choice][1].get(ALIASES.get(value, value))
        for option in set(node) - set(known.model_fields) if known else ():
            del node[option]
    return path


def _default_choice(dotted: str) -> dict[str, Any]:
    """What an override of an option refers to where the file does not name a choice: the default one."""
    if dotted not in CHOICES:
        return {}
    default: Any = Config()
    for step in dotted.split("."):
        default = getattr(default, step)
    return {"name": default.name}


_EXCLUSIVE = {"train.steps": "epochs", "train.epochs": "steps"}


def _drop_excluded(data: dict[str, Any], key: str, given: set[str]) -> None:
    """An override of `steps` replaces the file's `epochs`, and the other way round; two overrides clash."""
    other = _EXCLUSIVE.get(key)
    if other is not None and f"train.{other}" not in given and data["train"].get(key.rpartition(".")[2]) is not None:
        data["train"].pop(other, None)


def _absolute(value: Any, path: Path_, base: Path) -> Any:
    """A value that stands at `path`, with the `data.path` in it made absolute."""
    if path == ("data", "path") and isinstance(value, str):
        return str(base / value)
    below = ("data", "path")[len(path) :][:1]
    if isinstance(value, dict) and path == ("data", "path")[: len(path)] and below and below[0] in value:
        return {**value, below[0]: _absolute(value[below[0]], (*path, *below), base)}
    return value


def _plain(value: Any) -> Any:
    """A deep copy as YAML would give it: dicts with words for keys, lists, and Python's own numbers for NumPy's."""
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, Path):
        return str(value)
    return value.item() if getattr(value, "shape", None) == () and hasattr(value, "item") else value


# ----------------------------------------------------------------------------------------------------------- messages


def did_you_mean(word: str, choices: Iterable[str]) -> str:
    """`; did you mean 'relu'?` if a choice is close to the word, else nothing."""
    lowered = {choice.lower(): choice for choice in choices}
    near = difflib.get_close_matches(word.lower(), lowered, n=1)
    return f"; did you mean {lowered[near[0]]!r}?" if near else ""


def _line(problem: Problem) -> tuple[bool, int]:
    """Problems of the file by line, then those of overrides."""
    _, colon, line = problem.place.rpartition(":")
    return (not colon, int(line)) if line.isdigit() else (True, 0)


def _dotted(path: Path_) -> str:
    return _one_line(".".join(map(str, path)))


def _one_line(text: str) -> str:
    """Text with its line breaks spelled out: a problem is one line, whatever it quotes."""
    return text if text.isprintable() else repr(text)[1:-1]


def written_path(error: ErrorDetails, data: Any) -> Path_:
    """Pydantic's location as the user wrote it: without the names of unions' branches."""
    path: list[str | int] = []
    for step in error["loc"]:
        inside: Any = data if isinstance(data, Mapping) else range(len(data)) if isinstance(data, list) else ()
        if step in inside:
            data = data[step]
            path.append(step)
    if error["type"] == "missing" and isinstance(data, Mapping):
        path.append(error["loc"][-1])
    return tuple(path)


def _message(error: ErrorDetails, path: Path_, data: Any) -> str:
    """One problem in plain words: what arrived, what was allowed."""
    kind, context, given = error["type"], error.get("ctx", {}), flow(error["input"])
    dotted = _dotted(path)
    bounds = {"greater_than_equal": "at least", "greater_than": "greater than", "less_than_equal": "at most",
              "less_than": "less than"}  # fmt: skip
    if kind == "extra_forbidden":
        known = list(_fields(path[:-1], data))
        return f"unknown key{did_you_mean(str(path[-1]), known)}  (choices: {', '.join(known)})"
    if dotted in CHOICES:
        return _choice_message(error, dotted)
    if dotted.removesuffix(".name") in CHOICES and kind in ("union_tag_invalid", "union_tag_not_found"):
        return _choice_message(error, dotted.removesuffix(".name"))
    if kind in bounds:
        limit = next(iter(context.values()))
        return f"must be {bounds[kind]} {limit if isinstance(limit, int) else f'{limit:g}'}, not {given}"
    if kind == "value_error":
        return str(context["error"])
    if kind == "missing" and not isinstance(error["loc"][-1], int):
        return "is missing"
    if kind == "literal_error":
        allowed = _literals(path, data) or str(context["expected"]).replace("'", "").replace(" or ", ", ").split(", ")
        word = str(error["input"])
        return f"must be one of the choices, not {given}{did_you_mean(word, allowed)}  (choices: {', '.join(allowed)})"
    if kind == "string_pattern_mismatch":
        return _PATTERNS.get(dotted, f"must match {context.get('pattern')}") + f", not {given}"
    return f"must be {_expected(path, kind)}, not {given}"


_PATTERNS = {
    "name": "must be letters, digits, '.', '_' and '-', beginning with a letter or digit",
    "device": "must be auto, cpu, cuda, cuda:0 (or another number) or mps",
}
_EXPECTED = {
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "int_parsing_size": "a smaller whole number",
    "float_type": "a number",
    "finite_number": "a finite number",
    "bool_type": "true or false",
    "string_type": "text in quotes",
    "string_too_short": "a name",
    "string_too_long": "a shorter name",
    "list_type": "a list",
    "tuple_type": "a list of two numbers",
    "missing": "a list of two numbers",
    "too_short": "a list of two numbers",
    "too_long": "a list of two numbers",
    "path_type": "a path",
}
_EXPECTED_AT = {
    "model.width": "a whole number, at least 1, or a list of them",
    "data.dataset": "a name or a number",
    "data.version": "a whole number or 'active'",
}


def _expected(path: Path_, kind: str) -> str:
    dotted = _dotted(path)
    if dotted in _EXPECTED_AT:
        return _EXPECTED_AT[dotted]
    if kind in ("model_type", "model_attributes_type", "dict_type"):
        known = list(_fields(path, {}))
        return f"a mapping with the keys {', '.join(known)}" if known else "a mapping"
    return _EXPECTED.get(kind, "something else")


def _choice_message(error: ErrorDetails, dotted: str) -> str:
    noun, registry = CHOICES[dotted]
    given = error["input"]
    name = given.get("name") if isinstance(given, Mapping) else given
    names = [*registry, *(alias for alias, target in ALIASES.items() if target in registry)]
    choices = f"  (choices: {', '.join(names)})"
    if error["type"] == "value_error":
        return str(error["ctx"]["error"])
    if isinstance(given, Mapping) and "name" not in given:
        return f"has no name{choices}"
    if not isinstance(name, str):
        return f"must be a name or a mapping with a name, not {flow(name)}{choices}"
    return f"{name!r} is not {noun}{did_you_mean(name, names)}{choices}"


def _fields(path: Path_, data: Any) -> Iterable[str]:
    """The keys that are allowed at a path."""
    dotted = _dotted(path)
    if dotted in CHOICES:
        for step in path:
            data = data.get(step) if isinstance(data, Mapping) else None
        name = data.get("name", _default_choice(dotted)["name"]) if isinstance(data, Mapping) else data
        choice = CHOICES[dotted][1].get(ALIASES.get(str(name), str(name)))
        return choice.model_fields if choice else ()
    model: type[Options] = Config
    for step in path:
        annotation = model.model_fields[str(step)].annotation if str(step) in model.model_fields else None
        if not (isinstance(annotation, type) and issubclass(annotation, Options)):
            return ()
        model = annotation
    return model.model_fields


def _literals(path: Path_, data: Any) -> list[str]:
    """The words that a field of the fixed part of a config may have."""
    model: Any = Config
    for step in path[:-1]:
        found = model.model_fields.get(str(step)) if isinstance(model, type) and issubclass(model, Options) else None
        model = found.annotation if found else None
    if not (isinstance(model, type) and issubclass(model, Options)) or str(path[-1]) not in model.model_fields:
        return []
    return [str(word) for word in get_args(model.model_fields[str(path[-1])].annotation)]


def flow(value: Any) -> str:
    """A value in one short line, as one would type it."""
    value = _plain(value)
    if value is None or isinstance(value, bool | int | float | list | dict):
        try:
            text = yaml.dump(value, Dumper=_Dumper, default_flow_style=True, width=1 << 20).splitlines()[0]
        except (yaml.YAMLError, ValueError, RecursionError):
            text = f"a {type(value).__name__}"  # with something in it that YAML has no words for
    else:
        text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."
