"""The bank as a dict of adapters: what goes in comes out, whatever the ids and types; what does not belong is refused."""

from __future__ import annotations

import os

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file

from bank_samples import IDS, SHAPES, adapter, same, some_masks
from hfmeta.adapters.bank import AdapterBank
from hfmeta.inner.errors import HfmetaError


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
