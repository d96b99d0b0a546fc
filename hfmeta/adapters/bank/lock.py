"""One writer to a bank: an advisory lock that ends with its process, however that ends."""

from __future__ import annotations

import os
import socket
import weakref
from pathlib import Path

from hfmeta.adapters.bank.errors import BankError


class WriterLock:
    """Holds the right to write until `release`, the object's end or the process's.

    Args:
        path: the lock file, made where absent; what it says (process and machine) is for messages alone.

    Raises:
        BankError: another writer holds it, or the system has no such locks.
    """

    def __init__(self, path: Path):
        try:
            import fcntl
        except ImportError:
            raise BankError("writing to a bank needs POSIX file locks, which this system does not have.") from None
        handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            holder = os.read(handle, 300).decode("utf-8", "replace").strip() or "unknown"
            os.close(handle)
            raise BankError(
                f"the bank {path.parent} already has a writer ({holder}); a bank has one at a time. Close that one, or open the "
                'bank with mode="r".'
            ) from None
        os.ftruncate(handle, 0)
        os.write(handle, f"process {os.getpid()} on {socket.gethostname()}\n".encode())
        self._process = os.getpid()
        self._finalizer = weakref.finalize(self, os.close, handle)

    @property
    def held(self) -> bool:
        """Whether this very process may write: a forked child of the holder may not."""
        return self._finalizer.alive and self._process == os.getpid()

    def release(self) -> None:
        """Let another writer in."""
        self._finalizer()
