"""Compiles `gradlab/recording/native/` when gradlab is built or installed.

The compiler is Zig's, which pip brings as a wheel for the time of the build: whoever installs gradlab needs none.
Where Python's headers are not there either, or are those of a Python without the stable interface, the kernels are
compiled without the hooks; and where there is no compiler for a platform, gradlab takes its plain PyTorch path.
"""

import ast
import platform
import subprocess
import sys
import sysconfig
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

HOME = Path("gradlab/recording/native")
STATISTICS = Path("gradlab/statistics.py")
SOURCES = {"hooks.c": "cp311-abi3", "kernels.c": "py3-none"}
"""What to compile, the first that can be (`hooks.c` has the kernels in it), and the tag of a wheel that holds it."""
VARIANTS = {"x86_64": ("x86_64", "x86_64_v3", "x86_64_v4"), "aarch64": ("generic",)}
"""CPUs for which the kernels are compiled; which one is loaded is decided when they are."""
MACHINES = {"AMD64": "x86_64", "x86_64": "x86_64", "arm64": "aarch64", "aarch64": "aarch64"}
TARGETS = {"Linux": "linux-gnu.2.17", "Darwin": "macos", "Windows": "windows-gnu"}
FLAGS = ("-std=c11", "-O3", "-shared", "-fPIC", "-fno-math-errno", "-fno-trapping-math", "-fvisibility=hidden", "-s")


class CustomBuildHook(BuildHookInterface[Any]):
    """Adds the compiled kernels to a wheel."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Compile, and make the wheel one for this platform."""
        if self.target_name != "wheel":
            return
        libraries, tag = compile_natives(Path(self.root))
        if libraries:
            build_data["pure_python"] = False
            build_data["tag"] = f"{tag}-{_platform_tag()}"
            build_data["artifacts"] += [path.relative_to(self.root).as_posix() for path in libraries]


def compile_natives(root: Path) -> tuple[list[Path], str]:
    """Compile a library for each kind of CPU beside its source.

    Returns:
        The libraries, none where there is no compiler or it fails; and the wheel's tag.
    """
    machine, target = MACHINES.get(platform.machine()), TARGETS.get(platform.system())
    if machine and target:
        for source, tag in SOURCES.items():
            libraries = [root / HOME / f"kernels-{variant}.{_suffix(target)}" for variant in VARIANTS[machine]]
            commands = [
                [
                    *_compiler(f"{machine}-{target}", variant),
                    *layout_flags(root),
                    *python_flags(source, target),
                    "-o",
                    library,
                    root / HOME / source,
                ]
                for variant, library in zip(VARIANTS[machine], libraries, strict=True)
            ]
            if all(_succeeds(command) for command in commands):
                return libraries, tag
    return [], ""


def layout_flags(root: Path) -> list[str]:
    """Flags that tell the C code the sums of `gradlab/statistics.py`: the slot of each, and how many there are.

    `LAYOUT` is compared with `gradlab.statistics.LAYOUT` when the library is loaded. The file is parsed and not run,
    because NumPy need not be there when gradlab is built.
    """
    literals = {}
    for node in ast.parse((root / STATISTICS).read_text(encoding="utf-8")).body:
        if isinstance(node, ast.Assign | ast.AnnAssign) and node.value is not None:
            name = ast.unparse(node.target if isinstance(node, ast.AnnAssign) else node.targets[0])
            if name in ("SUMS", "PARAMETER_SUMS"):
                literals[name] = tuple(ast.literal_eval(node.value))
    sums, parameter_sums = literals["SUMS"], literals["PARAMETER_SUMS"]
    slots = [(name, slot) for names in (sums, parameter_sums) for slot, name in enumerate(names)]
    return [
        *(f"-DSUM_{name.upper()}={slot}" for name, slot in slots),
        f"-DSUMS={len(sums)}",
        f"-DPARAMETER_SUMS={len(parameter_sums)}",
        f'-DLAYOUT="{",".join(sums)};{",".join(parameter_sums)}"',
    ]


def _compiler(target: str, variant: str) -> list[str]:
    return [sys.executable, "-m", "ziglang", "cc", "-target", target, f"-mcpu={variant}", *FLAGS]


def python_flags(source: str, target: str) -> list[str]:
    """Where Python's headers are, and its names for the linker: the process has them, but Windows wants a library."""
    if source != "hooks.c":
        return []
    headers = [f"-I{sysconfig.get_path('include')}", f"-I{sysconfig.get_path('platinclude')}"]
    if target.startswith("windows"):
        return [*headers, f"-L{Path(sys.base_prefix) / 'libs'}", "-lpython3"]
    return [*headers, "-Wl,-undefined,dynamic_lookup"] if target == "macos" else headers


def _succeeds(command: list[Any]) -> bool:
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True, check=False)
    if done.returncode:
        print(f"gradlab: {command[-1]} could not be compiled: {done.stderr.strip()}", file=sys.stderr)
    return not done.returncode


def _suffix(target: str) -> str:
    return "dll" if target.startswith("windows") else "so"


def _platform_tag() -> str:
    if platform.system() == "Linux":  # compiled against glibc 2.17
        return f"manylinux_2_17_{platform.machine()}"
    return sysconfig.get_platform().replace("-", "_").replace(".", "_")


if __name__ == "__main__":
    print(compile_natives(Path(__file__).parent))
