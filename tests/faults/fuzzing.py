"""What a fuzzer feeds to gradlab: any bytes as a config, a summary or a part of a table.

    pip install -e '.[fuzz]'
    python -m tests.faults.fuzzing yaml summary part --seconds 600

Atheris follows which lines of gradlab (and of PyYAML) an input reaches, and keeps the inputs that reach new ones. It
begins with `tests/faults/corpus/`; what it finds on the way is kept in a folder of its own (`--keep DIR`), and an input
that breaks a promise is written there as `crash-…`. Such an input belongs into the corpus, where a test tries it.
"""

import argparse
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping
from contextlib import redirect_stdout, suppress
from io import BytesIO, StringIO
from pathlib import Path
from random import Random
from typing import Any

CORPUS = Path(__file__).parent / "corpus"
ROOT = Path(__file__).parents[2]


def try_yaml(content: bytes, place: Path) -> None:
    """A config or a sweep file: understood, or refused with one message; what is understood can be written and read."""
    from gradlab.config.files import dump_config, load_config
    from gradlab.sweeps.grid import load_plan
    from tests.faults.texts import understood_or_refused

    path = place / "config.yaml"
    path.write_bytes(content)

    def load() -> None:
        config = load_config(path)
        if not config.names_files:
            path.write_text(dump_config(config), encoding="utf-8")
            assert load_config(path).id == config.id

    understood_or_refused(load)
    if content.count(b"range") + content.count(b"space") + content.count(b"*") < 3:  # no sweep of a million points
        understood_or_refused(lambda: load_plan(path))


def try_summary(content: bytes, place: Path) -> None:
    """A `summary.json`: the run is shown and compared as far as the file goes, or named with the reason."""
    from gradlab.printing import say
    from gradlab.views.comparison import formats
    from gradlab.views.comparison.comparison import compare
    from gradlab.views.comparison.runs import collect
    from gradlab.views.comparison.table import not_compared
    from tests.faults.commands import OBEYED

    folder = place / "run"
    folder.mkdir(exist_ok=True)
    (folder / "summary.json").write_bytes(content)
    show(folder)
    runs = collect([place])
    assert len(runs.finished) + len(runs.unfinished) == 1
    comparison = compare(runs, where=None, group_by=(), sort=())
    with redirect_stdout(StringIO()) as printed:
        for said in (formats.markdown(comparison, ()), formats.comma_separated(comparison, ()), *not_compared(runs)):
            say(said)
    assert not OBEYED.search(printed.getvalue()), printed.getvalue()


def try_part(content: bytes, place: Path) -> None:
    """A part of a table: its rows are read, or the summary says why not.

    Bytes at random are no Parquet file, so that the first byte says of which good table this is a damaged one.
    """
    folder = place / "run"
    for table in ("layers", "steps", "evaluations", "histograms"):
        (folder / table).mkdir(parents=True, exist_ok=True)
        for part in (folder / table).iterdir():
            part.unlink()
    (folder / "summary.json").write_text('{"status": "running", "config": {"watch": {"optimizer": "SGD"}}}')
    table, file = damaged_part(content)
    (folder / table / "000000.parquet").write_bytes(file)
    show(folder)


def show(folder: Path) -> None:
    """Read, diagnose and print a run, as `gradlab show` does."""
    from gradlab.errors import RunFolderError
    from gradlab.results import load_run
    from gradlab.tables import SCHEMAS
    from gradlab.views.summary import summary_text
    from tests.faults.commands import OBEYED

    try:
        run = load_run(folder)
        for table in SCHEMAS:
            getattr(run, table)
        said = summary_text(run.tables)
    except RunFolderError as error:
        said = str(error)
    assert not OBEYED.search(said), repr(said)


