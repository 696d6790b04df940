"""Files are written by `writing.py` and opened by `reading.py`; who does otherwise stands here, with the reason."""

import ast
from pathlib import Path

PACKAGE = Path(__file__).parents[1] / "gradlab"
WRITING = {
    "write_text", "write_bytes", "savefig", "save", "savez", "savetxt", "sink_parquet", "rename", "rmtree", "touch",
    "symlink_to", "hardlink_to", "NamedTemporaryFile", "mkstemp", "mkdtemp", "copyfile", "copytree", "move",
}  # fmt: skip
READING = {
    "open",
    "read_text",
    "read_bytes",
    "load",
    "read_csv",
    "read_parquet",
    "scan_parquet",
    "loadtxt",
    "memmap",
    "fromfile",
}
ALLOWED = {
    "config/files.py": {"open": "`gradlab init` makes a file that is not there", "read_text": "the starter, packaged"},
    "datasets/bundled.py": {"loadtxt": "what scikit-learn has installed"},
    "datasets/files.py": {
        "load": "after `open_file` has looked at the file", "read_csv": "likewise",
        "open": "a member of an archive",
    },
    "locking.py": {"open": "refuses links and what is no regular file itself"},
    "memory.py": {"read_text": "of the system"},
    "parquet_pages.py": {"scan_parquet": "after its headers have been looked over"},
    "printing.py": {"open": "the null device"},
    "report/page.py": {"read_text": "packaged"},
    "run_folder/parts.py": {
        "scan_parquet": "parts that this process has written, to merge them",
        "sink_parquet": "into what `replacing` has made",
        "write_bytes": "likewise",
    },
    "views/export/tensorboard.py": {"open": "what `replacing` has made"},
    "views/export/wandb.py": {"rmtree": "a folder that an earlier export of the same run has made"},
    "views/pictures/sheet.py": {"savefig": "into memory"},
}  # fmt: skip


def test_files_are_written_and_opened_in_one_way():
    found: dict[str, set[str]] = {}
    for file in sorted(PACKAGE.rglob("*.py")):
        name = file.relative_to(PACKAGE).as_posix()
        if name in ("writing.py", "reading.py"):
            continue
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call):
                owner, _, called = ast.unparse(node.func).rpartition(".")
                files_of = ("np", "pl", "json", "yaml", "torch") if called == "load" else None
                if called in WRITING | READING and (files_of is None or owner in files_of):
                    found.setdefault(name, set()).add(called)
    others = {name: sorted(called - set(ALLOWED.get(name, ()))) for name, called in found.items()}
    assert {name: called for name, called in others.items() if called} == {}
    stale = {name: sorted(set(calls) - found.get(name, set())) for name, calls in ALLOWED.items()}
    assert {name: calls for name, calls in stale.items() if calls} == {}
