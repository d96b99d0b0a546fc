"""What a bank refuses: adapters of other shapes or learners, unknown users, wrong modes, folders that are no bank."""

from __future__ import annotations

import pytest
import torch

from bank_samples import adapter, same
from hfmeta.adapters.bank import AdapterBank, BankError
from hfmeta.inner.errors import HfmetaError


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
