"""Python functions of the user that a config names: `acts.py:bump`, or `package.module:bump`.

`digest` reads files and runs nothing, so an id can be made without running foreign code. `load` imports the file; only
what trains or predicts calls it. Torch-free.
"""

import ast
import hashlib
import importlib
import importlib.util
import inspect
import sys
import traceback
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, redirect_stdout, suppress
from pathlib import Path
from types import ModuleType
from typing import Any

from gradlab.errors import UserError
from gradlab.reading import read_file

EXPECTED = "must name a file and what is in it, such as nets.py:build, or package.module:build"
MOST_BYTES = 2**24
"""Of a file of code."""
MOST_FILES = 2000
"""Files whose content counts for one reference."""
_PREFIX = "gradlab_user_code_"
"""Of the names that imported files have in `sys.modules`."""
_GRADLAB = Path(__file__).parent
_loaded: dict[tuple[str, str], Any] = {}


def checked(reference: str) -> str:
    """The reference itself; ValueError where it is none."""
    module, _, name = reference.rpartition(":")
    dotted = all(part.isidentifier() for part in module.split("."))
    if not name.isidentifier() or not (module.endswith(".py") or dotted) or "\0" in module:
        raise ValueError(f"{EXPECTED}, not {reference!r}")
    return reference


def absolute(reference: str, base: Path) -> str:
    """A reference with the path of its file made absolute; a package's name stays as it is."""
    module, colon, name = reference.rpartition(":")
    return f"{base / module}{colon}{name}" if module.endswith(".py") else reference


def function_name(reference: str) -> str:
    """`bump` of `acts.py:bump`."""
    return reference.rpartition(":")[2]


# ------------------------------------------------------------------------------------------------------------- reading


def digest(reference: str) -> str:
    """What stands for a function in an id: a hash of its file and of the files that its import statements lead to.

    Counted are files in the folder of the file or below it, and of a package the package's own. They are read, not run.

    Raises:
        UserError: a file cannot be read.
    """
    path, root = _locate(reference)
    contents: dict[Path, bytes] = {}
    waiting = [path]
    while waiting:
        file = waiting.pop()
        if file in contents:
            continue
        contents[file] = _read(file, reference)
        if len(contents) > MOST_FILES:
            raise UserError(f"{reference}: its import statements lead to more than {MOST_FILES:,} files of code")
        waiting += _imported(contents[file], file, root, reference)
    parts = sorted((file.relative_to(root).as_posix() if file != path else "", hashlib.sha256(content).hexdigest())
                   for file, content in contents.items())  # fmt: skip
    return f"sha256:{hashlib.sha256(repr(parts).encode()).hexdigest()}:{function_name(reference)}"


def _locate(reference: str) -> tuple[Path, Path]:
    """The file of a reference, and the folder that its imports are looked for in."""
    module = reference.rpartition(":")[0]
    if module.endswith(".py"):
        path = Path(module).absolute()
        return path, path.parent
    for folder in [Path.cwd(), *(Path(entry) for entry in sys.path if entry)]:
        stem = folder.joinpath(*module.split("."))
        for file in (stem.with_name(stem.name + ".py"), stem / "__init__.py"):
            if file.is_file():
                return file, folder
    raise UserError(
        f"{reference}: there is no module {module} in the working directory or among the installed packages"
    )


def _read(file: Path, reference: str) -> bytes:
    try:
        return read_file(file, MOST_BYTES)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise UserError(f"{reference}: cannot read {str(file)!r}: {reason}") from error


