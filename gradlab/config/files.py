"""YAML text ─► Config, with every problem at once and where it stands; and a Config back to YAML.

    text ─► (data, lines) ─► overrides ─► pydantic ─► Config
                 └── the line of every key, so that a problem found later can still say file:line

`yaml.py` knows YAML, `problems.py` the words for what is wrong.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from gradlab import user_code
from gradlab.choices import IN_FULL, SHORTHAND, from_shorthand
from gradlab.config import Config
from gradlab.config.keys import CHOICES, default_choice, in_full
from gradlab.config.problems import CONFIG, explain
from gradlab.config.yaml import Builder, Dumper, Loader, Path_, flow, plain, syntax_problem
from gradlab.errors import ConfigError, Problem, UserError
from gradlab.nearest import did_you_mean, nearest
from gradlab.reading import read_file
from gradlab.text import dotted, one_line

MOST_BYTES = 2**20
"""Of a config or sweep file."""


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
    return document_of(source).overridden(overrides).config()


def document_of(source: str | Path | Mapping[str, Any] | Config) -> "Document":
    """What a file, a dict or a Config says, as `load_config` takes it.

    Raises:
        ConfigError: there is no such file, or it is no YAML mapping.
    """
    if isinstance(source, Config):
        return Document(source.model_dump(mode="json"))
    return Document(plain(source)) if isinstance(source, Mapping) else read_document(Path(source))


def recorded_config(data: Any) -> Config | None:
    """The Config that a run folder has recorded, read as one of today; None of what is no config, or not one of today.

    What an older gradlab has written is among it: an option that it did not know has its default.
    """
    try:
        return Config.model_validate(data)
    except ValidationError:
        return None


def dump_config(config: Config) -> str:
    """YAML that loads as an equal config with the same id."""
    return dump(config.model_dump(mode="json"))


def dump(data: Mapping[str, Any]) -> str:
    """YAML of plain data, in their order."""
    return yaml.dump(dict(data), Dumper=Dumper, sort_keys=False, allow_unicode=True, width=100)


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

    def _several(self, path: Path_) -> str:
        """That a sweep takes several values, where an override that gives a key several is what is wrong."""
        key, _, value = self.place(path).partition("=")
        typed = in_full(key.strip()) in (dotted(path), dotted(path[:-1]))
        several = ("," in value and not value.lstrip().startswith(("[", "{"))) or value.startswith(SERIES)
        return "; gradlab sweep tries each of several values" if typed and several else ""

    def overridden(self, overrides: Sequence[str] | Mapping[str, Any]) -> "Document":
        """The document with each override in the place it names."""
        data, places = _in_full(plain(self.data), self.places)
        problems = list(self.problems)
        items = (
            [(f"{key}={flow(value)}", str(key), plain(value)) for key, value in overrides.items()]
            if isinstance(overrides, Mapping)
            else [_parse_override(text) for text in ([overrides] if isinstance(overrides, str) else overrides)]
        )
        given: set[str] = set()
        for item in items:
            if isinstance(item, Problem):
                problems.append(item)
                continue
            typed, key, value = item
            key = in_full(key)
            path = tuple(key.split("."))
            if not all(path):
                problems.append(Problem(NO_OVERRIDE, typed))
                continue
            if blocker := _blocker(data, path):
                problems.append(Problem(f"{dotted(path)}: {blocker} is a value and has no keys", typed))
                continue
            path = _set(data, path, absolute(value, path, Path.cwd()))
            _drop_excluded(data, key, value, given)
            given.add(key)
            places = {old: place for old, place in places.items() if old[: len(path)] != path}
            places[path] = typed
        return Document(data, places, self.base, tuple(problems), self.unreadable)

    def config(self) -> Config:
        """The Config.

        Raises:
            ConfigError: all that is wrong.
        """
        data = absolute(self.data, (), self.base)
        problems = list(self.problems)
        try:
            config = Config.model_validate(data)
        except ValidationError as error:
            problems += [
                Problem(f"{dotted(path)}: {message}{self._several(where)}" if path else message, self.place(where))
                for path, where, message in explain(error, data, CONFIG, self.unreadable)
            ]
        if problems:
            raise ConfigError(sorted(problems, key=_line))
        return config


def write_starter(path: Path) -> None:
    """Write a commented config to a new file.

    Raises:
        UserError: the file exists, or cannot be written.
    """
    try:
        with path.open("x", encoding="utf-8") as file:
            file.write(starter())
    except FileExistsError:
        raise UserError(f"{path} exists already", fix="Name another file: gradlab init other.yaml") from None
    except OSError as error:
        raise UserError(f"cannot write {path}: {error.strerror or error}") from error


def starter() -> str:
    """The text of the config that `gradlab init` writes: every key with its default, and what it is for."""
    return Path(__file__).with_name("starter.yaml").read_text(encoding="utf-8")


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
        nodes = list(yaml.compose_all(text, Loader=Loader))
    except yaml.YAMLError as error:
        raise ConfigError([syntax_problem(error, text, path)]) from None
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
    builder = Builder(lambda node: f"{path}:{node.start_mark.line + 1}")
    data = {"name": _name_of(path), **builder.mapping(node, ())}
    places = {(): str(path), **builder.places}
    return Document(data, places, path.parent.absolute(), tuple(builder.problems), frozenset(builder.unreadable))


def _read(path: Path) -> str:
    try:
        return read_file(path, MOST_BYTES).decode()
    except FileNotFoundError:
        siblings = [str(p) for p in sorted(path.parent.glob("*.y*ml"))] if path.parent.is_dir() else []
        hint = did_you_mean(str(path), siblings)
        known = f"  (there is: {', '.join(nearest(str(path), siblings))})" if siblings else ""
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


def _name_of(path: Path) -> str:
    return re.sub(r"[^A-Za-z0-9._-]+", "-", path.stem).lstrip("._-")[:100] or "run"


# ---------------------------------------------------------------------------------------------------------- overrides


SERIES = ("range(", "linspace(", "logspace(")
"""How the values of a sweep begin that are written as a series."""
NO_OVERRIDE = "an override is KEY=VALUE with a dotted key, such as model.depth=50"


def _parse_override(text: str) -> tuple[str, str, Any] | Problem:
    key, equals, value = text.partition("=")
    key, text = key.strip(), one_line(text)
    if not equals or not key:
        return Problem(NO_OVERRIDE, text)
    try:
        node = yaml.compose(value, Loader=Loader)
    except (yaml.YAMLError, RecursionError):
        return Problem(f"{one_line(key)}: the value is not YAML", text)
    builder = Builder(lambda _: text)
    data = None if node is None else builder.value(node, tuple(key.split(".")))
    return builder.problems[0] if builder.problems else (text, key, data)


def _blocker(data: Any, path: tuple[str, ...]) -> str | None:
    """What stands above a path and cannot hold keys."""
    for end in range(1, len(path)):
        data, above = data.get(path[end - 1]), dotted(path[:end])
        if data is None or (isinstance(data, str) and above in CHOICES):
            return None  # there will be a mapping when the value is set
        if not isinstance(data, dict):
            return above
    return None


def _set(data: dict[str, Any], path: tuple[str, ...], value: Any) -> tuple[str, ...]:
    """Put a value at a path. A choice that changes its name keeps the options that the new one knows.

    Returns:
        The path that now holds the value: that of the name, where a choice keeps its options.
    """
    node = data
    for end, key in enumerate(path[:-1], start=1):
        if not isinstance(node.get(key), dict):  # `activation: relu` is short for `{name: relu}`
            above = dotted(path[:end])
            node[key] = {CHOICES[above].tag: node[key]} if node.get(key) else default_choice(above)
        node = node[key]
    one_of = CHOICES.get(dotted(path))
    if one_of is not None and isinstance(value, str) and isinstance(node.get(path[-1]), dict):
        node, path = node[path[-1]], (*path, one_of.tag)
    node[path[-1]] = value
    one_of = CHOICES.get(dotted(path[:-1]))
    if one_of is not None and path[-1] == one_of.tag and isinstance(value, str):
        known = one_of.find(value)
        for option in set(node) - set(known.model_fields) if known else ():
            del node[option]
    return path


_EXCLUSIVE = {
    "train.steps": "train.epochs",
    "train.epochs": "train.steps",
    SHORTHAND: IN_FULL,
    IN_FULL: SHORTHAND,
}


def _drop_excluded(data: dict[str, Any], key: str, value: Any, given: set[str]) -> None:
    """An override of `steps` replaces the file's `epochs`, and the other way round; two overrides clash."""
    for one, other in _EXCLUSIVE.items():
        section, _, rest = other.partition(".")
        if _is_below(key, one) and value is not None and not any(_is_below(name, other) for name in given):
            data[section].pop(rest, None)


