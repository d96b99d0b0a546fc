"""The bank as a dict of adapters: what goes in comes out, whatever the ids and types; what does not belong is refused."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file

from hfmeta.adapters.bank import AdapterBank, BankError, Record
from hfmeta.adapters.ids import escaped
from hfmeta.inner.errors import HfmetaError

SHAPES = {"a.weight": (6, 5), "a.bias": (6,), "scale": ()}
IDS = [
    "../../x",
    "/etc/passwd",
    "😀 and spaces",
    ".",
    "..",
    "a\nb\x00",
    "é",
    "e\u0301",
    "A",
    "a",
    "con",
    "%41",
    "~",
    "x" * 3000,
    "0",
    "-",
]


def adapter(seed=0, dtype=torch.float32):
    generator = torch.Generator().manual_seed(seed)
    return {name: torch.randn(shape, generator=generator).to(dtype) for name, shape in SHAPES.items()}


def some_masks(seed=0, names=("a.weight", "a.bias")):
    generator = torch.Generator().manual_seed(seed)
    return {name: torch.rand(SHAPES[name], generator=generator) < 0.3 for name in names}


def same(left, right):
    assert left.keys() == right.keys()
    for name in left:
        assert left[name].dtype == right[name].dtype
        assert torch.equal(left[name], right[name]), name


@pytest.fixture
def bank(tmp_path):
    with AdapterBank.create(tmp_path / "bank", adapter(), learner_id="someone/learner", revision="abc") as bank:
        yield bank


def test_a_dict_of_adapters(bank):
    assert len(bank) == 0
    assert bank.ids() == []
    for seed in range(5):
        bank.put(seed, adapter(seed))
    bank.put("3", adapter(33))
    bank.delete(1)
    assert len(bank) == 4
    assert bank.ids() == ["0", "2", "3", "4"]
    assert 3 in bank
    assert "1" not in bank
    same(bank.get(3), adapter(33))
    same(bank.get("4"), adapter(4))
    assert bank.get_masks(4) == {}
    assert [record.task for record in bank.records(["4", 0])] == ["4", "0"]
    assert bank.verify() == {}
    assert bank.shapes == SHAPES
    bank.get(0)["a.bias"].zero_()
    same(bank.get(0), adapter(0))  # what `get` gives is a copy


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16, torch.float64])
def test_dense_and_sparse_in_every_type(bank, dtype):
    values, masks = adapter(1, dtype), some_masks(2)
    bank.put("dense", values)
    bank.put("sparse", values, masks)
    bank.put("whole masks", values, {name: torch.ones(shape, dtype=torch.bool) for name, shape in SHAPES.items()})
    bank.put("empty masks", values, {name: torch.zeros(shape) for name, shape in SHAPES.items()})
    same(bank.get("dense"), values)
    same(bank.get("whole masks"), values)
    same(bank.get("empty masks"), {name: torch.zeros_like(value) for name, value in values.items()})
    same(bank.get_masks("sparse"), masks)
    record = bank.read("sparse")
    same(record.values, {name: value * masks[name] if name in masks else value for name, value in values.items()})
    reader = AdapterBank.open(bank.folder)
    same(reader.get("sparse"), record.values)


def test_a_sparse_adapter_takes_its_kept_values_and_a_bit_an_entry(tmp_path):
    weight = {"w": torch.randn(200, 300)}
    mask = {"w": torch.rand(200, 300) < 0.3}
    with AdapterBank.create(tmp_path / "bank", weight) as bank:
        bank.put("a", weight, mask)
        (file,) = (tmp_path / "bank" / "users").rglob("*.safetensors")
        assert file.stat().st_size < 4 * int(mask["w"].sum()) + 200 * 300 / 8 + 600
        assert load_file(file)["w"].shape == (int(mask["w"].sum()),)


def test_values_on_their_way_through_a_model(bank):
    """Parameters that require gradients, and tensors that are not contiguous, are stored as plain values."""
    values = adapter()
    values["a.weight"] = torch.nn.Parameter(values["a.weight"].T.contiguous().T)
    bank.put("a", values, some_masks())
    same(bank.get("a"), {name: v.detach() * some_masks().get(name, torch.tensor(True)) for name, v in values.items()})


def test_ids_are_never_paths(bank):
    before = {path for path in bank.folder.parent.rglob("*") if bank.folder not in path.parents}
    for seed, task in enumerate(IDS):
        bank.put(task, adapter(seed))
    assert {path for path in bank.folder.parent.rglob("*") if bank.folder not in path.parents} == before
    assert bank.ids() == sorted(IDS)
    assert len(bank) == len(IDS)
    for seed, task in enumerate(IDS):
        assert task in bank
        same(bank.get(task), adapter(seed))
    files = [path for path in (bank.folder / "users").rglob("*") if path.is_file()]
    assert len({path.name.lower() for path in files}) == len(IDS)
    assert all(len(path.name) < 255 for path in files)
    for task in IDS:
        bank.delete(task)
    assert bank.ids() == []


@settings(max_examples=40, deadline=None)
@given(tasks=st.sets(st.text(st.characters(codec="utf-8"), min_size=1), max_size=5))
def test_any_text_is_an_id(tmp_path_factory, tasks):
    folder = tmp_path_factory.mktemp("any") / "bank"
    with AdapterBank.create(folder, adapter()) as bank:
        for seed, task in enumerate(tasks):
            bank.put(task, adapter(seed))
        assert bank.ids() == sorted(tasks)
        for seed, task in enumerate(tasks):
            same(bank.get(task), adapter(seed))


@pytest.mark.parametrize(
    ("task", "message"),
    [
        ("", "empty"),
        (None, "text or a whole number"),
        (True, "text or a whole"),
        (1.5, "text or a whole"),
        ("\ud83d", "surrogate"),
    ],
)
def test_impossible_ids(bank, task, message):
    for call in (
        lambda: bank.put(task, adapter()),
        lambda: bank.get(task),
        lambda: bank.delete(task),
        lambda: task in bank,
    ):
        with pytest.raises(HfmetaError, match=message):
            call()


def test_the_work_does_not_grow_with_the_number_of_users(bank, monkeypatch):
    calls = []

    def counted(name):
        real = getattr(os, name)

        def call(*args, **options):
            calls.append(name)
            return real(*args, **options)

        monkeypatch.setattr(os, name, call)

    def work():
        calls.clear()
        bank.put("new", adapter())
        bank.put("new", adapter(1))
        bank.get("new")
        bank.delete("new")
        AdapterBank.open(bank.folder).get("kept")
        return list(calls)

    bank.put("kept", adapter())
    bank.put("new", adapter())
    bank.delete("new")  # its folder is there from now on
    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", lambda handle: None)
        for name in ("open", "write", "fsync", "replace", "link", "unlink", "stat", "scandir", "listdir"):
            counted(name)
        few = work()
        for user in range(300):
            bank.put(f"user {user}", adapter())
        assert work() == few
    assert "scandir" not in few
    assert "listdir" not in few


# Refusals


@pytest.mark.parametrize(
    ("change", "masks", "message"),
    [
        (
            {"a.weight": torch.ones(5, 6)},
            {},
            r"task 'u': a.weight has shape \(5, 6\); the bank's adapters have \(6, 5\)",
        ),
        ({"a.bias": None}, {}, "task 'u' lacks 'a.bias'"),
        (
            {"a.wieght": torch.ones(1)},
            {},
            "has 'a.wieght', which the bank's adapters do not have. Did you mean 'a.weight'",
        ),
        (
            {"a.bias": torch.ones(6, dtype=torch.int64)},
            {},
            "a.bias is torch.int64; a bank keeps float32, bfloat16, float16",
        ),
        ({}, {"a.bias": torch.ones(5)}, r"the mask of a.bias has shape \(5,\); the tensor has \(6,\)"),
        ({}, {"b": torch.ones(5)}, "has 'b', which the bank's adapters do not have"),
    ],
)
def test_an_adapter_of_another_shape(bank, change, masks, message):
    bank.put("u", adapter(7))
    values = {name: value for name, value in {**adapter(), **change}.items() if value is not None}
    with pytest.raises(HfmetaError, match=message):
        bank.put("u", values, masks)
    same(bank.get("u"), adapter(7))


def test_another_learner(bank):
    folder = bank.folder
    AdapterBank.open(folder, learner_id="someone/learner", revision="abc")
    with pytest.raises(
        BankError, match="adapters of learner 'someone/learner' at revision 'abc', not of learner 'other'"
    ):
        AdapterBank.open(folder, learner_id="other")
    with pytest.raises(BankError, match="at revision 'abc', not of a learner without a name at revision 'abd'"):
        AdapterBank.open(folder, revision="abd")


def test_a_file_brought_from_another_bank(bank, tmp_path):
    bank.put("u", adapter())
    with AdapterBank.create(tmp_path / "other", adapter(), learner_id="other") as other:
        other.put("u", adapter(1))
        theirs, ours = (next((b.folder / "users").rglob("*.safetensors")) for b in (other, bank))
    ours.write_bytes(theirs.read_bytes())
    with pytest.raises(
        BankError, match="holds an adapter of learner 'other'; this bank is for learner 'someone/learner' at"
    ):
        bank.get("u")


def test_unknown_users_and_modes(bank):
    bank.put("alice", adapter())
    for call in (bank.get, bank.delete):
        with pytest.raises(BankError, match="has no adapter of task 'alcie'. Did you mean 'alice'"):
            call("alcie")
    reader = AdapterBank.open(bank.folder)
    for call in (lambda: reader.put("u", adapter()), lambda: reader.delete("alice"), reader.compact):
        with pytest.raises(BankError, match='open for reading; open it with mode="r\\+" to change it'):
            call()
    with pytest.raises(HfmetaError, match='mode "r" or "r\\+"; received \'w\''):
        AdapterBank.open(bank.folder, "w")
    reader.close()
    for call in (
        lambda: reader.get("alice"),
        reader.ids,
        lambda: "alice" in reader,
        lambda: len(reader),
        reader.verify,
    ):
        with pytest.raises(BankError, match="is closed; open it again"):
            call()


def test_where_there_is_no_bank_and_where_there_is_one(bank, tmp_path):
    with pytest.raises(
        BankError, match=r"nowhere is no bank: it has no adapters.json. Make one with AdapterBank.create"
    ):
        AdapterBank.open(tmp_path / "nowhere", "r+")
    assert not (tmp_path / "nowhere").exists()
    bank.close()
    with pytest.raises(BankError, match="has a bank already"):
        AdapterBank.create(bank.folder, adapter())
    AdapterBank.open(bank.folder, "r+").close()  # the refusal left no lock behind
    bank = AdapterBank.open(bank.folder, "r+")
    bank.put("u", adapter())
    bank.close()
    (bank.folder / "adapters.json").rename(tmp_path / "adapters.json")
    with pytest.raises(BankError, match="has users' adapters but no adapters.json. Put that back from a backup"):
        AdapterBank.create(bank.folder, adapter())
    (tmp_path / "adapters.json").rename(bank.folder / "adapters.json")
    same(AdapterBank.open(bank.folder).get("u"), adapter())
    for template in ({}, {"mask:a": torch.ones(1)}):
        with pytest.raises(HfmetaError, match="template names at least one tensor, and none beginning with 'mask:'"):
            AdapterBank.create(tmp_path / "new", template)


# Writers and readers


def test_the_second_writer_gets_one_clear_error(bank):
    with pytest.raises(
        BankError, match=rf"already has a writer \(process {os.getpid()} on .*\); a bank has one at a time"
    ):
        AdapterBank.open(bank.folder, "r+")
    child = os.fork()
    if child == 0:
        try:
            AdapterBank.open(bank.folder, "r+")
        except BankError:
            try:
                bank.put("from a fork", adapter())
            except BankError as error:
                os._exit(7 if "opened for writing by another process" in str(error) else 2)
        os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
    bank.close()
    second = AdapterBank.open(bank.folder, "r+")
    second.put("u", adapter())
    del second  # a bank that is let go of is closed
    AdapterBank.open(bank.folder, "r+").close()


def test_readers_see_whole_adapters_while_a_writer_replaces_and_deletes(bank):
    versions = [adapter(seed) for seed in range(4)]
    bank.put("kept", versions[0])
    stop = threading.Event()

    def write():
        step = 0
        while not stop.is_set():
            bank.put("kept", versions[step % 4])
            bank.put("brief", versions[step % 4], some_masks())
            bank.delete("brief")
            step += 1

    writer = threading.Thread(target=write)
    writer.start()
    try:
        reader = AdapterBank.open(bank.folder)
        for _ in range(300):
            values = reader.get("kept")
            assert any(torch.equal(values["a.weight"], version["a.weight"]) for version in versions)
            try:
                reader.get("brief")
            except BankError as error:
                assert "has no adapter of task 'brief'" in str(error)  # noqa: PT017
    finally:
        stop.set()
        writer.join()
    assert bank.verify() == {}


# Out of the bank


def test_export_of_one_some_or_all(bank, tmp_path):
    bank.put("../up", adapter(1), some_masks())
    bank.put("b", adapter(2))

    def write(folder: Path, record: Record):
        folder.mkdir(parents=True)
        save_file(record.values, folder / "adapter_model.safetensors")
        (folder / "task.txt").write_text(record.task + "\n" + " ".join(record.masks))

    (path,) = bank.export(tmp_path / "one", write, ["../up"])
    assert path == tmp_path / "one" / escaped("../up") == tmp_path / "one" / "%2e%2e%2fup"
    assert (path / "task.txt").read_text() == "../up\na.weight a.bias"
    same(load_file(path / "adapter_model.safetensors"), bank.get("../up"))
    assert len(bank.export(tmp_path / "all", write)) == 2
    with pytest.raises(BankError, match="no adapter of task 'c'"):
        bank.export(tmp_path / "none", write, ["c"])


def test_compacting_erases_what_a_failed_write_left(bank):
    for user in range(20):
        bank.put(user, adapter(user))
    for user in range(19):
        bank.delete(user)
    (bank.folder / "pending" / "left.new").write_bytes(b"secret" * 10)
    assert bank.compact() == 60
    assert [path.name for path in (bank.folder / "users").rglob("*") if path.is_file()] == ["19.safetensors"]
    assert len(list((bank.folder / "users").iterdir())) == 1
    same(bank.get(19), adapter(19))
    bank.put(3, adapter(3))
    same(bank.get(3), adapter(3))


def test_a_full_disk_changes_nothing(bank, monkeypatch):
    bank.put("u", adapter(1))
    real = os.write

    def full(handle, data):
        if len(data) > 100:
            real(handle, bytes(data)[:50])
            raise OSError(28, "No space left on device")
        return real(handle, data)

    with monkeypatch.context() as patch:
        patch.setattr(os, "write", full)
        for task in ("u", "new"):
            with pytest.raises(OSError, match="No space left"):
                bank.put(task, adapter(2))
    same(bank.get("u"), adapter(1))
    assert "new" not in bank
    assert list((bank.folder / "pending").iterdir()) == []