def damaged_part(content: bytes) -> tuple[str, bytes]:
    """A table's name, and a file that holds some rows of it: as they should be, with other values, or with other bytes.

    The first byte chooses the table and how it is damaged, the others are the damage.
    """
    import polars as pl

    from gradlab.tables import SCHEMAS

    first, rest = content[0] if content else 0, content[1:]
    table = ("layers", "steps", "evaluations", "histograms")[first % 4]
    if first & 4:
        return table, rest
    choose = Random(len(rest))
    columns = {}
    for index, (name, kind) in enumerate(SCHEMAS[table].items()):
        numbers = [rest[(index * 5 + row) % len(rest)] if rest else row for row in range(6)]
        columns[name] = pl.Series([_value(kind, number, row) for row, number in enumerate(numbers)], dtype=kind)
    frame = pl.DataFrame(columns)
    if first & 8 and rest:
        frame = frame.drop(frame.columns[rest[0] % frame.width])
    if first & 16 and rest:
        name = frame.columns[rest[-1] % frame.width]
        kind = [pl.String, pl.Int8, pl.Float32, pl.Boolean, pl.List(pl.Int64), pl.Null, pl.Date, pl.Binary][rest[0] % 8]
        frame = frame.with_columns(pl.lit(None, kind).alias(name))
    buffer = BytesIO()
    frame.write_parquet(buffer, compression=("uncompressed", "zstd", "snappy", "lz4")[choose.randrange(4)])
    file = bytearray(buffer.getvalue())
    if first & 32:
        for place, value in zip(rest[::2], rest[1::2], strict=False):
            file[(place * len(file) // 256 + value % 7) % len(file)] = value
    return table, bytes(file)


def _value(kind: Any, number: int, row: int) -> object:
    """A value of a column: for small numbers one as it should be, for others what nobody measures."""
    import polars as pl

    words = ("weight", "output", "activation", "test", "train", "relu", "\x1b[2J", "", "x" * 300, "\u202e")
    if kind == pl.String:
        return words[number % len(words)]
    if kind.is_integer():
        return (row, 0, -1, None, 2**31 - 1, row, row)[number % 7]
    if kind.is_float():
        return (0.1 * row, 1.0, 0.0, None, float("nan"), float("inf"), -1e300, 1e-320, number / 7)[number % 9]
    if kind == pl.Boolean:
        return (True, False, None)[number % 3]
    return ([1] * 64, [], None, [-1] * 64, [2**62] * 3)[number % 5]


TARGETS: Mapping[str, Callable[[bytes, Path], None]] = {"yaml": try_yaml, "summary": try_summary, "part": try_part}


def fuzz(target: str, seconds: int, keep: Path) -> None:
    """Try inputs for some seconds; ends the process, with 0 where all promises were kept."""
    import atheris

    with atheris.instrument_imports(include=["gradlab", "yaml", "tests.faults.fuzzing"]):
        import gradlab.config.files
        import gradlab.results
        import gradlab.sweeps.grid
        import gradlab.views.comparison.formats
        import gradlab.views.comparison.table
        import gradlab.views.summary  # noqa: F401

    found = keep / target
    found.mkdir(parents=True, exist_ok=True)
    memory = Path("/dev/shm")
    place = Path(tempfile.mkdtemp(dir=memory if memory.is_dir() else None))
    words = keep / f"{target}.dict"
    words.write_text("".join(f'"{word}"\n' for word in dictionary(target)), encoding="ascii")
    act = TARGETS[target]
    options = [
        f"-max_total_time={seconds}",
        "-timeout=30",
        "-rss_limit_mb=3000",
        *([f"-dict={words}"] if words.stat().st_size else []),
        "-max_len=8192",
    ]
    options += [f"-artifact_prefix={found}/", "-print_final_stats=1", "-verbosity=0"]
    atheris.Setup([sys.argv[0], *options, str(found), str(CORPUS / target)], lambda content: act(content, place))
    atheris.Fuzz()


def dictionary(target: str) -> list[str]:
    """Words that an input is likely to need: the keys of configs, or those of summaries."""
    from gradlab.config import Config
    from gradlab.run_folder.summary import FIELDS

    if target == "summary":
        return [*FIELDS, "watch", "model", "completed", "diverged", "running", "error", "rule", "modules", "remedies"]
    if target == "part":
        return []
    schema = Config.model_json_schema()
    keys = {key for part in schema.get("$defs", {}).values() for key in part.get("properties", {})}
    return sorted(
        keys | set(schema["properties"]) | {"base", "grid", "pairs", "exclude", "claim", "range(", "logspace("}
    )


def main() -> int:
    """Each target in a process of its own, because the fuzzer ends its process."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("targets", nargs="*", default=list(TARGETS), choices=list(TARGETS))
    parser.add_argument("--seconds", type=int, default=600, help="for each target")
    parser.add_argument("--keep", type=Path, default=Path(tempfile.gettempdir()) / "gradlab-fuzzing")
    parser.add_argument("--here", action="store_true", help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.here:
        fuzz(chosen.targets[0], chosen.seconds, chosen.keep)
    code = 0
    for target in chosen.targets:
        words = ["--here", "--seconds", str(chosen.seconds), "--keep", str(chosen.keep)]
        command = [sys.executable, "-m", "tests.faults.fuzzing", target, *words]
        with suppress(KeyboardInterrupt):
            code |= subprocess.run(command, cwd=ROOT, env=os.environ, check=False).returncode
    return code


if __name__ == "__main__":
    sys.exit(main())
