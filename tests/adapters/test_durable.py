"""Files that are whole or absent, and erased when they go."""

from __future__ import annotations

import errno
import os
from contextlib import nullcontext

import pytest

from hfmeta.adapters.durable import erase, sync_folder, write_file, write_new


def test_writing_and_replacing(tmp_path):
    path = tmp_path / "file"
    for content in (b"one", b"", bytes(3_000_000), b"four"):
        write_file(path, content)
        assert path.read_bytes() == content
        assert list(tmp_path.iterdir()) == [path]
    with pytest.raises(FileExistsError):
        write_new(path, b"five")
    assert path.read_bytes() == b"four"


@pytest.mark.parametrize("step", ["write", "fsync", "replace"])
def test_a_failure_leaves_what_was_there_and_nothing_else(tmp_path, monkeypatch, step):
    path = tmp_path / "file"
    write_file(path, b"before")

    def fail(*_):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, step, fail)
        with pytest.raises(OSError, match="No space left"):
            write_file(path, b"after")
    assert path.read_bytes() == b"before"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("size", [0, 10, 1 << 20, (1 << 20) + 5])
def test_erasing(tmp_path, size):
    path = tmp_path / "file"
    path.write_bytes(b"x" * size)
    with path.open("rb") as handle:
        assert erase(path) == size
        assert handle.read() == bytes(size)
    assert not path.exists()


def test_somebodys_copy_is_left_alone(tmp_path):
    path, copy = tmp_path / "file", tmp_path / "copy"
    path.write_bytes(b"kept")
    os.link(path, copy)
    erase(path)
    assert not path.exists()
    assert copy.read_bytes() == b"kept"


@pytest.mark.parametrize(("number", "raises"), [(errno.EINVAL, False), (errno.ENOTSUP, False), (errno.EIO, True)])
def test_file_systems_that_cannot_sync_a_folder(tmp_path, monkeypatch, number, raises):
    def fsync(handle):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "fsync", fsync)
    with pytest.raises(OSError, match=os.strerror(errno.EIO)) if raises else nullcontext():
        sync_folder(tmp_path)
