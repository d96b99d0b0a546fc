"""Checks of hfmeta/reporting/files.py."""

from __future__ import annotations

import json
import os

import pytest

from hfmeta.reporting.files import write_bytes, write_json, write_text


def test_files_are_written_whole_and_nothing_else_remains(tmp_path):
    path = write_text(tmp_path / "new" / "file.md", "päth\n")
    assert path.read_text(encoding="utf-8") == "päth\n"
    write_text(path, "again")
    assert path.read_text(encoding="utf-8") == "again"
    assert [p.name for p in path.parent.iterdir()] == ["file.md"]
    assert path.stat().st_mode & 0o400


def test_a_failed_write_leaves_the_old_file_and_no_other(tmp_path, monkeypatch):
    path = write_bytes(tmp_path / "file", b"old")

    def refuse(*_):
        raise OSError("disk full")

    monkeypatch.setattr(os, "replace", refuse)
    with pytest.raises(OSError, match="disk full"):
        write_bytes(path, b"new")
    assert path.read_bytes() == b"old"
    assert [p.name for p in tmp_path.iterdir()] == ["file"]


def test_json_is_strict(tmp_path):
    path = write_json(tmp_path / "r.json", {"a": [1.5, float("nan")], 2: (float("inf"), None, True)})
    assert json.loads(path.read_text(encoding="utf-8")) == {"a": [1.5, None], "2": [None, None, True]}
