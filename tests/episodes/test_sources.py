"""Prepared rows: kept within their limit, made once, never written to."""

from __future__ import annotations

import pickle
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from datasets import Array2D, Dataset, Features, Image, Value

from hfmeta.episodes import RegressionEncoder
from hfmeta.episodes.sources import PreparedRows, formatted


class Counting(RegressionEncoder):
    """Counts the rows it prepares."""

    prepared = 0

    def prepare(self, columns: Mapping[str, Sequence[Any]], numbers: Sequence[int]) -> list[dict[str, Any]]:
        self.prepared += len(numbers)
        return super().prepare(columns, numbers)


def rows(count: int) -> Dataset:
    return Dataset.from_dict({"x": [float(i) for i in range(count)], "y": [0.0] * count})


def test_a_row_is_prepared_once() -> None:
    encoder, prepared = Counting("x", "y"), PreparedRows(rows(10))
    for wanted in ([1, 2, 3], [3, 2], [4, 1]):
        assert [item["inputs"].item() for item in prepared.gather(wanted, encoder)] == wanted
    assert encoder.prepared == 4


def test_memory_stays_within_the_limit() -> None:
    encoder, prepared = Counting("x", "y"), PreparedRows(rows(100), limit=3100)
    for start in range(0, 100, 5):
        wanted = list(range(start, start + 5))
        assert [item["inputs"].item() for item in prepared.gather(wanted, encoder)] == wanted
        assert prepared._bytes <= 3100
        assert len(prepared._items) <= 10
    wanted = list(range(50))  # more than the limit holds, in one go
    assert [item["inputs"].item() for item in prepared.gather(wanted, encoder)] == wanted
    assert prepared._bytes <= 3100


def test_a_copy_for_a_worker_starts_empty() -> None:
    prepared = PreparedRows(rows(10))
    prepared.gather([1, 2], RegressionEncoder("x", "y"))
    copy = pickle.loads(pickle.dumps(prepared))
    assert (copy._items, copy._bytes) == ({}, 0)
    assert len(prepared._items) == 2


def test_arrays_are_read_as_numpy_and_images_are_not() -> None:
    arrays = Dataset.from_dict(
        {"image": np.zeros((2, 3, 3), np.uint8)}, features=Features({"image": Array2D((3, 3), "uint8")})
    )
    assert formatted(arrays, "image").format["type"] == "numpy"
    texts = Dataset.from_dict({"text": ["a"]}, features=Features({"text": Value("string")})).with_format("torch")
    assert formatted(texts, "text").format["type"] is None
    images = Dataset.from_dict({"image": [None]}, features=Features({"image": Image()}))
    assert formatted(images, "image").format["type"] is None
    custom = texts.with_transform(lambda batch: batch)
    assert formatted(custom, "text") is custom
