"""A run folder is deleted: what gradlab has written of it, and nothing else."""

from contextlib import suppress
from pathlib import Path

from gradlab import marker
from gradlab.errors import RunBusyError, RunFolderError
from gradlab.locking import FileLock, is_locked
from gradlab.run_folder.names import GROWING, LOCK


def require_deletable(path: Path) -> None:
    """Raise where a folder must not be deleted.

    Raises:
        RunBusyError: another process is writing the run.
        RunFolderError: the folder is a link, or has no marker of gradlab.
    """
    if path.is_symlink():
        raise RunFolderError(f"{path} is a link, and is not followed", fix="Name the folder that it leads to.")
    if not marker.is_ours(path) or (path / marker.NAME).is_symlink():
        fix = "It may be from an earlier version; remove it yourself."
        raise RunFolderError(f"{path} has no marker that gradlab has made it", fix=fix)
    if is_locked(path / LOCK):
        raise RunBusyError(f"{path} is being written by another process")


def delete_run(path: Path) -> list[str]:
    """Delete what gradlab has written into a run folder, and the folder if nothing else is in it.

    Returns:
        what is left in it, by name: files of somebody else. Nothing where the folder is gone.

    Raises:
        RunBusyError: another process is writing the run.
        RunFolderError: the folder must not be, or cannot be deleted.
    """
    require_deletable(path)
    try:
        lock = FileLock(path / LOCK)
    except BlockingIOError:
        raise RunBusyError(f"{path} is being written by another process") from None
    except OSError as error:
        raise RunFolderError(f"{path} cannot be deleted: {error.strerror or error}") from error
    try:
        files = marker.written_files(path, GROWING)
        marker.clear(path, GROWING)
        inside = {folder for file in files for folder in marker.between(path, file)}
        for folder in sorted({*inside, *(path / table for table in GROWING)}, key=lambda folder: -len(folder.parts)):
            with suppress(OSError):  # something else is in it, it is a link, or there is none
                folder.rmdir()
        left = sorted(file.name for file in path.iterdir() if file.name not in (LOCK, marker.NAME))
        (path / marker.NAME).unlink()
        (path / LOCK).unlink(missing_ok=True)
        if not left:
            path.rmdir()
    except OSError as error:
        raise RunFolderError(f"{path} cannot be deleted: {error.strerror or error}") from error
    finally:
        lock.release()
    return left
