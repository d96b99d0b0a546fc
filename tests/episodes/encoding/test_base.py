"""Rows in their accepted forms, and the refusals that every encoder shares."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from datasets import Dataset

from hfmeta.episodes import EpisodeError, RegressionEncoder
from hfmeta.episodes.encoding.base import as_columns, attention_mask, pad_right

LIST = [{"x": 1.0, "y": 2.0, "extra": None}, {"x": 3.0, "y": 4.0, "extra": None}]
COLUMNS = {"x": [1.0, 3.0], "y": [2.0, 4.0]}
FORMS = [
    LIST,
    tuple(LIST),
    COLUMNS,
    {name: np.array(values) for name, values in COLUMNS.items()},
    Dataset.from_list(LIST),
    Dataset.from_list(LIST).with_format("torch"),
    Dataset.from_list(LIST[::-1]).select([1, 0]),
    Dataset.from_list(LIST).with_transform(lambda batch: batch),
]


@pytest.mark.parametrize("rows", FORMS, ids=range(len(FORMS)))
def test_every_form_of_rows_gives_the_same_tensors(rows: Any) -> None:
    encoded = RegressionEncoder("x", "y").encode(rows)
    assert torch.equal(encoded["inputs"], torch.tensor([[1.0], [3.0]]))
    assert torch.equal(encoded["labels"], torch.tensor([[2.0], [4.0]]))


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([{"x": 1.0, "z": 2.0}], r"the rows have no column 'y'; the columns found are \['x', 'z'\]"),
        ({"x": [1.0]}, "the rows have no column 'y'"),
        (Dataset.from_dict({"X": [1.0], "y": [1.0]}), "the rows have no column 'x'; the columns found are"),
        ({"n": [1.0]}, "the rows have no columns 'x', 'y'"),
        ([{"x": 1.0, "y": 1.0}, {"x": 1.0}], r"the fields of row 1 have no column 'y'; the columns found are \['x'\]"),
        ([], r"there are no rows: a support set needs at least 1 row with the columns \['x', 'y'\]"),
        ({"x": [], "y": []}, "there are no rows"),
        ({}, "there are no rows"),
        (Dataset.from_dict({"x": [], "y": []}), "there are no rows"),
        ({"x": [1.0], "y": [1.0, 2.0]}, "the columns of the rows have unequal lengths: {'x': 1, 'y': 2}"),
        ([{"x": 1.0, "y": None}], "row 0 has no value in column 'y'"),
        ("x,y", "rows must be a datasets.Dataset, a dict of columns or a list of dicts, got str"),
        (7, "list of dicts, got int"),
        ([1, 2], "list of dicts, got list"),
    ],
)
def test_refusals_of_rows(rows: Any, message: str) -> None:
    with pytest.raises(EpisodeError, match=message):
        RegressionEncoder("x", "y").encode(rows)


def test_refusals_of_column_names() -> None:
    with pytest.raises(EpisodeError, match="input_column must be the name of a column, got None"):
        RegressionEncoder(None, "y")
    with pytest.raises(EpisodeError, match="target_column must be the name of a column, got ''"):
        RegressionEncoder("x", "")


def test_required_columns_and_description() -> None:
    encoder = RegressionEncoder("x", "y")
    assert encoder.required_columns == ["x", "y"]
    assert RegressionEncoder("x", "x").required_columns == ["x"]
    assert encoder.to_dict() == {"task_type": "regression", "input_column": "x", "target_column": "y"}
    assert encoder.classes(LIST) is None
    assert encoder.text_columns == []


def test_extra_columns_are_not_read() -> None:
    assert list(as_columns(LIST, ["x"])) == ["x"]


def test_padding_goes_right() -> None:
    rows = [np.array([4, 5]), np.array([6]), np.array([7, 8, 9])]
    assert pad_right(rows, -1).tolist() == [[4, 5, -1], [6, -1, -1], [7, 8, 9]]
    assert attention_mask(rows).tolist() == [[1, 1, 0], [1, 0, 0], [1, 1, 1]]
    assert pad_right(rows, 0).dtype == attention_mask(rows).dtype == torch.int64
