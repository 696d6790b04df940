"""Imports run one way, there are no circles, and what does not train never reaches torch."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "gradlab"

ORDER = [
    "text", "nearest",
    "errors", "printing", "limits", "operations", "reading", "parquet_pages", "user_code", "memory", "writing",
    "locking", "interrupts", "seeding", "choices", "config", "statistics", "tables", "networks", "datasets", "theory",
    "measures", "recording", "training", "preparation", "environment", "marker", "run_folder", "diagnosis", "claims",
    "repair",
    "views", "report", "snapshot", "results", "watch_records", "watch_folder", "watch_ranks",
    "announcing", "watching", "inspecting", "experiment", "integrations", "sweeps", "fixing", "sweeping",
    "reporting",
    "exits", "completion", "arguments", "deleting",
    "recorded", "cli", "__main__", "__init__",
]  # fmt: skip
"""Each may import those before it."""
TORCH = [
    "recording",
    "training",
    "preparation",
    "environment",
    "watch_records",
    "watch_folder",
    "watch_ranks",
    "watching",
    "inspecting",
    "experiment",
    "integrations",
]
"""What may reach torch when it is imported."""
TORCH_FREE_NETWORKS = ["networks/__init__.py", "networks/activations.py", "networks/initializers.py",
    "networks/measured.py"]  # fmt: skip
"""In `networks`, the modules may reach torch; activation functions and variances of weights do without."""
LONGEST = 400
"""Lines of a file at most."""
FILES = sorted(path.relative_to(PACKAGE) for path in PACKAGE.rglob("*.py"))


def place(file):
    """The part of the package that a file belongs to."""
    return file.parts[0].removesuffix(".py")


def imported(path):
    """The modules of gradlab that a file imports anywhere in it, also inside functions, as dotted names."""
    modules = {dotted(file) for file in FILES}
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names = [f"{node.module}.{alias.name}" for alias in node.names]
            found |= {name if name in modules else node.module for name in names}
    return found & modules - {"gradlab"}


def dotted(file):
    parts = ["gradlab", *file.with_suffix("").parts]
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def test_the_order_names_every_part():
    assert {place(file) for file in FILES} == set(ORDER)


@pytest.mark.parametrize("file", FILES, ids=str)
def test_imports_run_one_way(file):
    own = place(file)
    allowed = set(ORDER[: ORDER.index(own) + 1])
    reached = {name.split(".")[1] for name in imported(PACKAGE / file)}
    assert reached <= allowed, f"{file} may not import {sorted(reached - allowed)}"


def test_there_is_no_circle_of_imports():
    graph = {dotted(file): imported(PACKAGE / file) for file in FILES}
    done, open_ = set(), []

    def visit(module):
        assert module not in open_, " → ".join([*open_[open_.index(module) :], module])
        if module not in done:
            open_.append(module)
            for other in sorted(graph[module]):
                visit(other)
            done.add(open_.pop())

    for module in sorted(graph):
        visit(module)


TORCH_FREE = [
    file for file in FILES if place(file) not in [*TORCH, "networks"] or file.as_posix() in TORCH_FREE_NETWORKS
]


def test_what_does_not_train_never_reaches_torch():
    """One process imports all of it; a second one finds the culprit where it fails."""
    names = [dotted(file) for file in TORCH_FREE if file.name != "__main__.py"]
    code = "import sys, importlib\nfor name in sys.argv[1:]:\n    importlib.import_module(name)\n"
    code += "    assert 'torch' not in sys.modules, name"
    done = subprocess.run([sys.executable, "-c", code, *names], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("file", FILES, ids=str)
def test_no_file_is_too_long_to_be_read(file):
    assert len((PACKAGE / file).read_text(encoding="utf-8").splitlines()) <= LONGEST
