"""Files that belong together: after a crash at any instant a reader finds all of the old ones or all of the new ones.

The new files are written and synced beside the folder. What makes them count is one rename:

- of their folder to its place, where there was none;
- of two folders with each other, where nothing else lies in the old one (Linux has a call for that);
- to the folder `.incoming` inside the old one, where other things stay (a run's checkpoints, say). They then move up one by one, and
  until the last is there `settled` sends readers to `.incoming`, which has all of them.

Not here: single files (durable.py), what the files are.
"""

from __future__ import annotations

import ctypes
import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from hfmeta.adapters.durable import sync_folder

INCOMING = ".incoming"
_SUFFIX = ".tmp"
_AT_FDCWD, _RENAME_EXCHANGE = -100, 2


@contextmanager
def written_together(folder: Path, last: str | None = None) -> Iterator[Path]:
    """Yield a temporary folder whose files move into `folder` when the block ends well; nothing is written when it fails.

    Args:
        folder: where the files belong; what it already holds and is not written anew stays.
        last: the file that moves last where they move one by one, by which readers of other libraries know that all are there.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    _sweep(folder)
    temporary = _place(folder) / f".{folder.name}.{secrets.token_hex(6)}{_SUFFIX}"
    temporary.mkdir()
    lock = _locked(temporary)
    try:
        yield temporary
        _sync(temporary, folder)
        _put(temporary, folder, last)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
        if lock is not None:
            os.close(lock)


def settled(folder: Path) -> Path:
    """Where the files of a folder lie that were written together: in it, or in its `.incoming` after a crash."""
    incoming = folder / INCOMING
    return incoming if incoming.is_dir() and not incoming.is_symlink() else folder


def finish(folder: Path, last: str | None = None) -> None:
    """Move up what a crash left in a folder's `.incoming`; for writers, who are alone.

    Args:
        folder: where the files belong.
        last: as for `written_together`.
    """
    incoming = folder / INCOMING
    if settled(folder) == folder:
        return
    files = sorted(_files(incoming), key=lambda path: path.name == last)
    for path in files:
        target = folder / path.relative_to(incoming)
        target.parent.mkdir(parents=True, exist_ok=True)
        for left in target.parent.glob(f".{_plain(target.name)}.*{_SUFFIX}"):
            if not left.is_dir():
                left.unlink()
        if target.exists() and os.path.samefile(path, target):
            continue  # it moved up before the crash; a rename between two names of one file would do nothing
        beside = target.with_name(f".{target.name}.{secrets.token_hex(6)}{_SUFFIX}")
        try:
            os.link(path, beside)
        except OSError:  # a file system without hard links
            shutil.copy2(path, beside)
        os.replace(beside, target)
    for parent in {folder / path.relative_to(incoming).parent for path in files}:
        sync_folder(parent)
    gone = folder / f"{INCOMING}.{secrets.token_hex(6)}{_SUFFIX}"
    os.rename(incoming, gone)  # at once: a reader must not find half of it
    shutil.rmtree(gone, ignore_errors=True)


def _place(folder: Path) -> Path:
    """Where to write first: beside the folder, or in it where the parent is another file system or not ours to write."""
    inside = folder.is_dir() and (os.path.ismount(folder) or not os.access(folder.parent, os.W_OK))
    return folder if inside else folder.parent


def _files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if not path.is_dir())


def _sync(temporary: Path, folder: Path) -> None:
    """Sync all files and their folders, with the rights that their new folder grants."""
    if folder.is_dir():
        temporary.chmod(folder.stat().st_mode & 0o7777)
    # safetensors makes files that only their owner reads.
    rights = temporary.stat().st_mode & 0o666
    for path in _files(temporary):
        path.chmod(rights)
        with path.open("rb") as handle:
            os.fsync(handle.fileno())
    for path in [*temporary.rglob("*"), temporary]:
        if path.is_dir():
            sync_folder(path)


def _put(temporary: Path, folder: Path, last: str | None) -> None:
    """Make the new files count, by one rename."""
    if not folder.is_dir() or not any(folder.iterdir()):
        os.rename(temporary, folder)
        sync_folder(folder.parent)
        return
    finish(folder, last)
    new = {path.relative_to(temporary) for path in _files(temporary)}
    old = {path.relative_to(folder) for path in folder.rglob("*") if not path.is_dir() or path.is_symlink()}
    if old <= new and temporary.parent != folder and not folder.is_symlink() and _exchange(temporary, folder):
        sync_folder(folder.parent)
        return
    os.rename(temporary, folder / INCOMING)
    sync_folder(folder)
    finish(folder, last)


def _exchange(one: Path, other: Path) -> bool:
    """Let two folders change names in one act; False where the system cannot."""
    try:
        call = ctypes.CDLL(None, use_errno=True).renameat2
    except (AttributeError, TypeError, OSError):
        return False
    call.argtypes = [ctypes.c_int, ctypes.c_char_p, ctypes.c_int, ctypes.c_char_p, ctypes.c_uint]
    return bool(call(_AT_FDCWD, os.fsencode(one), _AT_FDCWD, os.fsencode(other), _RENAME_EXCHANGE) == 0)


def _locked(folder: Path) -> int | None:
    """A lock that says for as long as this process lives that a temporary folder is in use; None where there are no such locks."""
    try:
        import fcntl

        handle = os.open(folder, os.O_RDONLY)
    except (ImportError, OSError):
        return None
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(handle)
        return None
    return handle


def _sweep(folder: Path) -> None:
    """Remove what processes that were killed have left of writing this folder."""
    left = [*folder.parent.glob(f".{_plain(folder.name)}.*{_SUFFIX}"), *folder.glob(f"{INCOMING}.*{_SUFFIX}")]
    for path in left:
        lock = _locked(path)
        if lock is not None:
            with suppress(OSError):
                shutil.rmtree(path)
            os.close(lock)


def _plain(name: str) -> str:
    """A name as a pattern that matches it alone."""
    return "".join(f"[{letter}]" if letter in "*?[" else letter for letter in name)
