"""Splits by task: seeded, disjoint, saved with a hash; leak checks."""

from __future__ import annotations

import json
import logging
from pathlib import Path

import numpy as np
import pytest
from datasets import Dataset
from hypothesis import given
from hypothesis import strategies as st

from hfmeta.episodes import (
    EpisodeError,
    check_disjoint,
    load_split,
    save_split,
    shared_inputs,
    split_rows,
    split_sha256,
    split_tasks,
)


@given(count=st.integers(3, 60), seed=st.integers(0, 99))
def test_parts_are_disjoint_and_cover_everything(count: int, seed: int) -> None:
    split = split_tasks(range(count), {"train": 0.5, "valid": 0.25, "test": 0.25}, seed)
    assert sorted(t for tasks in split.values() for t in tasks) == list(range(count))
    assert abs(len(split["train"]) - count / 2) <= 1
    check_disjoint(split)


def test_counts_seed_and_order() -> None:
    tasks = [f"t{i}" for i in range(30)]
    split = split_tasks(tasks, {"train": 20, "test": 5}, seed=3)
    assert {part: len(names) for part, names in split.items()} == {"train": 20, "test": 5}
    assert split == split_tasks([*reversed(tasks), "t3"], {"train": 20, "test": 5}, seed=3)
    assert split != split_tasks(tasks, {"train": 20, "test": 5}, seed=4)
    assert split_tasks(np.arange(4), {"a": 4})["a"] == [0, 1, 2, 3]


@pytest.mark.parametrize(
    ("sizes", "message"),
    [
        ({}, "sizes is empty"),
        ({"train": 0.5, "test": 0.4}, "sum to 0.9; they must be positive and sum to 1"),
        ({"train": 8, "test": 4}, "asks for 12 tasks; there are 10"),
        ({"train": 0.5, "test": 4}, "must be all fractions .* or all whole numbers"),
        ({"train": 10, "test": 0}, r"of 10 tasks, the part\(s\) test would get none"),
        ({"train": 0.99, "test": 0.01}, r"the part\(s\) test would get none"),
    ],
)
def test_refusals_of_sizes(sizes: dict, message: str) -> None:
    with pytest.raises(EpisodeError, match=message):
        split_tasks(range(10), sizes)


def test_refusal_of_task_names() -> None:
    with pytest.raises(EpisodeError, match="named by text or a whole number, got 0.5"):
        split_tasks([0.5, 1.5], {"a": 1})


def test_saved_and_loaded(tmp_path: Path) -> None:
    split = split_tasks(["é", "b", "c"], {"train": 2, "test": 1})
    save_split(split, tmp_path / "split.json", seed=0)
    assert load_split(tmp_path / "split.json") == split
    assert [p.name for p in tmp_path.iterdir()] == ["split.json"]
    stored = json.loads((tmp_path / "split.json").read_text())
    assert stored["seed"] == 0
    assert stored["sha256"] == split_sha256(split) == split_sha256({k: split[k][::-1] for k in reversed(split)})


def test_refusals_of_files(tmp_path: Path) -> None:
    with pytest.raises(EpisodeError, match="there is no split file"):
        load_split(tmp_path / "none.json")
    (tmp_path / "bad.json").write_text("[1]")
    with pytest.raises(EpisodeError, match="is no split file"):
        load_split(tmp_path / "bad.json")
    save_split({"train": ["a"]}, tmp_path / "s.json")
    (tmp_path / "s.json").write_text((tmp_path / "s.json").read_text().replace('"a"', '"b"'))
    with pytest.raises(EpisodeError, match=r"have the hash \w+, the file says \w+ \(edited\?\)"):
        load_split(tmp_path / "s.json")


def test_a_failed_save_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise OSError("disk full")

    monkeypatch.setattr("os.replace", broken)
    with pytest.raises(OSError, match="disk full"):
        save_split({"a": [1]}, tmp_path / "s.json")
    assert list(tmp_path.iterdir()) == []


def test_rows_of_a_split() -> None:
    rows = Dataset.from_dict({"user": [*"abcab"], "n": list(range(5))})
    parts = split_rows(rows, "user", {"train": ["a", "c"], "test": ["b"]})
    assert parts["train"]["n"][:] == [0, 2, 3]
    assert parts["test"]["n"][:] == [1, 4]
    with pytest.raises(EpisodeError, match=r"1 task\(s\) of part 'test' have no row in column 'user': 'z'"):
        split_rows(rows, "user", {"test": ["z"]})
    with pytest.raises(EpisodeError, match="must not share tasks"):
        split_rows(rows, "user", {"train": ["a"], "test": ["a"]})


def test_leaks_are_named() -> None:
    with pytest.raises(EpisodeError, match=r"'train' and 'test' share 2 \('b', 'c'\). Split by task with split_tasks"):
        check_disjoint({"train": [*"abc"], "valid": [*"d"], "test": [*"bce"]})
    train, test = Dataset.from_dict({"user": [*"aab"]}), Dataset.from_dict({"user": [*"bc"]})
    with pytest.raises(EpisodeError, match=r"share 1 \('b'\)"):
        check_disjoint({"train": train, "test": test}, "user")
    with pytest.raises(
        EpisodeError, match=r"part 'train' is a table; pass task_column. The columns found are \['user'\]"
    ):
        check_disjoint({"train": train})
    check_disjoint({"train": train.select([0, 1]), "test": test}, "user")


def test_identical_inputs_are_counted_and_logged(caplog: pytest.LogCaptureFixture) -> None:
    parts = {
        "train": Dataset.from_dict({"text": ["Turn it  up", "hello"]}),
        "valid": Dataset.from_dict({"text": ["bye"]}),
        "test": Dataset.from_dict({"text": ["turn it up"]}),
    }
    with caplog.at_level(logging.WARNING):
        shared = shared_inputs(parts, "text")
    assert shared == {("train", "valid"): [], ("train", "test"): ["turn it up"], ("valid", "test"): []}
    assert caplog.messages == ["1 identical inputs occur in both 'train' and 'test', such as 'turn it up'"]
    with pytest.raises(EpisodeError, match="the rows of part 'train' have no column 'txt'"):
        shared_inputs(parts, "txt")
    with pytest.raises(EpisodeError, match="column 'n' of part 'a' holds no text"):
        shared_inputs({"a": Dataset.from_dict({"n": [1]})}, "n")
