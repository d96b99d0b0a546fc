"""Persona map files, user -> descriptions: the published pickles, read without `pickle`, and JSON.

A pickle is a program; `pickle.load` runs it, whatever it does. Here its opcodes are only listed (`pickletools.genops`), and the
few that a dict of lists of text needs are carried out by hand. Anything else is refused.
"""

from __future__ import annotations

import json
import os
import pickletools
import struct
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hfmeta.episodes.errors import EpisodeError

MAX_BYTES = 16 * 2**20  # the published train map has about 1 MB
MAX_SENTENCES = (
    1_000_000  # the published train map has about 20,000; references inside a pickle can blow up a small file
)
PersonaMap = dict[str, list[list[str]]]
_SCALARS = {("numpy.core.multiarray", "scalar"), ("numpy._core.multiarray", "scalar")}
_DTYPE = ("numpy", "dtype")
_CONSTANTS: dict[str, Any] = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False, "EMPTY_TUPLE": ()}
_VALUES = {
    *("BININT", "BININT1", "BININT2", "LONG1", "BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8"),
    *("SHORT_BINBYTES", "BINBYTES", "BINBYTES8"),
}
_SILENT = {"PROTO", "FRAME"}


class _RefusedError(Exception):
    """Why the opcodes are no persona map."""


@dataclass(frozen=True)
class _Global:
    """One of the allowed names."""

    name: tuple[str, str]


@dataclass
class _Dtype:
    """A numpy integer type that is being built: letter and bytes (`i4`), and the order of bytes."""

    code: str
    order: str = "<"


_MARK = object()


class _Machine:
    """Carries out whitelisted opcodes: lists, dicts, tuples, text, integers, and numpy integers."""

    def __init__(self) -> None:
        self.stack: list[Any] = []
        self.memo: dict[int, Any] = {}
        self.steps: dict[str, Callable[[], None]] = {
            "MARK": lambda: self.stack.append(_MARK),
            "EMPTY_DICT": lambda: self.stack.append({}),
            "EMPTY_LIST": lambda: self.stack.append([]),
            "TUPLE": lambda: self.stack.append(tuple(self.since_mark())),
            "TUPLE1": lambda: self.tuple_of(1),
            "TUPLE2": lambda: self.tuple_of(2),
            "TUPLE3": lambda: self.tuple_of(3),
            "APPEND": lambda: self.extend([self.stack.pop()]),
            "APPENDS": lambda: self.extend(self.since_mark()),
            "SETITEM": lambda: self.set_items([self.stack.pop(-2), self.stack.pop()]),
            "SETITEMS": lambda: self.set_items(self.since_mark()),
            "REDUCE": self.call,
            "BUILD": self.build,
            "STACK_GLOBAL": lambda: self.name(self.stack.pop(-2), self.stack.pop()),
            "MEMOIZE": lambda: self.put(len(self.memo)),
        }

    def run(self, data: bytes) -> Any:
        """Return what the pickle describes."""
        argument: Any
        for opcode, argument, found in pickletools.genops(data):
            name, position = opcode.name, found or 0
            if name == "STOP":
                if len(self.stack) != 1 or position + 1 != len(data):
                    raise _RefusedError("it does not end where its content ends")
                return self.stack.pop()
            if name in self.steps:
                self.steps[name]()
            elif name in _VALUES:
                self.stack.append(argument)
            elif name in _CONSTANTS:
                self.stack.append(_CONSTANTS[name])
            elif name in ("BINPUT", "LONG_BINPUT"):
                self.put(argument)
            elif name in ("BINGET", "LONG_BINGET"):
                self.stack.append(self.memo[argument])
            elif name == "GLOBAL":
                self.name(*argument.split(" ", 1))
            elif name not in _SILENT:
                raise _RefusedError(f"it has the opcode {name} at byte {position}")
        raise _RefusedError("it has no end")

    def put(self, place: int) -> None:
        """Remember the top of the stack."""
        self.memo[place] = self.stack[-1]

    def since_mark(self) -> list[Any]:
        """Take everything above the last mark."""
        place = len(self.stack) - 1
        while self.stack[place] is not _MARK:
            place -= 1
            if place < 0:
                raise _RefusedError("it closes what it never opened")
        items = self.stack[place + 1 :]
        del self.stack[place:]
        return items

    def tuple_of(self, size: int) -> None:
        """Make a tuple of the last items."""
        if len(self.stack) < size:
            raise _RefusedError("it takes from an empty stack")
        items = tuple(self.stack[-size:])
        del self.stack[-size:]
        self.stack.append(items)

    def extend(self, items: list[Any]) -> None:
        """Append to the list on top."""
        if not isinstance(self.stack[-1], list):
            raise _RefusedError("it appends to what is no list")
        self.stack[-1].extend(items)

    def set_items(self, items: list[Any]) -> None:
        """Add keys and values, alternating, to the dict on top."""
        if not isinstance(self.stack[-1], dict) or len(items) % 2:
            raise _RefusedError("it sets items of what is no dict")
        for key, value in zip(items[::2], items[1::2], strict=True):
            if not isinstance(key, int | str):
                raise _RefusedError(f"it has a key of type {type(key).__name__}")
            self.stack[-1][key] = value

    def name(self, module: Any, attribute: Any) -> None:
        """Take a global, if it is an allowed one."""
        if (module, attribute) not in _SCALARS | {_DTYPE}:
            raise _RefusedError(f"it asks for {module}.{attribute}")
        self.stack.append(_Global((module, attribute)))

    def call(self) -> None:
        """Make a numpy type from its code, or an integer from its type and bytes."""
        arguments, function = self.stack.pop(), self.stack.pop()
        match function, arguments:
            case _Global(name), (str(code), *_) if name == _DTYPE and code in ("i1", "i2", "i4", "i8", "u4", "u8"):
                self.stack.append(_Dtype(code))
            case _Global(name), (_Dtype() as kind, bytes(value)) if name in _SCALARS:
                letter = {"i1": "b", "i2": "h", "i4": "i", "i8": "q", "u4": "I", "u8": "Q"}[kind.code]
                order = "<" if kind.order in "<|=" else ">"
                self.stack.append(struct.unpack(order + letter, value)[0])
            case _:
                raise _RefusedError("it calls something with arguments that make no number")

    def build(self) -> None:
        """Give a numpy type its byte order."""
        state, kind = self.stack.pop(), self.stack[-1]
        if (
            not isinstance(kind, _Dtype)
            or not isinstance(state, tuple)
            or len(state) < 2
            or state[1] not in tuple("<>|=")
        ):
            raise _RefusedError("it sets the state of something that is no number type")
        kind.order = state[1]


