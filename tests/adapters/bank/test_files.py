"""A bank's files: damaged ones are named and hurt nobody else, a crash at any step loses nothing, deleted bytes are gone."""

from __future__ import annotations

import json
import os
import shutil

import pytest
import torch

from hfmeta.adapters.bank import AdapterBank, BankError

TEMPLATE = {"w": torch.zeros(8, 9), "b": torch.zeros(8)}
MASKS = {"w": (torch.arange(72) % 3 == 0).view(8, 9)}


def version(number):
    generator = torch.Generator().manual_seed(number)
    return {name: torch.randn(value.shape, generator=generator) for name, value in TEMPLATE.items()}


def traces(folder, number):
    """Files in which a stretch of a version's bias can be found; it is stored dense whether or not the weight is."""
    needle = version(number)["b"].numpy().tobytes()[:12]
    return [path for path in folder.rglob("*") if path.is_file() and needle in path.read_bytes()]


def same(values, number, masks=None):
    expected = version(number)
    for name, mask in (masks or {}).items():
        expected[name] = expected[name] * mask
    return all(torch.equal(values[name], expected[name]) for name in expected)


# Deletion


def test_deleted_and_replaced_bytes_are_nowhere_in_the_folder(tmp_path):
    folder = tmp_path / "bank"
    with AdapterBank.create(folder, TEMPLATE) as bank:
        for user, task in enumerate(["anna@example.org", "berta@example.org", "c" * 500]):
            bank.put(task, version(user))
        bank.put("berta@example.org", version(10), MASKS)
        assert traces(folder, 0)
        assert traces(folder, 10)
        assert not traces(folder, 1)  # replaced
        bank.delete("anna@example.org")
        bank.delete("c" * 500)
        assert not traces(folder, 0)
        assert not traces(folder, 2)
        everything = b"".join(path.read_bytes() + str(path).encode() for path in folder.rglob("*") if path.is_file())
        assert b"anna" not in everything
        assert b"c" * 60 not in everything
        assert b"berta" in everything
        assert same(bank.get("berta@example.org"), 10, MASKS)


def test_the_blocks_of_deleted_and_replaced_files_hold_zeros(tmp_path):
    """Seen through handles that were open before, which still reach the files after their names are gone."""
    with AdapterBank.create(tmp_path / "bank", TEMPLATE) as bank:
        handles = []
        for act in (lambda: bank.put("u", version(2)), lambda: bank.delete("u")):
            bank.put("u", version(1))
            (path,) = (tmp_path / "bank" / "users").rglob("*.safetensors")
            handles.append(path.open("rb"))
            act()
        for handle in handles:
            with handle:
                content = handle.read()
                assert len(content) > 300
                assert not any(content)


def test_a_copy_by_hard_links_is_somebodys_backup(tmp_path):
    with AdapterBank.create(tmp_path / "bank", TEMPLATE) as bank:
        for act in (lambda: bank.put("u", version(2)), lambda: bank.delete("u")):
            bank.put("u", version(1))
            shutil.copytree(tmp_path / "bank", tmp_path / "copy", copy_function=os.link)
            act()
            assert traces(tmp_path / "copy", 1)
            assert not traces(tmp_path / "bank", 1)
            shutil.rmtree(tmp_path / "copy")


def test_without_hard_links_replacing_erases_too(tmp_path, monkeypatch):
    def refused(*_):
        raise OSError(1, "Operation not permitted")

    monkeypatch.setattr(os, "link", refused)
    with AdapterBank.create(tmp_path / "bank", TEMPLATE) as bank:
        bank.put("u", version(1))
        (path,) = (tmp_path / "bank" / "users").rglob("*.safetensors")
        with path.open("rb") as handle:
            bank.put("u", version(2))
            assert not any(handle.read())
        assert same(bank.get("u"), 2)


# Damage


@pytest.fixture
def three(tmp_path):
    with AdapterBank.create(tmp_path / "bank", TEMPLATE, learner_id="l") as bank:
        for user in range(3):
            bank.put(user, version(user), MASKS if user == 1 else None)
        yield bank


def file_of(bank, task):
    (path,) = (bank.folder / "users").rglob(f"{task}.safetensors")
    return path


def test_every_truncation_and_flipped_byte_of_one_user_is_noticed_and_the_others_stay_readable(three):
    path = file_of(three, 1)
    whole = path.read_bytes()
    damaged = [whole[:length] for length in range(0, len(whole), 11)]
    damaged += [whole[:i] + bytes([whole[i] ^ 0x15]) + whole[i + 1 :] for i in range(0, len(whole))]
    noticed = 0
    for content in damaged:
        path.write_bytes(content)
        try:
            assert same(three.get(1), 1, MASKS)  # a byte without meaning, in JSON's padding
        except BankError as error:
            noticed += 1
            assert str(path) in str(error)  # noqa: PT017
    assert noticed > 0.95 * len(damaged)
    path.write_bytes(whole[:-5])
    assert list(three.verify()) == [path]
    assert "damaged, cut short or foreign" in three.verify()[path]
    assert same(three.get(0), 0)
    assert same(three.get(2), 2)
    assert three.ids() == ["0", "1", "2"]
    three.put(1, version(5))
    assert three.verify() == {}
    path.write_bytes(b"")
    three.delete(1)
    assert three.ids() == ["0", "2"]


