"""Run folders of somebody else: damaged, made up, or made to harm. Every command that reads them is tried on them."""

import json
import os
import shutil
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from functools import cache
from pathlib import Path
from random import Random
from tempfile import mkdtemp
from typing import Any

import numpy as np
import polars as pl
import torch
from torch import nn

import gradlab
from gradlab import run_folder
from tests.faults.commands import bytes_of, orderly
from tests.faults.commands import gradlab as gradlab_command

CONFIGS: Mapping[str, Mapping[str, Any]] = {
    "completed": {
        "model": {"depth": 4, "width": 6},
        "data": "wine",
        "train": {"steps": 60},
        "record": {"histograms": 2},
    },
    "diverged": {"model": {"depth": 3, "width": 6}, "train": {"steps": 40, "learning_rate": 1e6}, "data": "wine"},
}
ESCAPES = (
    "\x1b[31mred\x1b[0m",
    "\x1b]0;title\x07",
    "\x9b2J",
    "a\u202eb",
    "a\rb\nc",
    "\u2066x",
    "[red]x[/]",
    "$\\frac{",
    "\ud800",
)
VALUES: tuple[Any, ...] = (
    None, True, False, 0, -1, 7, 2**31, 2**63, -(2**70), 10**399, 0.5, -0.0, 1e308, 1e-320, float("nan"), float("inf"),
    "", "x", "nan", "*", "../../x", "/etc/passwd", "x" * 5000, *ESCAPES, [], [None], [[]], [1, "a", None], {}, {"a": 1},
    {"name": None}, {"watch": {}}, {"watch": []}, {"model": {"depth": "x"}}, [{}], {"\x1b[2J": "\x1b[2J"}, "completed",
    "diverged", "running", "failed", "interrupted",
)  # fmt: skip
TABLES = ("layers", "steps", "evaluations", "histograms")
Damage = Callable[[Random, Path, Path], None]


def good_folders(runs: Path) -> list[Path]:
    """Runs that nothing is wrong with, as folders: of configs, and of a model that was watched."""
    for name, config in CONFIGS.items():
        gradlab.run({"name": name, **config}, runs=runs, plots=False)
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(5, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, 3))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    with gradlab.watch(model, optimizer, into=runs / "watched"):
        for _ in range(60):
            optimizer.zero_grad()
            nn.functional.cross_entropy(model(torch.randn(20, 5)), torch.randint(3, (20,))).backward()
            optimizer.step()
    for picture in (runs / "watched" / "plots").iterdir():
        picture.unlink()
    return sorted(run_folder.find_runs(runs))


# ------------------------------------------------------------------------------------------------------------- damage


def _changed(choose: Random, value: Any) -> Any:
    """The same with another value in one place."""
    if isinstance(value, Mapping) and value and choose.random() < 0.8:
        key = choose.choice(sorted(value))
        if choose.random() < 0.15:
            return {name: item for name, item in value.items() if name != key}
        if choose.random() < 0.1:
            return {**value, choose.choice([word for word in VALUES if isinstance(word, str)]): choose.choice(VALUES)}
        return {**value, key: _changed(choose, value[key])}
    if isinstance(value, list) and value and choose.random() < 0.8:
        index = choose.randrange(len(value))
        return [*value[:index], _changed(choose, value[index]), *value[index + 1 :]]
    return choose.choice(VALUES)


def _edit_summary(folder: Path, change: Callable[[Any], Any]) -> None:
    file = folder / "summary.json"
    if file.is_file() and not file.is_symlink():
        file.write_text(json.dumps(change(json.loads(file.read_bytes()))), encoding="ascii")


def _summary_field(choose: Random, folder: Path, outside: Path) -> None:
    _edit_summary(folder, lambda summary: _changed(choose, summary))


def _no_verdict(choose: Random, folder: Path, outside: Path) -> None:
    """The run looks as if it were going on, so that its tables are diagnosed."""
    status = choose.choice(["running", "failed", "interrupted", "diverged", "completed"])
    _edit_summary(
        folder, lambda summary: {key: summary[key] for key in summary if key != "verdict"} | {"status": status}
    )


