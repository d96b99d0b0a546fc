"""Files that appear together or not at all."""

from __future__ import annotations

import json
import os

import pytest

from hfmeta.publishing import write_json, written_together


def test_files_move_together_and_what_was_there_stays(tmp_path):
    target = tmp_path / "deep" / "folder"
    target.mkdir(parents=True)
    (target / "old").write_text("old")
    (target / "both").write_text("before")
    with written_together(target, last="both") as temporary:
        assert temporary.parent == target.parent
        (temporary / "sub").mkdir()
        (temporary / "sub" / "new").write_text("new")
        (temporary / "both").write_text("after")
        assert (target / "both").read_text() == "before"
    assert {path.name: path.read_text() for path in target.rglob("*") if path.is_file()} == {
        "old": "old",
        "new": "new",
        "both": "after",
    }
    assert os.listdir(target.parent) == ["folder"]


def test_the_marker_moves_last(tmp_path, monkeypatch):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "what else is there").write_text("")
    moved, replace = [], os.replace
    monkeypatch.setattr(os, "replace", lambda a, b: (moved.append(os.path.basename(b)), replace(a, b)))
    with written_together(tmp_path / "out", last="a_marker") as temporary:
        for name in ("a_marker", "b", "c"):
            (temporary / name).write_text(name)
    assert moved == ["b", "c", "a_marker"]


def fails(folder):
    with written_together(folder) as temporary:
        (temporary / "half").write_text("half")
        raise RuntimeError("no more")


def test_a_failure_leaves_nothing(tmp_path):
    with pytest.raises(RuntimeError, match="no more"):
        fails(tmp_path / "out")
    assert not list(tmp_path.iterdir())


def test_json_is_readable(tmp_path):
    write_json(tmp_path / "x.json", {"ä": [1, None]})
    text = (tmp_path / "x.json").read_text(encoding="utf-8")
    assert json.loads(text) == {"ä": [1, None]}
    assert "ä" in text
    assert text.endswith("\n")


def test_files_get_the_rights_that_their_folder_grants(tmp_path):
    folder = tmp_path / "folder"
    folder.mkdir(mode=0o750)
    with written_together(folder) as temporary:
        (temporary / "private").write_text("made by a library that thinks of one reader only")
        (temporary / "private").chmod(0o600)
    assert (folder / "private").stat().st_mode & 0o777 == folder.stat().st_mode & 0o666