def _is_below(key: str, root: str) -> bool:
    return key == root or key.startswith(f"{root}.")


def _in_full(data: dict[str, Any], places: Mapping[Path_, str]) -> tuple[dict[str, Any], dict[Path_, str]]:
    """Data with the setting that `SHORTHAND` is short for, so that an override of either changes the same thing."""
    (section, short), (_, full) = SHORTHAND.split("."), IN_FULL.split(".")
    inside = data.get(section)
    if not isinstance(inside, dict) or full in inside or from_shorthand(inside.get(short)) is None:
        return data, dict(places)
    inside[full] = from_shorthand(inside.pop(short))
    return data, {(section, full) if path == (section, short) else path: place for path, place in places.items()}


PATHS: Mapping[Path_, Callable[[str, Path], str]] = {
    ("data", "path"): lambda value, base: str(base / value),
    ("data", "factory"): user_code.absolute,
    ("model", "factory"): user_code.absolute,
    ("model", "activation", "function"): user_code.absolute,
    ("model", "initializer", "function"): user_code.absolute,
}
"""The settings that name files, and what makes them absolute."""


def absolute(value: Any, path: Path_, base: Path) -> Any:
    """A value that stands at `path`, with the names of files in it made absolute."""
    if isinstance(value, str) and path in PATHS:
        return PATHS[path](value, base)
    if isinstance(value, dict) and any(known[: len(path)] == path for known in PATHS):
        return {key: absolute(item, (*path, key), base) for key, item in value.items()}
    return value


# ----------------------------------------------------------------------------------------------------------- messages


def _line(problem: Problem) -> tuple[bool, int]:
    """Problems of the file by line, then those of overrides."""
    _, colon, line = problem.place.rpartition(":")
    return (not colon, int(line)) if line.isdigit() else (True, 0)
