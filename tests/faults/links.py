"""Links planted in a run folder, and folders that are no runs: nothing is written, removed or read beyond them."""

import shutil
import warnings
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import cache
from pathlib import Path
from random import Random
from tempfile import mkdtemp

import pytest
import torch
from torch import nn

import gradlab
from gradlab.config.files import load_config
from gradlab.errors import UserError
from gradlab.results import load_run
from gradlab.views.export.exporting import export_run
from tests.faults.commands import bytes_of, orderly
from tests.faults.commands import gradlab as gradlab_command
from tests.faults.processes import RUN

NAMES = (
    "layers", "plots", "export", "steps", "histograms", "evaluations", "config.yaml", "summary.json.bak", ".lock",
    "theory.parquet", "modules.parquet", "environment.json", "report.html", "train.py", ".git", "data.csv", "notes.md",
    "model.pt", "runs", ".env",
)  # fmt: skip
INNER = ("000000.parquet", "000000-000003.parquet", "a.txt", "overview.png", "layers.csv", "csv", "HEAD")


@cache
def _good() -> Path:
    """A finished run, and a watched training that was interrupted."""
    place = Path(mkdtemp())
    run = gradlab.run(RUN, runs=place, plots=False)
    run.path.rename(place / "run")
    with suppress(KeyboardInterrupt):
        _train(place / "watched", interrupted=True)
    return place


def _train(folder: Path, *, interrupted: bool = False) -> None:
    torch.manual_seed(0)
    model = nn.Linear(3, 2)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    with gradlab.watch(model, optimizer, into=folder):
        for _ in range(3):
            optimizer.zero_grad()
            model(torch.randn(5, 3)).sum().backward()
            optimizer.step()
        if interrupted:
            raise KeyboardInterrupt


def try_links(place: Path, seed: int) -> None:
    """A folder of somebody else is full of links that lead outside; it is drawn, exported, reported, written again."""
    choose = Random(seed)
    outside, runs = place / "outside", place / "runs"
    config = load_config(RUN)
    kind = choose.choice(["run", "watched"])
    folder = runs / (config.folder if kind == "run" else "watched")
    shutil.copytree(_good() / kind, folder)
    for name in ("", "csv", "tensorboard", "plots", "layers"):
        (outside / name).mkdir(parents=True, exist_ok=True)
        for file in ("precious.txt", "000000.parquet", "overview.png", "layers.csv", "report.html", "summary.json"):
            (outside / name / file).write_text("somebody's")
    for _ in range(choose.randrange(1, 6)):
        _plant(choose, folder, outside)
    before = bytes_of(outside)
    for act in choose.sample(_writers(folder, runs, kind), 2):
        act()
        assert bytes_of(outside) == before, "something outside was written"


def _plant(choose: Random, folder: Path, outside: Path) -> None:
    """Put a link in the place of a file or a folder."""
    names = ["plots", "export", "export/csv", "export/tensorboard", "plots/overview.png", "export/csv/layers.csv"]
    names += ["layers", "steps", "evaluations", "report.html", ".lock", ".gradlab", "summary.json", "config.yaml"]
    names += ["environment.json", "theory.parquet", "modules.parquet", "layers/000001.parquet", ".summary.json.tmp"]
    path = folder / choose.choice(names)
    if any(parent.is_symlink() for parent in path.parents if parent.is_relative_to(folder)):
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
    goal = outside / choose.choice(["", "precious.txt", "csv", "layers", "new.txt", "new", "overview.png"])
    path.symlink_to(goal, target_is_directory=goal.is_dir())


def _writers(folder: Path, runs: Path, kind: str) -> list[Callable[[], None]]:
    """What writes into a run folder."""

    def command(*words: object) -> None:
        if folder.exists():  # it may have been deleted
            orderly(gradlab_command(*words))

    def again() -> None:
        with suppress(UserError), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # what a watch cannot write is a warning
            if kind == "run":
                gradlab.run(RUN, runs=runs, rerun=True, plots=False)
            else:
                _train(folder)

    def export() -> None:
        with suppress(UserError, FileNotFoundError):
            export_run(load_run(folder).tables, "csv")

    return [
        again, export, lambda: command("show", folder, "--plots"), lambda: command("report", folder),
        lambda: command("export", folder, "--to", "csv"), lambda: command("export", folder, "--to", "tensorboard"),
        lambda: command("delete", folder, "--yes"), lambda: command("show", folder), lambda: command("compare", runs),
    ]  # fmt: skip


def try_own_folder(place: Path, seed: int) -> None:
    """A folder that is no run, in the place where a run belongs: it is refused, and every byte is as it was."""
    choose = Random(seed)
    config = load_config(RUN)
    runs = place / "runs"
    folder = runs / choose.choice(["work", config.folder])
    folder.mkdir(parents=True)
    for name in choose.sample(NAMES, choose.randint(1, 6)):
        if "." in name.lstrip("."):
            (folder / name).write_text(f"{name} of somebody")
        else:
            (folder / name).mkdir()
            for inner in choose.sample(INNER, choose.randint(0, 3)):
                (folder / name / inner).write_text(f"{inner} of somebody")
    if not any(path.name != ".lock" for path in folder.iterdir()):
        (folder / "work.txt").write_text("somebody's")
    before = bytes_of(folder)
    act = _train if folder.name == "work" or choose.random() < 0.5 else _run_there
    with pytest.raises(UserError, match="is not empty, and no run"):
        act(folder)
    assert bytes_of(folder) == before


def _run_there(folder: Path) -> None:
    gradlab.run(RUN, runs=folder.parent, plots=False)


TRIES: Sequence[tuple[str, Callable[[Path, int], None]]] = (
    ("links in a run folder", try_links), ("folders of the user", try_own_folder),
)  # fmt: skip
