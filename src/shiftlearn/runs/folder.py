"""One owner for each run folder: it is claimed before data are read, and locked while the run lives.

A claim is an operating-system lock on a hidden file in the folder; it ends with its process, even one that is killed.
"""

from __future__ import annotations

import itertools
import os
import platform
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import filelock

from ..errors import InputError
from ..files import CONFIG

__all__ = ["Claim", "Taken", "hold", "hold_next"]

_LOCK, _OWNER = ".lock", ".owner"
_ATTEMPTS = 20  # to make a folder that others remove meanwhile


class Taken(InputError):
    """A folder belongs to another run."""


@dataclass(frozen=True)
class Claim:
    """States that the caller holds ``folder``; passed in place of a folder, it is not claimed again."""

    folder: Path


@contextmanager
def hold(folder: Path | Claim, new: bool = False) -> Iterator[Claim]:
    """Make a folder if need be, and lock it against other processes and threads until the end of the ``with`` block.

    Folders made for it are removed at the end if they are still empty. Nothing is done for a :class:`Claim`.

    Args:
        folder: the folder to claim.
        new: require an empty folder, apart from leftovers of a run killed before writing config.json.

    Raises:
        Taken: the folder is locked, or not ``new``.
        OSError: it cannot be made or locked.
    """
    if isinstance(folder, Claim):
        yield folder
        return
    if new and not (folder / _LOCK).exists():
        _require_new(folder)  # nothing is written into a folder of somebody else
    made: list[Path] = []
    lock = filelock.FileLock(folder / _LOCK, thread_local=False)
    try:
        _lock(lock, folder, made)
        try:
            if new:
                _require_new(folder)
            (folder / _OWNER).write_text(f"pid {os.getpid()} on {platform.node()}", encoding="utf-8")
            yield Claim(folder)
        finally:
            # Before the release: a process that has opened the lock meanwhile finds it deleted, and opens a new one.
            # Windows cannot delete an open file; there, and on file systems without flock, the release deletes it.
            for name in (_OWNER, _LOCK):
                with suppress(OSError):
                    (folder / name).unlink()
            lock.release()
    finally:
        _remove_empty(reversed(made))


@contextmanager
def hold_next(folder: Path) -> Iterator[Claim]:
    """:func:`hold` the first of ``folder``, ``folder-2``, ``folder-3`` … that is new.

    At the end it is removed if it is empty, and so is its parent, whoever made them: of several processes that start
    and fail at once, the last one leaves nothing.
    """
    names = itertools.chain([folder], (folder.with_name(f"{folder.name}-{k}") for k in itertools.count(2)))
    try:
        with ExitStack() as held:
            claim = None
            while claim is None:
                with suppress(Taken):
                    claim = held.enter_context(hold(path := next(names), new=True))
            yield claim
    finally:
        _remove_empty([path, path.parent])


def _remove_empty(folders: Iterable[Path]) -> None:
    for folder in folders:
        with suppress(OSError):
            folder.rmdir()  # fails unless it is empty


def _require_new(folder: Path) -> None:
    left = (_LOCK, _OWNER, f".{CONFIG}.")
    try:
        new = all(path.name.startswith(left) for path in folder.iterdir())
    except (FileNotFoundError, NotADirectoryError):
        new = not folder.exists()
    if not new:
        raise Taken(f"{str(folder)!r} exists and is not an empty folder; name another one, or resume it")


def _lock(lock: filelock.BaseFileLock, folder: Path, made: list[Path]) -> None:
    for attempt in range(1, _ATTEMPTS + 1):
        try:
            _make(folder, made)
            lock.acquire(blocking=False)
            return
        except filelock.Timeout:
            user = f"a running process{_owner(folder)}"
            raise Taken(f"{str(folder)!r} is in use by {user}: wait for its end, or name another folder") from None
        except (FileNotFoundError, FileExistsError):
            # Another process has just made or removed one of the folders.
            if attempt == _ATTEMPTS:
                raise
        except OSError as error:
            error.filename = error.filename or str(lock.lock_file)
            raise


def _make(folder: Path, made: list[Path]) -> None:
    """Make a folder with its parents, and append those that did not exist to ``made``."""
    if not folder.parent.exists():
        _make(folder.parent, made)
    try:
        folder.mkdir()
    except FileExistsError:
        if not folder.is_dir():
            raise
    else:
        made.append(folder)


def _owner(folder: Path) -> str:
    with suppress(OSError):
        return f" ({(folder / _OWNER).read_text(encoding='utf-8', errors='replace')})"
    return ""
