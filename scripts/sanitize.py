"""Run the tests of the native code while clang's sanitizers watch each of its reads, writes and computations.

    python -m scripts.sanitize [PYTEST ARGUMENT …]

AddressSanitizer finds reads and writes outside of what was allocated, UndefinedBehaviorSanitizer what C leaves
undefined. gradlab is copied into a folder of its own, with a native library that clang has compiled for the sanitizers,
and the tests of `tests/recording` that feed the native code run there. Where there is no clang, or it lacks the
sanitizers, this says so and does nothing (Debian: `clang` and `libclang-rt-dev`).
"""

import os
import platform
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from gradlab.recording import native
from hatch_build import FLAGS, HOME, MACHINES, layout_flags, python_flags

ROOT = Path(__file__).parents[1]
TESTS = ("test_native.py", "test_hooks.py", "test_backends.py", "test_structure.py", "test_odd_tensors.py", "fuzz")
"""What is in `tests/recording`."""
SANITIZERS = ("-fsanitize=address,undefined", "-fno-sanitize-recover=undefined", "-fno-omit-frame-pointer", "-g", "-O1")
CPUS = {"AVX512": "x86-64-v4", "AVX2": "x86-64-v3"}


def find_clang() -> str | None:
    """The newest clang that is installed."""
    names = ["clang", *(f"clang-{version}" for version in range(30, 12, -1))]
    return next((path for name in names if (path := shutil.which(name))), None)


def runtime(clang: str) -> Path | None:
    """The library of AddressSanitizer, which has to be there before all others."""
    names = [f"libclang_rt.asan-{platform.machine()}.so", "libclang_rt.asan.so"]
    for name in names:
        found = subprocess.run([clang, f"-print-file-name={name}"], capture_output=True, text=True, check=True)
        path = Path(found.stdout.strip())
        if path.is_absolute() and path.exists():
            return path
    return None


def compile_library(clang: str, root: Path) -> None:
    """Compile the native library in a copy of the repository, in place of those that are there."""
    import torch

    for old in (root / HOME).glob("kernels-*.so"):
        old.unlink()
    machine = MACHINES[platform.machine()]
    cpu = CPUS.get(torch.backends.cpu.get_cpu_capability(), "x86-64")
    variant = cpu.replace("x86-64", "x86_64").replace("-", "_") if machine == "x86_64" else "generic"
    flags = [flag for flag in FLAGS if flag not in ("-O3", "-s")]
    if machine == "x86_64":
        flags.append(f"-march={cpu}")
    library = root / HOME / f"kernels-{variant}.so"
    command = [clang, *flags, *SANITIZERS, *layout_flags(root), *python_flags("hooks.c", "linux-gnu"), "-o", library]
    subprocess.run([*command, root / HOME / "hooks.c"], check=True)


def main() -> int:
    """Compile, run the tests, and return pytest's exit code."""
    clang = find_clang() if platform.system() == "Linux" else None
    asan = None if clang is None else runtime(clang)
    if clang is None or asan is None or native.LIBRARY is None:
        missing = "gradlab's native library" if clang and asan else "clang with AddressSanitizer"
        print(f"skipped: this machine lacks {missing}")
        return 0
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder)
        for name in ("gradlab", "tests", "scripts", "pyproject.toml", "hatch_build.py"):
            (shutil.copytree if (ROOT / name).is_dir() else shutil.copy)(ROOT / name, copy / name)
        compile_library(clang, copy)
        tests = sys.argv[1:] or [str(Path("tests/recording") / name) for name in TESTS]
        environment = {
            **os.environ,
            "LD_PRELOAD": str(asan),
            "ASAN_OPTIONS": "detect_leaks=0:abort_on_error=0:halt_on_error=1",
            "UBSAN_OPTIONS": "print_stacktrace=1:halt_on_error=1",
            "PYTHONPATH": str(copy),
            "PYTHONMALLOC": "malloc",
        }
        used = "from gradlab.recording.native import LIBRARY; raise SystemExit(LIBRARY is None)"
        subprocess.run([sys.executable, "-c", used], cwd=copy, env=environment, check=True)
        command = [sys.executable, "-m", "pytest", "-q", "-s", "-n0", "-p", "no:cacheprovider", *tests]
        return subprocess.run(command, cwd=copy, env=environment, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
