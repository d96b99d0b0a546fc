"""Task ids: any text names a task, and none is ever used as a path. Not here: records (bank), masks (pruning)."""

from __future__ import annotations

import difflib
import hashlib
import re
from collections.abc import Iterable

from hfmeta.inner.errors import HfmetaError

MAX_ID_BYTES = 4096
MAX_NAME = 180
_ESCAPED = re.compile(rb"[^a-z0-9_-]")
_NAME = re.compile(r"(?:[a-z0-9_-]|%[0-9a-f]{2})+")


def task_key(task: str | int) -> str:
    """A task id as text: a whole number stands for its digits, text for itself (no Unicode normalisation).

    Raises:
        HfmetaError: not text or a whole number, empty, longer than 4096 bytes, or not writable as UTF-8.
    """
    if isinstance(task, bool) or not isinstance(task, str | int):
        raise HfmetaError(f"a task id is text or a whole number; received {task!r} ({type(task).__name__}).")
    key = str(task)
    if not key:
        raise HfmetaError("a task id is empty; give every task an id of at least one character.")
    try:
        length = len(key.encode("utf-8"))
    except UnicodeEncodeError as error:
        raise HfmetaError(
            f"the task id {key!r} has a lone surrogate at position {error.start}; it is no valid text."
        ) from None
    if length > MAX_ID_BYTES:
        raise HfmetaError(f"a task id has {length} bytes; at most {MAX_ID_BYTES} are allowed (it begins {key[:30]!r}).")
    return key


def escaped(key: str) -> str:
    """A file name for a task id, one for each id on any file system, whether or not that tells upper from lower case.

    Lower-case letters, digits, `_` and `-` stand for themselves and every other byte is written `%xx`; an id whose name would be
    longer than 180 characters gets `~` and its SHA-256 instead, which `unescaped` cannot turn back.

    Args:
        key: what `task_key` gives.
    """
    data = key.encode("utf-8")
    name = _ESCAPED.sub(lambda found: b"%%%02x" % found[0][0], data).decode("ascii")
    return name if len(name) <= MAX_NAME else "~" + hashlib.sha256(data).hexdigest()


def unescaped(name: str) -> str | None:
    """The id that `escaped` wrote as this name; None where the name is a digest or nothing that `escaped` writes."""
    if not _NAME.fullmatch(name):
        return None
    data = re.sub(rb"%(..)", lambda found: bytes([int(found[1], 16)]), name.encode("ascii"))
    try:
        key = data.decode("utf-8")
    except UnicodeDecodeError:
        return None
    return key if escaped(key) == name else None


def nearest(name: str, known: Iterable[str]) -> str:
    """A sentence's end that names the nearest known name, or the known names when they are few, or nothing."""
    names = list(known)
    close = difflib.get_close_matches(name, names, n=1)
    if close:
        return f" Did you mean {close[0]!r}?"
    return f" There are: {', '.join(map(repr, names))}." if 0 < len(names) <= 8 else ""
