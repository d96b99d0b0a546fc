"""The bank: thousands of users' private adapters in a folder, each opened alone. Not here: models (slot.py), PEFT folders."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from types import TracebackType

from torch import Tensor

from hfmeta.adapters.bank.errors import BankError
from hfmeta.adapters.bank.layout import HEADER, SUFFIX, Layout, read_header, write_header
from hfmeta.adapters.bank.lock import WriterLock
from hfmeta.adapters.bank.records import Owner, Record, check_record, decode, encode, task_of
from hfmeta.adapters.ids import escaped, nearest, task_key, unescaped
from hfmeta.inner.errors import HfmetaError

MODES = ("r", "r+")


class AdapterBank:
    """Private adapters of one learner, by task id; made by `create` or `open`, closed by `close` or a `with` block.

    Every user is a safetensors file under a name that follows from the id, so that adding, reading, replacing and deleting one
    takes the same time however many there are, and opening a bank reads one small JSON file. What `put` returned from survives
    kill -9 and loss of power; what it did not return from is there whole or not at all. There may be one writer and any number of
    readers, who see each change at once. Deleted and replaced bytes are overwritten with zeros.

    Args:
        layout: the folder's files.
        shapes: the template.
        owner: the learner.
        lock: the writer's, None for a reader.
    """

    def __init__(self, layout: Layout, shapes: dict[str, tuple[int, ...]], owner: Owner, lock: WriterLock | None):
        self._layout, self._shapes, self._owner, self._lock = layout, shapes, owner, lock
        self._writing = threading.Lock()
        self._open = True

    @classmethod
    def create(
        cls,
        folder: Path | str,
        template: Mapping[str, Tensor],
        *,
        learner_id: str | None = None,
        revision: str | None = None,
    ) -> AdapterBank:
        """Make an empty bank and open it for writing.

        Args:
            folder: new, or without a bank in it.
            template: an adapter; every user's will have tensors of these names and shapes. Its values are not kept.
            learner_id: the learner that the adapters belong to.
            revision: its commit or version.

        Raises:
            BankError: the folder has a bank, or what is left of one.
            HfmetaError: a template without tensors.
        """
        if not template or any(name.startswith("mask:") for name in template):
            raise HfmetaError(
                f"a bank's template names at least one tensor, and none beginning with 'mask:'; received {list(template)}."
            )
        layout = Layout(Path(folder))
        layout.make()
        lock = WriterLock(layout.lock)
        if layout.header.exists():
            lock.release()
            raise BankError(f"{layout.folder} has a bank already; open it with AdapterBank.open(folder, 'r+').")
        if next(layout.paths(), None) is not None:
            lock.release()
            raise BankError(
                f"{layout.folder} has users' adapters but no {HEADER}. Put that back from a backup, or choose a new folder."
            )
        shapes = {name: tuple(value.shape) for name, value in template.items()}
        owner = Owner(learner_id, revision)
        write_header(layout, shapes, owner)
        return cls(layout, shapes, owner, lock)

    @classmethod
    def open(
        cls, folder: Path | str, mode: str = "r", *, learner_id: str | None = None, revision: str | None = None
    ) -> AdapterBank:
        """Open a bank.

        Args:
            folder: where `adapters.json` lies.
            mode: `r` to read, `r+` to read and write; a writer first erases what a crashed one left.
            learner_id: the learner that the adapters must belong to; None: whichever.
            revision: its commit or version; None: whichever.

        Raises:
            BankError: no bank, a damaged one, one of another learner, or, with `r+`, one that has a writer.
        """
        if mode not in MODES:
            raise HfmetaError(f'a bank is opened with mode "r" or "r+"; received {mode!r}.')
        layout = Layout(Path(folder))
        shapes, owner = read_header(layout)
        for ours, theirs in ((owner.learner_id, learner_id), (owner.revision, revision)):
            if theirs is not None and ours != theirs:
                raise BankError(f"{layout.folder} keeps adapters of {owner}, not of {Owner(learner_id, revision)}.")
        if mode == "r":
            return cls(layout, shapes, owner, None)
        lock = WriterLock(layout.lock)
        layout.make()
        layout.sweep()
        return cls(layout, shapes, owner, lock)

    @property
    def folder(self) -> Path:
        """Where the bank lies."""
        return self._layout.folder

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Names and shapes of every adapter's tensors."""
        return dict(self._shapes)

    @property
    def owner(self) -> Owner:
        """The learner that the adapters belong to."""
        return self._owner

    def put(self, task: str | int, values: Mapping[str, Tensor], masks: Mapping[str, Tensor] | None = None) -> None:
        """Keep a user's adapter, in the place of what was kept before; durable when this returns.

        Args:
            task: the user's id, any text (see `task_key`).
            values: tensors by name, of the template's shapes, in their own types (float32, bfloat16, float16, float64).
            masks: masks for some or all of them: only what they keep is stored, the rest reads back as zero.

        Raises:
            HfmetaError: tensors that are not the template's, or an impossible id; nothing changes then.
            BankError: the bank is not open for writing.
        """
        self._check_writable()
        record = Record(task_key(task), dict(values), dict(masks or {}))
        check_record(record, self._shapes)
        content = encode(record, self._owner)
        with self._writing:
            self._layout.place(self._layout.path(record.task), content)

    def get(self, task: str | int) -> dict[str, Tensor]:
        """A user's adapter: tensors by name, zero where a mask is false; copies, on the CPU.

        Raises:
            BankError: an unknown id, or a damaged file; the other users' stay readable.
        """
        return self.read(task).values

    def get_masks(self, task: str | int) -> dict[str, Tensor]:
        """The masks that a user's adapter was stored with, empty for a dense one.

        Raises:
            BankError: as in `get`.
        """
        return self.read(task).masks

    def read(self, task: str | int) -> Record:
        """A user's values and masks in one reading.

        Raises:
            BankError: as in `get`.
        """
        self._check_open()
        key = task_key(task)
        path = self._layout.path(key)
        try:
            while True:
                before = _state(path)
                try:
                    return decode(path, self._shapes, self._owner, key)
                except BankError:
                    if _state(path) == before:
                        raise
                    # A writer replaced the file meanwhile, and erased the one that was being read.
        except FileNotFoundError:
            raise BankError(f"{self.folder} has no adapter of task {key!r}.{nearest(key, self.ids())}") from None

    def delete(self, task: str | int) -> None:
        """Remove a user; the bytes are overwritten with zeros before the file goes, and this returns when that is durable.

        Raises:
            BankError: an unknown id, or a bank that is not open for writing.
        """
        self._check_writable()
        key = task_key(task)
        try:
            with self._writing:
                self._layout.remove(self._layout.path(key))
        except FileNotFoundError:
            raise BankError(f"{self.folder} has no adapter of task {key!r}.{nearest(key, self.ids())}") from None

    def __contains__(self, task: str | int) -> bool:
        self._check_open()
        return self._layout.path(task_key(task)).exists()

    def __len__(self) -> int:
        self._check_open()
        return sum(1 for _ in self._layout.paths())

    def ids(self) -> list[str]:
        """The ids of all users, sorted; takes time in proportion to their number."""
        self._check_open()
        found = []
        for path in self._layout.paths():
            key = unescaped(path.name.removesuffix(SUFFIX))
            if key is None:
                try:
                    key = task_of(path)
                except (BankError, FileNotFoundError):
                    continue  # `verify` tells of a damaged one
            if self._layout.belongs(path, key):
                found.append(key)
        return sorted(found)

    def records(self, tasks: Iterable[str | int] | None = None) -> Iterator[Record]:
        """The adapters of these users, or of all, one at a time."""
        for task in self.ids() if tasks is None else tasks:
            yield self.read(task)

    def export(
        self,
        folder: Path | str,
        writer: Callable[[Path, Record], object],
        tasks: Iterable[str | int] | None = None,
    ) -> list[Path]:
        """Hand one, some or all adapters to a writer of folders, each with a folder of its own, named by the escaped id.

        Args:
            folder: the folder of those folders.
            writer: called with a path and a `Record`; it writes a PEFT folder, for example.
            tasks: ids; None: all.

        Returns:
            The paths, in the order of the tasks.
        """
        paths = []
        for record in self.records(tasks):
            paths.append(Path(folder) / escaped(record.task))
            writer(paths[-1], record)
        return paths

    def verify(self) -> dict[Path, str]:
        """Read every file and check it; what is wrong, by file, and nothing where all is well."""
        self._check_open()
        problems = {}
        for path in sorted(self._layout.paths()):
            try:
                task = decode(path, self._shapes, self._owner).task
                if not self._layout.belongs(path, task):
                    problems[path] = (
                        f"{path} holds the adapter of task {task!r}, which belongs at {self._layout.path(task)}."
                    )
            except (BankError, FileNotFoundError) as error:
                problems[path] = str(error)
        return problems

    def compact(self) -> int:
        """Erase what failed writes left, and remove empty folders; returns the bytes freed.

        A file per user leaves no holes: deleting one frees its space at once, and opening for writing erases what a crash left. So
        this has work only after a write failed in this process (a full disk, say), or most users were deleted.

        Raises:
            BankError: the bank is not open for writing.
        """
        self._check_writable()
        with self._writing:
            return self._layout.tidy()

    def close(self) -> None:
        """Let another writer in; the bank cannot be used afterwards."""
        self._open = False
        if self._lock is not None:
            self._lock.release()

    def __enter__(self) -> AdapterBank:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _check_open(self) -> None:
        if not self._open:
            raise BankError(f"the bank {self.folder} is closed; open it again with AdapterBank.open.")

    def _check_writable(self) -> None:
        self._check_open()
        if self._lock is None:
            raise BankError(f'the bank {self.folder} is open for reading; open it with mode="r+" to change it.')
        if not self._lock.held:
            raise BankError(
                f"the bank {self.folder} was opened for writing by another process (this one was forked from it)."
            )


def _state(path: Path) -> tuple[int, int, int]:
    """What changes when another file takes a name, also where the file system gives it the old one's number."""
    found = path.stat()
    return found.st_ino, found.st_mtime_ns, found.st_ctime_ns