def _imported(content: bytes, file: Path, root: Path, reference: str) -> Iterator[Path]:
    """The files below `root` that the import statements of a file name."""
    try:
        tree = ast.parse(content)
    except (SyntaxError, ValueError, RecursionError):
        return  # `load` says what is wrong with it
    package = "" if reference.rpartition(":")[0].endswith(".py") else reference.partition(".")[0]
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            named = [(root, alias.name) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            start = [root, file.parent, *file.parents[1:]][node.level] if node.level <= len(file.parents) else root
            module = node.module or ""
            named = [(start, f"{module}.{alias.name}".strip(".")) for alias in node.names] + [(start, module)]
        else:
            continue
        for start, name in named:
            parts = [part for part in name.split(".") if part and part != "*"]
            if package and start == root and parts[:1] != [package]:
                continue
            for end in range(len(parts) + 1):
                stem = start.joinpath(*parts[:end])
                for found in (stem.with_name(stem.name + ".py"), stem / "__init__.py"):
                    if found.is_file() and found.is_relative_to(root) and (end or found.parent != root):
                        yield found


# ------------------------------------------------------------------------------------------------------------- running


def load(reference: str) -> Any:
    """What a reference names. The file is imported once, and again when its content has changed.

    Raises:
        UserError: the file cannot be read or imported, or has no such name.
    """
    key = (reference, digest(reference))
    if key not in _loaded:
        path, _ = _locate(reference)
        with running(reference):
            module = _import(reference, path, key[1])
        name = function_name(reference)
        if not hasattr(module, name):
            known = ", ".join(sorted(name for name in vars(module) if not name.startswith("_"))[:20])
            raise UserError(f"{path}: there is no {name} in it  (there is: {known})")
        _loaded[key] = getattr(module, name)
    return _loaded[key]


def _import(reference: str, path: Path, digest: str) -> ModuleType:
    dotted = reference.rpartition(":")[0]
    if not dotted.endswith(".py"):
        return importlib.import_module(dotted)
    name = f"{_PREFIX}{hashlib.sha256(f'{path}{digest}'.encode()).hexdigest()[:12]}"
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # pickle and dataclasses look for it there
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    return module


@contextmanager
def running(reference: str, where: str = "") -> Iterator[None]:
    """Run code of the user: what it prints goes to the error stream, and what it raises becomes one message.

    Args:
        reference: the code.
        where: `file:line` that the message names where the error has none in the user's files.

    The folder of its file can be imported from meanwhile. Files that were imported from there are forgotten afterwards,
    so that a file of the same name beside another config is not taken for it.

    Raises:
        UserError: the code raised; the message has the line of the user's file.
    """
    path, root = _locate(reference)
    before, own_path = set(sys.modules), list(sys.path)
    sys.path.insert(0, str(root))
    try:
        with redirect_stdout(sys.stderr):
            yield
    except UserError:
        raise
    except (Exception, SystemExit) as error:
        raise UserError(f"{line_of(error, root) or where or path}: {type(error).__name__}: {error}") from error
    finally:
        sys.path[:] = own_path
        if reference.rpartition(":")[0].endswith(".py"):
            for name in set(sys.modules) - before:
                file = getattr(sys.modules[name], "__file__", None) or ""
                if not name.startswith(_PREFIX) and _is_below(Path(file), root):
                    del sys.modules[name]


def line_in(error: BaseException, reference: str) -> str:
    """The same for the folder, or the package, of a function's file."""
    path, root = _locate(reference)
    return line_of(error, root if path.parent == root else root / reference.partition(".")[0])


def line_of(error: BaseException, root: Path) -> str:
    """`file:line` of the innermost frame of an error that is in a folder; empty where none is."""
    if isinstance(error, SyntaxError) and error.filename and Path(error.filename).is_relative_to(root):
        return f"{error.filename}:{error.lineno}"
    frames = [
        f"{frame.filename}:{frame.lineno}"
        for frame in traceback.extract_tb(error.__traceback__)
        if _is_below(Path(frame.filename), root)
    ]
    return frames[-1] if frames else ""


def _is_below(file: Path, root: Path) -> bool:
    """Whether a file is in a folder, and neither gradlab's nor in an environment with installed packages in it."""
    inside = file.is_relative_to(root) and "site-packages" not in file.relative_to(root).parts
    return inside and not file.is_relative_to(_GRADLAB)


def called(reference: str, options: Mapping[str, Any], **offered: Any) -> Any:
    """What a function or class of the user returns.

    Args:
        reference: names it.
        options: what it is called with, by the names of its arguments.
        offered: what it is called with besides, where it has an argument of that name that the options do not set.

    Raises:
        UserError: it cannot be loaded or called, or it raised; the message has the line of the user's file.
    """
    function = load(reference)
    if not callable(function):
        path, _ = _locate(reference)
        raise UserError(f"{path}: {function_name(reference)} is {type(function).__name__} and cannot be called")
    with suppress(TypeError, ValueError):  # of some built-in functions the arguments are not known
        signature = inspect.signature(function)
        offered = {key: value for key, value in offered.items() if key in signature.parameters and key not in options}
        try:
            signature.bind(**options, **offered)
        except TypeError as error:
            given = ", ".join([*options, *offered]) or "nothing"
            raise UserError(
                f"{place(reference)}: {function_name(reference)}{signature} cannot be called with {given}: {error}"
            ) from None
    with running(reference, place(reference)):
        return function(**options, **offered)


def place(reference: str) -> str:
    """`file:line` where a function or class of the user begins, as far as that is known."""
    path, _ = _locate(reference)
    with suppress(UserError, OSError, TypeError):
        value = load(reference)
        code = getattr(value, "__code__", None)
        line = code.co_firstlineno if code is not None else inspect.getsourcelines(value)[1]
        file = code.co_filename if code is not None else inspect.getsourcefile(value)
        return f"{file}:{line}"
    return str(path)
