"""Files that survive a crash at any instant: whole or absent under their name, and erased when they go.

Every step goes through `os`, so that a test can stop the process at each of them. Not here: several files that belong together
(together.py).
"""

from __future__ import annotations

import errno
import os
import secrets
from contextlib import suppress
from pathlib import Path

_ZEROS = bytes(1 << 20)


def write_file(path: Path, content: bytes) -> None:
    """Write a file that a reader never sees half-written: to another name, synced, renamed, and the folder synced.

    Args:
        path: where the file belongs; what it held before is replaced.
        content: all of it.
    """
    temporary = path.parent / f".{path.name}.{secrets.token_hex(8)}.tmp"
    write_new(temporary, content)
    try:
        os.replace(temporary, path)
    except OSError:
        os.unlink(temporary)
        raise
    sync_folder(path.parent)


def write_new(path: Path, content: bytes) -> None:
    """Write and sync a file that is not there yet; a failure (a full disk, say) leaves none."""
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)
    try:
        view = memoryview(content)
        while view:
            view = view[os.write(handle, view) :]
        os.fsync(handle)
    except OSError:
        with suppress(OSError):
            os.unlink(path)
        raise
    finally:
        os.close(handle)


def erase(path: Path) -> int:
    """Overwrite a file with zeros, sync, and remove it, so that the file system no longer has its bytes; returns their number.

    A file that has another name (a hard link) is somebody's copy and only loses this one. What lies below the file system
    (snapshots, copy on write, spare blocks of a flash disk) is out of reach of this.
    """
    handle = os.open(path, os.O_WRONLY)
    try:
        size = os.fstat(handle).st_size
        if os.fstat(handle).st_nlink == 1:
            blank(handle)
    finally:
        os.close(handle)
    os.unlink(path)
    return size


def blank(handle: int) -> None:
    """Overwrite an open file with zeros and sync it."""
    left = os.fstat(handle).st_size
    os.lseek(handle, 0, os.SEEK_SET)
    while left:
        left -= os.write(handle, _ZEROS[: min(left, len(_ZEROS))])
    os.fsync(handle)


def sync_folder(folder: Path) -> None:
    """Make the renames and removals inside a folder durable, on file systems that can be asked to."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):
            raise
    finally:
        os.close(handle)