def read_persona_map(path: str | os.PathLike[str]) -> PersonaMap:
    """Return a persona map: user -> descriptions, each a list of sentences.

    Args:
        path: a published `{train,valid,test}_persona_map` (a pickle), or JSON `{user: [[sentence, ...], ...]}`.

    Raises:
        EpisodeError: no such file, a file above 16 MiB or with more than a million sentences, a pickle with any opcode or name
            that such a map does not need, or content of another shape.

    Source: github.com/HLTCHKUST/PAML, data/ConvAI2.
    """
    path = Path(path)
    if not path.is_file():
        raise EpisodeError(f"there is no persona map {os.fspath(path)!r}.")
    if (size := path.stat().st_size) > MAX_BYTES:
        raise EpisodeError(f"{path} has {size} bytes, too many for a persona map (at most {MAX_BYTES}).")
    data = path.read_bytes()
    if data[:1] == b"\x80":
        try:
            found = _Machine().run(data)
        except _RefusedError as error:
            raise EpisodeError(f"{path} is no plain persona map, and was not opened: {error}.") from error
        except (ValueError, KeyError, IndexError, TypeError, struct.error, UnicodeDecodeError, OverflowError) as error:
            raise EpisodeError(f"{path} is a broken pickle, and was not opened.") from error
    else:
        try:
            found = json.loads(data)
        except (ValueError, RecursionError) as error:
            raise EpisodeError(f"{path} is neither a pickle nor JSON; a persona map is one of them.") from error
    return _checked(found, path)


def _checked(found: Any, path: Path) -> PersonaMap:
    """Return the map with text for users, or raise where its shape is another."""
    expected = 'a persona map is {user: [[sentence, ...], ...]}, such as {"0": [["i have a dog", "i like tea"]]}'
    if not isinstance(found, dict) or not found:
        raise EpisodeError(f"{path} holds {type(found).__name__} without users; {expected}.")
    total = 0
    for user, descriptions in found.items():
        total += _size(descriptions)
        if total > MAX_SENTENCES:
            raise EpisodeError(f"{path} holds more than {MAX_SENTENCES} sentences, too many for a persona map.")
        fits = isinstance(descriptions, list) and all(
            isinstance(one, list | tuple) and one and all(isinstance(text, str) for text in one) for one in descriptions
        )
        if not fits:
            raise EpisodeError(f"{path}, user {user!s:.40}: {expected}.")
    return {str(user): [list(one) for one in descriptions] for user, descriptions in found.items()}


def _size(descriptions: Any) -> int:
    """Return the number of sentences, or of descriptions where those are too many already."""
    if not isinstance(descriptions, list) or len(descriptions) > MAX_SENTENCES:
        return len(descriptions) if isinstance(descriptions, list) else 0
    return sum(max(1, len(one)) for one in descriptions if isinstance(one, list | tuple))


def write_persona_map(persona_map: Mapping[Any, Sequence[Sequence[str]]], path: str | os.PathLike[str]) -> None:
    """Write a persona map as JSON, under a temporary name that is then renamed: converts a published pickle once and for all.

    Args:
        persona_map: user -> descriptions.
        path: the file.
    """
    path = Path(path)
    plain = {str(user): [list(one) for one in descriptions] for user, descriptions in persona_map.items()}
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with open(handle, "w", encoding="utf-8") as file:
            json.dump(plain, file, indent=1, ensure_ascii=False)
        os.chmod(temporary, 0o644)
        os.replace(temporary, path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
