"""Configs, sweeps, conditions and data files that nobody meant: each is understood, or refused with one message."""

import shutil
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from random import Random

import numpy as np
import polars as pl

from gradlab import datasets
from gradlab.choices import File
from gradlab.config import Config
from gradlab.config.files import dump_config, load_config, starter
from gradlab.errors import DatasetError, UserError
from gradlab.measures.settings import settings_of
from gradlab.sweeps.grid import load_plan
from gradlab.views.comparison.expression import parse
from tests.faults.commands import OBEYED

ROOT = Path(__file__).parents[2]
WORDS = (
    "null", "true", "1", "-1", "0", "1e999", ".nan", "-.inf", "9" * 400, "[]", "{}", "[[[[1]]]]", "{a: {b: c}}", "''",
    "!!python/object:os.system x", "!!binary aGk=", "&a [*a]", "*nobody", "'\\e[2J'", '"\\x1b[2J"', '"\\u202e"', "relu",
    "{name: relu, slope: 1}", "/dev/zero", "../../x", "~", "0x10", "0o7", "1_000", "2001-01-01", "|\n  x", "? a",
    "range(10)", "linspace(0, 1, 3)", "logspace(0, 400, 3)", "range(0)", "range(1, 2, 0)", "<<", "a: b: c", "\t", "#",
    "python", "{name: python, function: 'nowhere.py:x'}", "{name: file, path: 'x\\0.csv'}", "10000000000", "x" * 5000,
)  # fmt: skip
SWEEP = "base: {model: {depth: 3}}\ngrid:\n  model.activation: [tanh, relu]\n  seed: range(0, 3)\npairs:\n  - {model.activation: relu, train.learning_rate: 0.1}\nexclude:\n  - {seed: 2}\n"  # noqa: E501
NAMES = (
    "model.depth",
    "seed",
    "verdict",
    "test_loss",
    "n",
    "x",
    "model.activation",
    "'relu'",
    "1",
    "-1e400",
    "true",
    "[1, 2]",
)
SIGNS = (
    "and",
    "or",
    "not",
    "in",
    "==",
    "!=",
    "<",
    ">=",
    "(",
    ")",
    "+",
    "-",
    "*",
    "**",
    "if",
    "else",
    "lambda:",
    ".",
    ",",
    "@",
    ":=",
)


def damaged_text(choose: Random, text: str) -> str:
    """A text with another word, line or character in some places."""
    for _ in range(choose.randrange(1, 4)):
        lines = text.split("\n")
        place = choose.randrange(len(lines))
        kind = choose.randrange(7)
        if kind == 0:
            lines.insert(place, lines[choose.randrange(len(lines))])
        elif kind == 1:
            del lines[place]
        elif kind in (2, 3) and ":" in lines[place]:
            lines[place] = f"{lines[place].partition(':')[0]}: {choose.choice(WORDS)}"
        elif kind == 4:
            lines[place] = choose.choice(["  ", "    ", "- ", "\t"]) + lines[place]
        elif kind == 5:
            at = choose.randrange(len(lines[place]) + 1)
            character = chr(
                choose.choice([choose.randrange(0x20), choose.randrange(0x80, 0x3000), 0x1B, 0x202E, 0xFEFF, 0x1F600])
            )
            lines[place] = lines[place][:at] + character + lines[place][at:]
        else:
            lines.append(choose.choice(WORDS))
        text = "\n".join(lines)
    return text


def understood_or_refused(act: Callable[[], object]) -> None:
    said = "understood"
    try:
        act()
    except UserError as error:
        said = str(error).strip()
    assert said
    assert not OBEYED.search(said), repr(said)


