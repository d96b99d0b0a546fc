"""Files that belong together: one rename makes all of them count, wherever they lie and whatever else lies there."""

from __future__ import annotations

import os

import pytest

from hfmeta.adapters import together
from hfmeta.adapters.together import INCOMING, finish, settled, written_together


def write(folder, **files):
    """Write files together."""
    with written_together(folder, last="b") as temporary:
        for name, text in files.items():
            (temporary / name).write_text(text)


def read(folder):
    """What a folder's files say, by their relative names."""
    return {str(path.relative_to(folder)): path.read_text() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture
def renames(monkeypatch):
    """What was renamed to what."""
    seen, rename = [], os.rename
    monkeypatch.setattr(os, "rename", lambda a, b: (seen.append(os.path.basename(b)), rename(a, b)))
    return seen


def test_a_new_folder_comes_by_one_rename(tmp_path, renames):
    write(tmp_path / "new", a="1", b="1")
    (tmp_path / "empty").mkdir()
    write(tmp_path / "empty", a="1")
    assert renames == ["new", "empty"]
    assert read(tmp_path / "new") == {"a": "1", "b": "1"}
    assert (tmp_path / "new").stat().st_mode & 0o777 == tmp_path.joinpath("empty").stat().st_mode & 0o777


def test_a_folder_of_these_files_alone_is_exchanged(tmp_path, renames):
    folder = tmp_path / "x"
    write(folder, a="1", b="1")
    before = folder.stat().st_ino
    renames.clear()
    write(folder, a="2", b="2", c="2")
    assert read(folder) == {"a": "2", "b": "2", "c": "2"}
    assert folder.stat().st_ino != before
    assert renames == []
    assert os.listdir(tmp_path) == ["x"]


@pytest.mark.parametrize("how", ["other files", "no exchange", "no hard links"])
def test_beside_other_files_they_come_by_one_rename_and_move_up(how, tmp_path, renames, monkeypatch):
    folder = tmp_path / "x"
    write(folder, a="1", b="1")
    if how == "no exchange":
        monkeypatch.setattr(together, "_exchange", lambda one, other: False)
    else:
        (folder / "checkpoint-1").mkdir()
        (folder / "checkpoint-1" / "theirs").write_text("stays")
    if how == "no hard links":
        monkeypatch.setattr(os, "link", lambda *_: (_ for _ in ()).throw(OSError("no links here")))
    renames.clear()
    write(folder, a="2", b="2")
    found = read(folder)
    assert (found["a"], found["b"]) == ("2", "2")
    assert how == "no exchange" or found["checkpoint-1/theirs"] == "stays"
    assert renames[0] == INCOMING
    assert settled(folder) == folder
    assert not [name for name in os.listdir(folder) if name.endswith(".tmp")]


def test_what_a_crash_left_is_read_at_once_and_finished_by_the_next_writer(tmp_path, monkeypatch):
    folder = tmp_path / "x"
    write(folder, a="1", b="1")
    (folder / "theirs").write_text("stays")
    replace, left = os.replace, [1]

    def dies(*names):
        if not left:
            raise KeyboardInterrupt
        left.pop()
        replace(*names)

    monkeypatch.setattr(os, "replace", dies)
    with pytest.raises(KeyboardInterrupt):
        write(folder, a="2", b="2")
    monkeypatch.undo()
    assert ((folder / "a").read_text(), (folder / "b").read_text()) == ("2", "1"), "the last file is the last"
    assert settled(folder) == folder / INCOMING
    assert read(settled(folder)) == {"a": "2", "b": "2"}
    finish(folder)
    assert read(folder) == {"a": "2", "b": "2", "theirs": "stays"}
    finish(folder)


def test_a_killed_writers_folder_is_swept_and_a_living_ones_is_not(tmp_path):
    folder = tmp_path / "x"
    (tmp_path / ".x.dead.tmp").mkdir()
    (tmp_path / ".x.dead.tmp" / "half").write_text("")
    (tmp_path / ".y.dead.tmp").mkdir()
    with written_together(folder) as mine:
        write(folder, b="other")
        assert mine.is_dir(), "the other writer took it away"
        (mine / "a").write_text("mine")
    assert read(folder) == {"a": "mine", "b": "other"}
    assert sorted(os.listdir(tmp_path)) == [".y.dead.tmp", "x"]


def test_a_folder_whose_parent_is_not_ours_is_written_inside(tmp_path, monkeypatch):
    folder = tmp_path / "x"
    write(folder, a="1", b="1")
    monkeypatch.setattr(os.path, "ismount", lambda path: path == folder)
    with written_together(folder) as temporary:
        assert temporary.parent == folder
        (temporary / "a").write_text("2")
    assert read(folder) == {"a": "2", "b": "1"}


def test_a_link_in_the_place_of_what_came_in_is_not_followed(tmp_path):
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "x").mkdir()
    (tmp_path / "x" / INCOMING).symlink_to(tmp_path / "elsewhere")
    assert settled(tmp_path / "x") == tmp_path / "x"
