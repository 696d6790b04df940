"""Imports run one way, and what reads finished runs never reaches torch."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "gradlab"

# Each room may import those before it on its own wing, and the ground.
GROUND = [
    "errors", "words", "yaml_text", "starter", "choices", "config", "config_messages", "config_files", "statistics",
    "columns", "seeding",
]  # fmt: skip
TRAINING_WING = ["networks", "datasets", "theory", "recording", "training"]
READING_WING = ["store", "diagnosis", "headline", "views", "results", "claims"]
TOP = ["environment", "experiment", "watching", "integrations", "sweeps", "cli", "__main__", "__init__"]


def allowed(room):
    """The rooms that a room may import."""
    for wing in (TRAINING_WING, READING_WING):
        if room in wing:
            return {*GROUND, *wing[: wing.index(room) + 1]}
    if room in GROUND:
        return set(GROUND[: GROUND.index(room) + 1])
    return {*GROUND, *TRAINING_WING, *READING_WING, *TOP[: TOP.index(room) + 1]}


def imports(path):
    """Rooms of gradlab that a file imports anywhere in it, also inside functions."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        names = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            names = [node.module] if node.module != "gradlab" else [f"gradlab.{alias.name}" for alias in node.names]
        rooms = {name.split(".")[1] for name in names if name.startswith("gradlab.")}
        found |= {room for room in rooms if (PACKAGE / room).is_dir() or (PACKAGE / f"{room}.py").is_file()}
    return found


FILES = sorted(path.relative_to(PACKAGE) for path in PACKAGE.rglob("*.py"))


@pytest.mark.parametrize("file", FILES, ids=str)
def test_imports_run_one_way(file):
    room = file.parts[0].removesuffix(".py")
    assert imports(PACKAGE / file) <= allowed(room), f"{file} may import {sorted(allowed(room))}"


@pytest.mark.parametrize(
    "module",
    [
        "config_files",
        "store",
        "diagnosis",
        "results",
        "claims.picture",
        "views.tables",
        "views.plots",
        "views.export",
        "theory",
        "datasets",
    ],
)
def test_reading_and_predicting_do_not_reach_torch(module):
    code = f"import sys, gradlab.{module}; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
