"""Which runs are meant: settings by dotted key, configurations, and the same run with other settings."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from gradlab.choices import IN_FULL, SHORTHAND, shorthand_word, to_shorthand
from gradlab.config import Config
from gradlab.config.config import LABELS
from gradlab.config.files import recorded_config
from gradlab.config.keys import CHOICES
from gradlab.text import setting_text

Settings = Mapping[str, Any]
"""Settings of a run by dotted key."""
Wanted = Mapping[str, Any]
"""Values of settings by dotted key; a list means any of them."""
FOLDED = ("seed", *LABELS)
"""Settings that do not make a configuration another one."""
REMARKS = ("tags", "notes")
"""Settings that are not shown beside others: they say something about a run, and nothing about its numbers."""


class RunSettings(Mapping[str, Any]):
    """Settings of a run by dotted key. A setting that is short for another one can be looked up, and is not listed."""

    def __init__(self, settings: Mapping[str, Any]) -> None:
        self._settings = dict(settings)

    def __getitem__(self, key: str) -> Any:
        if key == SHORTHAND and key not in self._settings:
            return to_shorthand(self._settings[IN_FULL], self._settings.get(f"{IN_FULL}.place"))
        return self._settings[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self._settings)

    def __len__(self) -> int:
        return len(self._settings)

    def __repr__(self) -> str:
        return f"RunSettings({self._settings})"


def settings_of(config: Config | Mapping[str, Any]) -> Settings:
    """The settings of a config, or of what a run has recorded as its config.

    A recorded config is read by today's loader, so that the runs of an older gradlab have the same settings as those of
    this one. What the loader does not know stays as it is: a model that was only watched, a config of a newer gradlab.
    """
    if not isinstance(config, Config):
        known = recorded_config(config) if config else None
        if known is None:
            return RunSettings(flat(config))
        config = known
    return RunSettings(flat(config.model_dump(mode="json")))


def known_settings(runs: Iterable[Settings]) -> list[str]:
    """Every setting that can be asked for in some runs, in the order of the config, each once."""
    keys = dict.fromkeys(key for settings in runs for key in settings)
    return [*keys, *([SHORTHAND] if IN_FULL in keys and SHORTHAND not in keys else [])]


def flat(config: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """A config's settings by dotted path; what is chosen by name stands under the path of the choice itself."""
    settings: dict[str, Any] = {}
    for key, value in config.items():
        chosen = (
            key == "name" and prefix and not prefix.endswith("options.")
        )  # options of the user's code have any name
        path = prefix.rstrip(".") if chosen else prefix + key
        if isinstance(value, Mapping):
            settings.update(flat(value, f"{path}."))
        else:
            settings[path] = _hashable(value)
    return settings


def _hashable(value: Any) -> Any:
    if isinstance(value, Mapping):
        return tuple((key, _hashable(item)) for key, item in value.items())
    return tuple(map(_hashable, value)) if isinstance(value, list | tuple) else value


def same_value(one: Any, other: Any) -> bool:
    """Whether two settings have the same value; true is not 1."""
    return bool(one == other) and isinstance(one, bool) == isinstance(other, bool)


def matches(settings: Settings, wanted: Wanted) -> bool:
    """Whether a run has all the settings that are wanted; a list of values means any of them.

    What is chosen by name may be wanted by name, or as a mapping of a name and some of its options.
    """
    return all(any(_is(settings, key, value) for value in _values(wanted[key])) for key in wanted)


def value_of(settings: Settings, key: str) -> Any:
    """The value of a setting; of what is chosen by name, the name and its options, to be compared and hashed."""
    options = tuple((other, value) for other, value in settings.items() if other.startswith(f"{key}."))
    return (settings.get(key), *options) if options else settings.get(key)


def label_of(value: Any, values: Sequence[Any]) -> str:
    """A value of `value_of` in words: `relu`, or `normal 0.01` where values of the same name differ in one option."""
    if not _is_choice(value):
        return setting_text(value)
    name, *options = value
    others = [dict(other[1:]) for other in values if _is_choice(other) and other[0] == name]
    told = [(key, own) for key, own in options if any(other.get(key) != own for other in others)]
    if len(told) == 1:
        return f"{setting_text(name)} {setting_text(told[0][1])}"
    words = [f"{key.rpartition('.')[2].replace('_', ' ')} {setting_text(own)}" for key, own in told]
    return " ".join([setting_text(name), *words])


def without(settings: Settings, keys: Iterable[str]) -> dict[str, Any]:
    """Settings but for some keys and the options below them."""
    roots = [IN_FULL if key == SHORTHAND else key for key in keys]
    return {
        key: value
        for key, value in settings.items()
        if key not in FOLDED and not any(key == root or key.startswith(f"{root}.") for root in roots)
    }


def configuration(settings: Settings) -> tuple[tuple[str, Any], ...]:
    """What a run shares with the runs of other seeds, to be compared and hashed."""
    return tuple(sorted(without(settings, ()).items()))


def partner(settings: Settings, others: Sequence[Settings], changed: Wanted) -> int | None:
    """The run of the same seed that differs in the changed settings only, and has those values.

    Returns:
        its index in `others`; None where there is none, or more than one.
    """
    same = without(settings, changed)
    found = [
        index
        for index, other in enumerate(others)
        if other.get("seed") == settings.get("seed") and matches(other, changed) and without(other, changed) == same
    ]
    return found[0] if len(found) == 1 else None


def differing(all_settings: Sequence[Settings]) -> list[str]:
    """Keys, but for those in `FOLDED`, that are not the same in all of some runs.

    An option that only some runs have, because the others have chosen something else by name, and that is at its
    default in all of them, is none: the name tells it.
    """
    keys = dict.fromkeys(key for settings in all_settings for key in settings if key not in FOLDED)
    return [
        key
        for key in keys
        if len({repr(settings.get(key)) for settings in all_settings}) > 1
        and not all(_is_told_by_name(settings, key) for settings in all_settings)
    ]


def non_defaults(settings: Settings) -> dict[str, Any]:
    """The settings that are not at their default: that of the config, or of the choice that an option belongs to."""
    defaults = settings_of(Config())
    return {
        key: value
        for key, value in settings.items()
        if not (key in defaults and same_value(defaults[key], value)) and not _is_told_by_name(settings, key)
    }


def _is_told_by_name(settings: Settings, key: str) -> bool:
    """Whether a run has no such option beside what it has chosen by name, or has it at its default."""
    choice, _, option = key.rpartition(".")
    one_of = CHOICES.get(choice)
    chosen = one_of and settings.get(choice) and one_of.find(settings[choice])
    if not chosen:
        return False
    field = chosen.model_fields.get(option)
    return key not in settings or (field is not None and same_value(field.default, settings[key]))


def _is_choice(value: Any) -> bool:
    return isinstance(value, tuple) and len(value) > 1 and isinstance(value[1], tuple)


def _values(wanted: Any) -> Sequence[Any]:
    return wanted if isinstance(wanted, list) else [wanted]


def _is(settings: Settings, key: str, wanted: Any) -> bool:
    if isinstance(wanted, Mapping):
        return all(_is(settings, key if name == "name" else f"{key}.{name}", value) for name, value in wanted.items())
    setting = settings.get(key)
    if key == SHORTHAND:
        wanted = shorthand_word(wanted)
    if isinstance(wanted, str) and key in CHOICES:
        wanted = CHOICES[key].named(wanted)
    wanted = tuple(wanted) if isinstance(wanted, list) else wanted
    return same_value(setting, wanted)