def _watched(choose: Random, folder: Path, outside: Path) -> None:
    """The run says that it was a watched model's."""
    config = {"watch": {"optimizer": choose.choice(VALUES)}}
    unfinished = choose.choice([None, {"passes": 3, "skipped": 0}, {"passes": 10**9, "skipped": 10**9}])
    _edit_summary(folder, lambda summary: {**summary, "config": config, "unfinished": unfinished})


def _bytes(choose: Random, folder: Path, outside: Path) -> None:
    """Some bytes of a file are others, or missing, or twice there."""
    files = [path for path in sorted(folder.rglob("*")) if path.is_file() and not path.is_symlink()]
    if not files:
        return
    file = choose.choice(files)
    content = bytearray(file.read_bytes())
    kind = choose.randrange(5)
    if kind == 0 or not content:
        content = bytearray(choose.randbytes(choose.randrange(200)))
    elif kind == 1:
        del content[choose.randrange(len(content)) :]
    elif kind == 2:
        start = choose.randrange(len(content))
        del content[start : start + choose.randrange(1, 20)]
    elif kind == 3:
        start = choose.randrange(len(content))
        content[start:start] = content[start : start + choose.randrange(1, 200)]
    else:
        for _ in range(choose.randrange(1, 20)):
            content[choose.randrange(len(content))] = choose.randrange(256)
    file.write_bytes(content)


def _part(choose: Random) -> Callable[[pl.DataFrame], pl.DataFrame]:
    """What is done to the rows of a part."""

    def column(frame: pl.DataFrame) -> str:
        return choose.choice(frame.columns)

    def value(frame: pl.DataFrame) -> pl.DataFrame:
        name = column(frame)
        kind = frame.schema[name]
        if kind == pl.String:
            new: Any = choose.choice([*ESCAPES[:-1], "", "x" * 3000, "weight", "output", "activation", "test", None])
        elif kind.is_integer():
            new = choose.choice([None, -1, 0, 1, 2**31 - 1, -(2**31), *([2**62, -(2**63)] if kind == pl.Int64 else [])])
        elif kind.is_float():
            new = choose.choice([None, float("nan"), float("inf"), -float("inf"), -1.0, 0.0, 1e308, 1e-320, 1e18])
        else:
            new = choose.choice([None, [], [0], [-1] * 64, [2**62] * 64, [None]])
        rows = np.array([choose.random() < choose.choice([0.1, 0.9]) for _ in range(frame.height)])
        return frame.with_columns(pl.when(pl.Series(rows)).then(pl.lit(new, kind)).otherwise(pl.col(name)).alias(name))

    def kind_of_column(frame: pl.DataFrame) -> pl.DataFrame:
        new = choose.choice(
            [pl.String, pl.Int8, pl.Float32, pl.Boolean, pl.List(pl.Int64), pl.Null, pl.Date, pl.Binary]
        )
        return frame.with_columns(pl.lit(None, new).alias(column(frame)))

    return choose.choice([
        value, value, value, kind_of_column,
        lambda frame: frame.drop(column(frame)),
        lambda frame: frame.rename({column(frame): choose.choice(["new", "\x1b[2J"])}),
        lambda frame: frame.with_columns(pl.lit(1.0).alias(choose.choice(["new", "\x1b[2J"]))),
        lambda frame: frame.head(choose.randrange(3)),
        lambda frame: pl.concat([frame, frame]),
        lambda frame: frame.sample(fraction=1, shuffle=True, seed=choose.randrange(1000)),
    ])  # fmt: skip


def _rows(choose: Random, folder: Path, outside: Path) -> None:
    """Some rows of a table are others: of another version, or what nobody measures."""
    tables = [*(folder / table for table in TABLES), folder]
    files = [
        file
        for table in tables
        if table.is_dir() and not table.is_symlink()
        for file in sorted(table.glob("*.parquet"))
    ]
    files = [file for file in files if file.is_file() and not file.is_symlink()]
    if not files:
        return
    file = choose.choice(files)
    try:
        frame = pl.read_parquet(file, glob=False)
        for _ in range(choose.randrange(1, 4)):
            if frame.width:
                frame = _part(choose)(frame)
    except (Exception, pl.exceptions.PanicException):  # the file was damaged before
        return
    frame.write_parquet(file)


