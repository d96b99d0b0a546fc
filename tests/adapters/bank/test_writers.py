"""One writer, many readers; export; and what a failed write leaves."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from bank_samples import adapter, same, some_masks
from hfmeta.adapters.bank import AdapterBank, BankError, Record
from hfmeta.adapters.ids import escaped


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
