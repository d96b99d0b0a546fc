"""Where a bank's files lie, and the steps by which one appears, is replaced and goes; a crash between two steps loses nothing.

    adapters.json        what the bank is for; written once
    lock                 held by the writer
    users/<xx>/<name>.safetensors   one user's adapter; xx spreads them over 256 folders, the name is the escaped id
    pending/             files on their way in (.new) and out (.old); the next writer erases what a crash left here

A user's file is only ever put under its name by a rename, so it is there whole or not at all. Not here: what is in a file.
"""

from __future__ import annotations

import hashlib
import json
import os
import secrets
import zlib
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path

from hfmeta.adapters.bank.errors import BankError
from hfmeta.adapters.bank.records import Owner, damaged
from hfmeta.adapters.durable import blank, erase, sync_folder, write_file, write_new
from hfmeta.adapters.ids import escaped

HEADER = "adapters.json"
LOCK = "lock"
SUFFIX = ".safetensors"
FORMAT = 1


class Layout:
    """The files of one bank.

    Args:
        folder: the bank's.
    """

    def __init__(self, folder: Path):
        self.folder = folder
        self.header = folder / HEADER
        self.lock = folder / LOCK
        self.users = folder / "users"
        self.pending = folder / "pending"

    def path(self, task: str) -> Path:
        """Where a user's file belongs, by hash and escaped id alone."""
        return self.users / _shelf(task) / (escaped(task) + SUFFIX)

    def belongs(self, path: Path, task: str) -> bool:
        """Whether a file lies where a user's belongs; as `path`, for many files."""
        return path.name == escaped(task) + SUFFIX and os.path.basename(os.path.dirname(path)) == _shelf(task)

    def paths(self) -> Iterator[Path]:
        """Every user's file, in no order."""
        for folder in self.users.iterdir():
            if folder.is_dir():
                yield from (folder / name for name in os.listdir(folder) if name.endswith(SUFFIX))

    def make(self) -> None:
        """Make the folders that are absent."""
        for folder in (self.folder, self.users, self.pending):
            if not folder.is_dir():
                folder.mkdir(parents=True, exist_ok=True)
                sync_folder(folder.parent)

    def place(self, path: Path, content: bytes) -> None:
        """Put a user's file under its name; what was there goes, and is erased."""
        new = self._pending("new")
        write_new(new, content)
        try:
            if not path.parent.is_dir():
                path.parent.mkdir(exist_ok=True)
                sync_folder(self.users)
            if path.exists():
                self._replace(path, new)
            else:
                os.replace(new, path)
                sync_folder(path.parent)
        except OSError:
            if new.exists():
                erase(new)
            raise

    def remove(self, path: Path) -> None:
        """Take a user's file away, at once for readers, and erase it.

        Raises:
            FileNotFoundError: there is none.
        """
        old = self._pending("old")
        os.replace(path, old)
        sync_folder(path.parent)
        erase(old)

    def sweep(self) -> int:
        """Erase what interrupted writers left in `pending`; returns the bytes."""
        return sum(erase(path) for path in self.pending.iterdir() if path.is_file())

    def tidy(self) -> int:
        """Sweep, and remove folders without users; returns the bytes erased."""
        freed = self.sweep()
        for folder in list(self.users.iterdir()):
            with suppress(OSError):  # it has users, or is a file
                folder.rmdir()
        return freed

    def _pending(self, kind: str) -> Path:
        return self.pending / f"{secrets.token_hex(8)}.{kind}"

    def _replace(self, path: Path, new: Path) -> None:
        """Rename `new` over `path` and erase what was there.

        The old file gets a second name first, by which a sweep finds it if the process dies before it is erased; if it dies before
        the rename, the old file still has both names, and the sweep takes the second away and no more (see `erase`).
        """
        old = self._pending("old")
        handle = os.open(path, os.O_WRONLY)
        try:
            try:
                os.link(path, old)
                linked = True
            except OSError:  # a file system without hard links: only a crash right here leaves old bytes in free space
                linked = False
            os.replace(new, path)
            sync_folder(path.parent)
            if os.fstat(handle).st_nlink <= 1:
                blank(handle)
        finally:
            os.close(handle)
        if linked:
            os.unlink(old)


def _shelf(task: str) -> str:
    """Which of the 256 folders."""
    return hashlib.sha256(task.encode("utf-8")).hexdigest()[:2]


def write_header(layout: Layout, shapes: Mapping[str, tuple[int, ...]], owner: Owner) -> None:
    """Write `adapters.json`, by which a folder becomes a bank."""
    tensors = {name: list(shape) for name, shape in shapes.items()}
    content = {"format": FORMAT, "learner_id": owner.learner_id, "revision": owner.revision, "tensors": tensors}
    text = json.dumps(content | {"crc32": _checksum(content)}, indent=2, ensure_ascii=False) + "\n"
    write_file(layout.header, text.encode("utf-8"))


def read_header(layout: Layout) -> tuple[dict[str, tuple[int, ...]], Owner]:
    """What a bank is for: the template's shapes and the learner.

    Raises:
        BankError: no bank, a damaged `adapters.json`, or one of a newer hfmeta.
    """
    try:
        content = json.loads(layout.header.read_text(encoding="utf-8"))
        checksum = content.pop("crc32")
        if content["format"] != FORMAT:
            raise BankError(
                f"{layout.header} has format {content['format']!r}; this hfmeta reads {FORMAT}. Install a newer hfmeta."
            )
        if checksum != _checksum(content):
            raise ValueError("its checksum does not fit its content")
        shapes = {name: tuple(map(int, shape)) for name, shape in content["tensors"].items()}
        return shapes, Owner(content["learner_id"], content["revision"])
    except FileNotFoundError:
        raise BankError(f"{layout.folder} is no bank: it has no {HEADER}. Make one with AdapterBank.create.") from None
    except BankError:
        raise
    except (AttributeError, KeyError, TypeError, ValueError, OSError) as error:
        raise damaged(layout.header, error) from error


def _checksum(content: Mapping[str, object]) -> int:
    return zlib.crc32(json.dumps(content, sort_keys=True).encode("utf-8"))
