"""Folders from anybody that lie about sizes: refused by what is stored, before memory is taken."""

from __future__ import annotations

import json
import shutil
import struct
from pathlib import Path

import pytest

from hfmeta import MetaLearner
from hfmeta.adapters.bank import AdapterBank, BankError
from publishing.strangers import edited, lora, opening, plain, refused


def header(**tensors) -> bytes:
    text = json.dumps(tensors).encode()
    return struct.pack("<Q", len(text)) + text


def tensor(shape, begin, end, dtype="F32"):
    return {"dtype": dtype, "shape": shape, "data_offsets": [begin, end]}


LIES = {
    "a header longer than the file": struct.pack("<Q", 1 << 62) + b"{}",
    "a header of 90 MB that is not there": struct.pack("<Q", 90_000_000) + b"{}",
    "more data than there is": header(x=tensor([1 << 40], 0, 1 << 42)) + bytes(64),
    "a shape that is not the data": header(x=tensor([1 << 30, 1 << 30], 0, 64)) + bytes(64),
    "an overflow": header(x=tensor([1 << 62, 8], 0, 0)),
    "a negative place": header(x=tensor([16], -64, 0)) + bytes(64),
    "tensors over each other": header(x=tensor([16], 0, 64), y=tensor([16], 32, 96)) + bytes(96),
    "data behind the tensors": header(x=tensor([1], 0, 4)) + bytes(64),
    "nonsense": b"PK\x03\x04 not at all",
    "nothing": b"",
}


@pytest.mark.parametrize("file", ["model.safetensors", "hfmeta.safetensors"])
@pytest.mark.parametrize("lie", LIES)
@plain
def test_a_header_that_lies_is_refused_by_its_header(folder, lie, file):
    (folder / file).write_bytes(LIES[lie])
    message = refused(opening(folder))
    assert f"{folder / file} cannot be read, since it is damaged, cut short, or not what its header says" in message


@pytest.mark.parametrize(
    "change", [{"vocab_size": 10**10}, {"hidden_size": 2**20}, {"num_labels": 10**11}, {"num_hidden_layers": 10**8}]
)
@plain
def test_a_config_that_asks_for_what_is_not_stored(folder, change):
    edited(folder / "config.json", **change)
    message = refused(opening(folder))
    assert "and its weights" in message
    assert "Save or download it again" in message


@lora
@pytest.mark.parametrize("change", [{"r": 10**10}, {"rank_pattern": {"query": 10**10}}])
def test_an_adapter_that_asks_for_what_is_not_stored(folder, change):
    edited(folder / "adapter_config.json", **change)
    assert f"says {next(iter(change))}=10,000,000,000, and no tensor" in refused(opening(folder))


def test_a_private_network_that_asks_for_what_is_not_stored(published, tmp_path):
    folder = Path(shutil.copytree(published / "collection" / "adapters" / "anna", tmp_path / "anna"))
    edited(folder / "adapter_config.json", hidden_sizes=[10**10, 8])
    learner = MetaLearner.from_pretrained(published / "served")
    assert "says hidden_sizes=10,000,000,000, and no tensor" in refused(lambda: learner.open_private(folder))


def test_a_bank_that_claims_other_sizes(published, tmp_path):
    folder = Path(shutil.copytree(published / "bank", tmp_path / "bank"))
    edited(folder / "adapters.json", tensors={"w": [1 << 40, 1 << 20]})
    with pytest.raises(BankError, match="damaged"):
        AdapterBank.open(folder)