def test_files_that_were_moved_and_foreign_ones(three):
    moved = file_of(three, 1)
    moved.write_bytes(file_of(three, 0).read_bytes())
    with pytest.raises(BankError, match="holds the adapter of task '0', not of '1'; it was moved there by hand"):
        three.get(1)
    (moved.parent / "README.md").write_text("foreign")
    (moved.parent / "Strange Name.safetensors").write_bytes(b"foreign")
    (three.folder / "users" / "file").write_text("foreign")
    assert three.ids() == ["0", "1", "2"]
    problems = three.verify()
    assert {path.name for path in problems} == {"1.safetensors", "Strange Name.safetensors"}
    assert "belongs at" in problems[moved]


def test_a_long_id_whose_file_is_damaged_is_left_out_and_reported(three):
    three.put("x" * 400, version(7))
    assert three.ids() == ["0", "1", "2", "x" * 400]
    (path,) = (three.folder / "users").rglob("~*")
    path.write_bytes(b"\xff" * 20)
    assert three.ids() == ["0", "1", "2"]
    assert list(three.verify()) == [path]


def test_a_damaged_header(three):
    path = three.folder / "adapters.json"
    whole = path.read_text()
    for text in (whole[:-9], "", "[]", "{}", whole.replace("9", "8", 1), whole.replace('"l"', '"m"')):
        path.write_text(text)
        with pytest.raises(BankError, match=r"adapters.json is damaged, cut short or foreign"):
            AdapterBank.open(three.folder)
    path.write_text(json.dumps(json.loads(whole) | {"format": 2}))
    with pytest.raises(BankError, match="format 2; this hfmeta reads 1. Install a newer hfmeta"):
        AdapterBank.open(three.folder)
    path.write_text(whole)
    assert same(AdapterBank.open(three.folder).get(0), 0)


# A crash at any step


class Killed(BaseException):
    """The process died here: from now on nothing it does reaches the disk."""


class Disk:
    """Counts every step that changes the disk, and dies before the one of a given number (half-way through a write)."""

    STEPS = ("open", "write", "replace", "link", "unlink", "mkdir", "rmdir")

    def __init__(self, monkeypatch):
        self.left, self.armed = 0, False
        monkeypatch.setattr(os, "fsync", lambda handle: None)
        for name in self.STEPS:
            monkeypatch.setattr(os, name, self._step(name, getattr(os, name)))

    def _step(self, name, real):
        def step(*args, **options):
            if self.armed:
                self.left -= 1
                if self.left == 0 and name == "write":
                    real(args[0], bytes(args[1])[: len(args[1]) // 2])
                if self.left <= 0:
                    raise Killed
            return real(*args, **options)

        return step


def test_dying_at_any_step_loses_nothing_and_leaves_no_half_user(tmp_path, monkeypatch):
    disk = Disk(monkeypatch)
    started = [
        {"a": 1, "b": 2},
        {"a": 1, "b": 2, "c": 3},  # put
        {"a": 4, "b": 2, "c": 3},  # replace
        {"a": 4, "c": 3},  # delete
        {"a": 4, "c": 3},  # compact
        {"a": 5, "c": 3},  # replace, sparse
    ]

    def acts(bank):
        return [
            lambda: bank.put("c", version(3)),
            lambda: bank.put("a", version(4)),
            lambda: bank.delete("b"),
            bank.compact,
            lambda: bank.put("a", version(5), MASKS),
        ]

    died = 0
    for number in range(1, 200):
        folder = tmp_path / str(number)
        bank = AdapterBank.create(folder, TEMPLATE)
        bank.put("a", version(1))
        bank.put("b", version(2))
        # What an earlier crash left: half a new file, an old one, and a second name of a live one.
        (folder / "pending" / "1.new").write_bytes(version(90)["b"].numpy().tobytes())
        (folder / "pending" / "2.old").write_bytes(version(91)["b"].numpy().tobytes())
        os.link(next((folder / "users").rglob("a.safetensors")), folder / "pending" / "3.old")
        done, disk.left, disk.armed = 0, number, True
        try:
            for act in acts(bank):
                act()
                done += 1
        except Killed:
            died += 1
        disk.armed = False
        bank.close()
        allowed = started[done : done + 2]
        reader = AdapterBank.open(folder)  # before anything is repaired
        before = {task: next(n for n in range(1, 6) if n_is(reader.get(task), n)) for task in reader.ids()}
        assert before in allowed, (number, done)
        with AdapterBank.open(folder, "r+") as again:
            assert {task: next(n for n in range(1, 6) if n_is(again.get(task), n)) for task in again.ids()} == before
            assert again.verify() == {}
            assert list((folder / "pending").iterdir()) == []
            for gone in {1, 2, 3, 4, 5, 90, 91} - set(before.values()):
                assert not traces(folder, gone), (number, done, gone)
            again.put("b", version(6))
            assert same(again.get("b"), 6)
        if done == len(started) - 1:
            break
    assert died == number - 1
    assert died > 30


def n_is(values, number):
    return same(values, number, MASKS if number == 5 else None)
