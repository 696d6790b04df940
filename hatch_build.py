"""Compiles `gradlab/recording/native/kernels.c` when gradlab is built or installed.

The compiler is Zig's, which pip brings as a wheel for the time of the build: whoever installs gradlab needs none. Where
there is none for a platform, gradlab is installed without native kernels and takes its plain PyTorch path.
"""

import platform
import subprocess
import sys
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

SOURCE = Path("gradlab/recording/native/kernels.c")
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
        libraries = compile_kernels(Path(self.root))
        if libraries:
            build_data["pure_python"] = False
            build_data["tag"] = f"py3-none-{_platform_tag()}"
            build_data["artifacts"] += [path.relative_to(self.root).as_posix() for path in libraries]


def compile_kernels(root: Path) -> list[Path]:
    """Compile the kernels beside their source.

    Returns:
        The libraries, one a variant; none where there is no compiler or it fails.
    """
    machine, target = MACHINES.get(platform.machine()), TARGETS.get(platform.system())
    if not (machine and target):
        return []
    libraries = []
    for variant in VARIANTS[machine]:
        library = (root / SOURCE).with_name(f"kernels-{variant}.{'dll' if target.startswith('windows') else 'so'}")
        command = [sys.executable, "-m", "ziglang", "cc", "-target", f"{machine}-{target}", f"-mcpu={variant}"]
        done = subprocess.run(
            [*command, *FLAGS, "-o", str(library), str(root / SOURCE)], capture_output=True, text=True, check=False
        )
        if done.returncode:
            print(f"gradlab is built without native kernels: {done.stderr.strip()}", file=sys.stderr)
            return []
        libraries.append(library)
    return libraries


def _platform_tag() -> str:
    if platform.system() == "Linux":  # compiled against glibc 2.17
        return f"manylinux_2_17_{platform.machine()}"
    import sysconfig

    return sysconfig.get_platform().replace("-", "_").replace(".", "_")


if __name__ == "__main__":
    for path in compile_kernels(Path(__file__).parent):
        print(path)