def try_config(place: Path, seed: int) -> None:
    """A config that is damaged: it is loaded, or refused with one message; what is loaded can be written and read."""
    choose = Random(seed)
    sources = [starter(), *(file.read_text(encoding="utf-8") for file in sorted((ROOT / "configs").glob("*.yaml")))]
    path = place / "config.yaml"
    path.write_bytes(damaged_text(choose, choose.choice(sources)).encode("utf-8", "surrogatepass"))
    overrides = [f"{choose.choice(NAMES)}={choose.choice(WORDS)}"] if choose.random() < 0.3 else []

    def load() -> None:
        config: Config = load_config(path, overrides)
        if not config.names_files:
            path.write_text(dump_config(config), encoding="utf-8")
            assert load_config(path).id == config.id
            assert settings_of(config)

    understood_or_refused(load)


def try_sweep(place: Path, seed: int) -> None:
    """A sweep that is damaged: it is planned, or refused with one message."""
    choose = Random(seed)
    path = place / "sweep.yaml"
    path.write_bytes(damaged_text(choose, SWEEP).encode("utf-8", "surrogatepass"))
    overrides = [f"{choose.choice(NAMES)}={choose.choice(WORDS)}"] if choose.random() < 0.3 else []
    understood_or_refused(lambda: load_plan(path, overrides))


def try_claim(place: Path, seed: int) -> None:
    """A sweep that claims something, damaged: it is planned and its claim understood, or refused with one message."""
    choose = Random(seed)
    files = sorted((ROOT / "configs" / "chapter11").glob("*.yaml"))
    path = place / "sweep.yaml"
    before, claim, after = choose.choice(files).read_text(encoding="utf-8").partition("\nclaim:")
    text = f"{before}{claim}{damaged_text(choose, after)}"
    path.write_bytes(text.encode("utf-8", "surrogatepass"))
    understood_or_refused(lambda: load_plan(path))


def try_condition(place: Path, seed: int) -> None:
    """A condition made of the words of one: it is true or false of a row, or refused with one message."""
    choose = Random(seed)
    words = [choose.choice(NAMES if index % 2 == 0 else SIGNS) for index in range(choose.randrange(1, 12))]
    if choose.random() < 0.3:
        choose.shuffle(words)
    if choose.random() < 0.05:
        words = [
            choose.choice(["-", "(", "not ", "[", "\x1b", "__import__('os')", "f''", "x[0]", "x.y()"])
        ] * choose.randrange(1, 500)
    row = {"model.depth": 5, "seed": 0, "verdict": "healthy", "test_loss": None, "n": 3, "model.activation": "relu"}
    understood_or_refused(lambda: parse(" ".join(words)).holds(row))


def try_data(place: Path, seed: int) -> None:
    """A data file that is damaged, or is another one than its name says: it is loaded, or refused with one message."""
    choose = Random(seed)
    x, target = np.arange(40.0).reshape(20, 2), np.arange(20) % 3
    suffix = choose.choice([".npz", ".csv", ".parquet"])
    path = place / f"data{suffix}"
    table = pl.DataFrame({"a": x[:, 0], "b": x[:, 1], "target": target})
    if suffix == ".npz":
        np.savez(path, x=x, target=target)
    elif suffix == ".csv":
        table.write_csv(path)
    else:
        table.write_parquet(path)
    content = bytearray(path.read_bytes())
    for _ in range(choose.randrange(0, 6)):
        at = choose.randrange(len(content))
        if choose.random() < 0.6:
            content[at] = choose.randrange(256)
        else:
            content[at : at + choose.randrange(1, 30)] = choose.randbytes(choose.randrange(30))
    if choose.random() < 0.1:
        del content[choose.randrange(len(content)) :]
    path.write_bytes(content)
    if choose.random() < 0.1:
        path = Path(shutil.move(path, place / f"data{choose.choice(['.npz', '.csv', '.parquet', '.txt'])}"))
    with suppress(DatasetError):
        understood_or_refused(
            lambda: datasets.load(File(path=path, target=choose.choice(["target", "target", "a", "\x1b"])), 0)
        )


TRIES: Sequence[tuple[str, Callable[[Path, int], None]]] = (
    ("configs", try_config), ("sweeps", try_sweep), ("claims", try_claim), ("conditions", try_condition),
    ("data files", try_data),
)  # fmt: skip