def _no_file(choose: Random, folder: Path, outside: Path) -> None:
    """In the place of a file or a folder there is something else, or nothing."""
    paths = sorted(path for path in folder.rglob("*"))
    names = [
        "plots",
        "export",
        "export/csv",
        "plots/overview.png",
        "summary.json",
        "config.yaml",
        "theory.parquet",
        ".lock",
        ".gradlab",
    ]
    path = choose.choice([*paths, *(folder / name for name in names)])
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
    if not path.parent.is_dir():
        return
    kind = choose.randrange(7)
    if kind == 0:
        os.mkfifo(path)
    elif kind == 1:
        path.symlink_to(outside)
    elif kind == 2:
        path.symlink_to(outside / "precious.txt")
    elif kind == 3:
        path.symlink_to("/dev/zero")
    elif kind == 4:
        path.mkdir()
    elif kind == 5:
        path.symlink_to(path.name)


DAMAGES: Mapping[str, Damage] = {
    "summary": _summary_field, "no verdict": _no_verdict, "watched": _watched, "bytes": _bytes, "rows": _rows,
    "files": _no_file,
}  # fmt: skip


# -------------------------------------------------------------------------------------------------------------- tries

COMPARISONS = ("table", "csv", "json", "markdown")
COMMANDS: Mapping[str, tuple[str, ...]] = {
    "show": ("show", "{folder}"),
    "show --json": ("show", "{folder}", "--json"),
    "export csv": ("export", "{folder}", "--to", "csv"),
    "compare": ("compare", "{runs}"),
    **{f"compare {form}": ("compare", "{runs}", "{goods}", "--format", form) for form in COMPARISONS},
}
SLOW_COMMANDS: Mapping[str, tuple[str, ...]] = {
    "show --plots": ("show", "{folder}", "--plots"),
    "export tensorboard": ("export", "{folder}", "--to", "tensorboard"),
    "compare --plot": ("compare", "{runs}", "{goods}", "--plot", "{runs}/comparison.png"),
}
WRITES = ("export csv", "show --plots", "export tensorboard", "compare --plot")


def try_folder(goods: Sequence[Path], place: Path, seed: int, *, slow: bool = False) -> None:
    """Damage a copy of a good folder, and have a command read it: it ends in order and changes nothing outside.

    Args:
        goods: good folders.
        place: an empty folder to work in.
        seed: what is damaged, and which command reads it.
        slow: commands that draw.
    """
    choose = Random(seed)
    good = choose.choice(goods)
    outside, runs = place / "outside", place / "runs"
    outside.mkdir(parents=True)
    (outside / "precious.txt").write_text("somebody's")
    (outside / "000000.parquet").write_text("somebody's")
    folder = runs / good.name
    shutil.copytree(good, folder, symlinks=True)
    names = []
    for _ in range(choose.randrange(1, 4)):
        names.append(choose.choice(list(DAMAGES)))
        with suppress(ValueError, OSError, TypeError):  # the damage of before may be in its way
            DAMAGES[names[-1]](choose, folder, outside)
    commands = SLOW_COMMANDS if slow else COMMANDS
    name = choose.choice(list(commands))
    before, before_outside = bytes_of(folder), bytes_of(outside)
    words = [word.format(folder=folder, runs=runs, goods=goods[0].parent) for word in commands[name]]
    try:
        with_goods = "{goods}" in commands[name]
        ended = gradlab_command(*words)
        orderly(ended, (0,) if with_goods else (0, 2))
        if with_goods:
            assert all(word in ended.out for word in ("diverged", "healthy")), "good runs are hidden"
        assert bytes_of(outside) == before_outside, "something outside was written"
        if name not in WRITES:
            assert bytes_of(folder) == before, "reading has changed the folder"
    except BaseException as error:
        error.add_note(f"seed {seed}: {', '.join(names)}; {name}")
        raise


@cache
def _goods() -> Sequence[Path]:
    return good_folders(Path(mkdtemp()))


TRIES: Sequence[tuple[str, Callable[[Path, int], None]]] = (
    ("damaged folders", lambda place, seed: try_folder(_goods(), place, seed)),
    ("damaged folders, drawn and exported", lambda place, seed: try_folder(_goods(), place, seed, slow=True)),
)
