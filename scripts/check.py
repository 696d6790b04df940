"""Check everything that continuous integration checks; exits 1 if something is wrong.

    python scripts/check.py [--fix] [--no-tests]

`--fix` formats and regenerates what can be generated instead of complaining about it.
"""

import subprocess
import sys

FIX = "--fix" in sys.argv[1:]
PYTHON = sys.executable
CHECKS = {
    "lint": ["ruff", "check", *(["--fix"] if FIX else []), "."],
    "format": ["ruff", "format", *([] if FIX else ["--check"]), "."],
    "types": ["mypy"],
    "native code under sanitizers": ["scripts.sanitize"],
    "generated docs": ["scripts.docs", *(["--fix"] if FIX else [])],
    **({} if "--no-tests" in sys.argv[1:] else {"tests": ["pytest"]}),
}


def main() -> int:
    """Run every check, also after one has failed, and say which did."""
    failed = []
    for name, command in CHECKS.items():
        print(f"── {name}", flush=True)
        if subprocess.run([PYTHON, "-m", *command], check=False).returncode != 0:
            failed.append(name)
    print(f"failed: {', '.join(failed)}" if failed else "all checks passed")
    return bool(failed)


if __name__ == "__main__":
    sys.exit(main())
