"""What the shell offers where one presses Tab: config files, settings and their values, runs.

`gradlab --install-completion` makes the shell ask. Typer hands the words of the line over, and asks the functions here
for the word under the cursor. They look at names only, and say nothing where something is wrong.
"""

from collections.abc import Iterable
from pathlib import Path

import typer

RUNS = Path("runs")
"""Where runs are looked for."""


def configs(incomplete: str) -> list[str]:
    """YAML files, and folders that may hold some."""
    start = incomplete.rpartition("/")[0]
    folder = Path(start or ".")
    try:
        inside = sorted(folder.iterdir())
    except OSError:
        return []
    names = [f"{path.name}/" if path.is_dir() else path.name for path in inside if _may_lead_to_yaml(path)]
    return _beginning(
        (f"{start}/{name}" if start or incomplete.startswith("/") else name for name in names), incomplete
    )


def _may_lead_to_yaml(path: Path) -> bool:
    return not path.name.startswith(".") and (path.is_dir() or path.suffix in (".yaml", ".yml"))


def overrides(ctx: typer.Context, incomplete: str) -> list[str]:
    """The settings of a config, and the names that a setting takes, or its default where it takes numbers.

    Bash takes `=` for a word of its own, so that the word under the cursor may be what stands behind it.
    """
    typed = [word for words in ctx.params.values() if isinstance(words, list | tuple) for word in words]
    behind = typed[-2:-1] if typed[-1:] == ["="] else typed[-1:]
    if behind and (typed[-1] == "=" or (not incomplete and _values(behind[0]))):
        return _beginning(_values(behind[0]), incomplete)
    key, sign, value = incomplete.partition("=")
    from gradlab.config.keys import setting_keys

    sections = ("model", "train", "record")
    keys = [key] if sign else _beginning((known for known in setting_keys() if known not in sections), key)
    if len(keys) > 1:
        return [f"{known}=" for known in keys]
    return [f"{known}={word}" for known in keys for word in _beginning(_values(known) or [""], value)]


def _values(key: str) -> list[str]:
    """The names that a setting takes, or its default; none where it has neither."""
    from gradlab.config import Config
    from gradlab.config.keys import CHOICES, in_full
    from gradlab.measures.settings import settings_of
    from gradlab.text import setting_text

    full = in_full(key).removesuffix(".name")
    if full in CHOICES:
        return list(CHOICES[full].names)
    defaults = settings_of(Config())
    return [setting_text(defaults[full])] if full in defaults else []


def runs(incomplete: str) -> list[str]:
    """Run folders, as paths and by their names."""
    from gradlab.run_folder import find_runs

    folders = list(find_runs(RUNS)) if RUNS.is_dir() else []
    paths = _beginning(map(str, folders), incomplete) if "/" in incomplete else []
    return paths or _beginning((folder.name for folder in folders), incomplete)


def _beginning(words: Iterable[str], incomplete: str) -> list[str]:
    return [word for word in words if word.startswith(incomplete)]
