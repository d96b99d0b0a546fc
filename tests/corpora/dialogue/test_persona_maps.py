"""Persona map files: pickles are read by a whitelist of opcodes, and nothing in them is ever run."""

from __future__ import annotations

import contextlib
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hfmeta.corpora.dialogue import persona_maps, read_persona_map, write_persona_map
from hfmeta.episodes import EpisodeError

PLAIN = {0: [["i like tea", "i run"], ["i run"]], 12: [["ich mag caf\u00e9"]]}
EXPECTED = {str(user): found for user, found in PLAIN.items()}


def store(folder: Path, content: Any, protocol: int = 3) -> Path:
    path = folder / "map"
    path.write_bytes(content if isinstance(content, bytes) else pickle.dumps(content, protocol))
    return path


@pytest.mark.parametrize("protocol", [3, 4, 5])
@pytest.mark.parametrize("kind", ["int8", "int16", "int32", "int64", "uint32", ">i4"])
def test_numpy_keys(tmp_path: Path, protocol: int, kind: str) -> None:
    numbers = {np.array([user], dtype=kind)[0]: found for user, found in PLAIN.items()}
    assert read_persona_map(store(tmp_path, numbers, protocol)) == EXPECTED


def test_the_name_that_numpy_had_when_the_maps_were_published(tmp_path: Path) -> None:
    data = pickle.dumps({np.int32(user): found for user, found in PLAIN.items()}, 3)
    old = data.replace(b"numpy._core.multiarray", b"numpy.core.multiarray")
    assert old != data or b"numpy.core.multiarray" in data
    assert read_persona_map(store(tmp_path, old)) == EXPECTED


@settings(max_examples=60, deadline=None)
@given(
    content=st.dictionaries(
        st.integers(-(2**31), 2**31 - 1) | st.text(max_size=5),
        st.lists(st.lists(st.text(max_size=300), min_size=1, max_size=4), max_size=4),
        min_size=1,
        max_size=5,
    ),
    protocol=st.integers(2, 5),
)
def test_it_reads_what_pickle_reads(tmp_path_factory: pytest.TempPathFactory, content: Any, protocol: int) -> None:
    path = store(tmp_path_factory.mktemp("maps"), content, protocol)
    assert read_persona_map(path) == {str(user): found for user, found in content.items()}


def test_json_there_and_back(tmp_path: Path) -> None:
    write_persona_map(PLAIN, tmp_path / "map.json")
    assert read_persona_map(tmp_path / "map.json") == EXPECTED
    assert [one.name for one in tmp_path.iterdir()] == ["map.json"]


class Evil:
    """Would make a file, if anybody ran its pickle."""

    def __init__(self, path: Path):
        self.path = path

    def __reduce__(self):
        return open, (str(self.path), "w")


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_a_program_is_refused_and_not_run(tmp_path: Path, protocol: int) -> None:
    trap = tmp_path / "trap"
    path = store(tmp_path, {0: [["a", Evil(trap)]]}, protocol)
    with pytest.raises(EpisodeError, match=r"is no plain persona map, and was not opened: it asks for (io|_io).open"):
        read_persona_map(path)
    assert not trap.exists()
    open(trap, "w").close()


REFUSED = {
    "it asks for os.system": b"\x80\x03cos\nsystem\nX\x02\x00\x00\x00ls\x85R.",
    "it asks for numpy.load": b"\x80\x03cnumpy\nload\n.",
    "it asks for numpy.dtype.x": b"\x80\x04\x8c\x05numpy\x8c\x07dtype.x\x93.",
    "it has the opcode PERSID": b"\x80\x03Pfile\n.",
    "it has the opcode INST": b"\x80\x03(ios\nsystem\n.",
    "it has the opcode FROZENSET": b"\x80\x04(\x91.",
    "it calls something": b"\x80\x03cnumpy\ndtype\nX\x02\x00\x00\x00O8\x85R.",
    "it calls something with": b"\x80\x03]\x85)R.",
    "it sets the state of": b"\x80\x03]}b.",
    "it appends to what is no list": b"\x80\x03}]a.",
    "it sets items of what is no dict": b"\x80\x03]K\x00K\x01s.",
    "it has a key of type tuple": b"\x80\x03})K\x01s.",
    "it closes what it never opened": b"\x80\x03]]e.",
    "it does not end where its content ends": pickle.dumps(PLAIN, 3) + b"x",
    "it takes from an empty stack": b"\x80\x03]\x86.",
}


@pytest.mark.parametrize("why", REFUSED)
def test_refused_pickles(tmp_path: Path, why: str) -> None:
    with pytest.raises(EpisodeError, match=f"no plain persona map, and was not opened: {why}"):
        read_persona_map(store(tmp_path, REFUSED[why]))


@pytest.mark.parametrize(
    "data", [b"\x80", b"\x80\x03", b"\x80\x03a.", b"\x80\x03h\x05.", pickle.dumps(PLAIN, 3)[:-9], b"\x80\x03\xff."]
)
def test_broken_pickles(tmp_path: Path, data: bytes) -> None:
    with pytest.raises(EpisodeError, match="is a broken pickle|is no plain persona map"):
        read_persona_map(store(tmp_path, data))


@settings(max_examples=150, deadline=None)
@given(place=st.integers(0, 200), value=st.integers(0, 255))
def test_any_changed_byte_is_read_or_refused(tmp_path_factory: pytest.TempPathFactory, place: int, value: int) -> None:
    data = bytearray(pickle.dumps({np.int32(user): found for user, found in PLAIN.items()}, 4))
    data[place % len(data)] = value
    with contextlib.suppress(EpisodeError):  # any other error is a failure
        found = read_persona_map(store(tmp_path_factory.getbasetemp(), bytes(data)))
        assert all(isinstance(user, str) and descriptions for user, descriptions in found.items())
        assert all(isinstance(text, str) for several in found.values() for one in several for text in one)


def test_other_files_and_shapes(tmp_path: Path) -> None:
    with pytest.raises(EpisodeError, match="there is no persona map '/no/such'"):
        read_persona_map("/no/such")
    with pytest.raises(EpisodeError, match="is neither a pickle nor JSON"):
        read_persona_map(store(tmp_path, b"<html>not found</html>"))
    for content in ([], {}, {0: "text"}, {0: ["text"]}, {0: [[]]}, {0: [[1]]}, 3):
        with pytest.raises(EpisodeError, match="a persona map is {user: "):
            read_persona_map(store(tmp_path, content))


def test_too_much_content(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shared = [["a"] * 50] * 50
    path = store(tmp_path, {user: shared for user in range(50)})
    monkeypatch.setattr(persona_maps, "MAX_SENTENCES", 100_000)
    with pytest.raises(EpisodeError, match="holds more than 100000 sentences"):
        read_persona_map(path)
    monkeypatch.setattr(persona_maps, "MAX_BYTES", 100)
    with pytest.raises(EpisodeError, match=r"bytes, too many for a persona map \(at most 100\)"):
        read_persona_map(path)
