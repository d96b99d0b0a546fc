"""The contract of an encoder (rows in, tensors by model argument name out), and the reading of rows in their several forms.

The encoders of the task types are in `text`, `images` and `numbers`; choosing one is in `choosing`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, TypeAlias

import numpy as np
import torch
from datasets import Dataset
from torch import Tensor

from hfmeta.episodes.errors import EpisodeError, missing_columns

Item = dict[str, Any]
Rows: TypeAlias = Dataset | Mapping[str, Sequence[Any]] | Sequence[Mapping[str, Any]]
IGNORED = -100  # the label that every Hugging Face loss skips


class Encoder(ABC):
    """Turns the rows of one set (support or query) into tensors that carry the model's own argument names.

    `encode` is `assemble(prepare(columns, numbers), label_ids)`: `prepare` does the dear work of each row on its own (so that it
    can be kept), `assemble` pads and stacks.

    Args:
        input_column: name of the column the model reads.
        target_column: name of the column it is to produce.
    """

    task_type: ClassVar[str]
    classifies: ClassVar[bool] = False
    pad_token_id: int = 0

    def __init__(self, input_column: str, target_column: str):
        for option, value in (("input_column", input_column), ("target_column", target_column)):
            if not isinstance(value, str) or not value:
                raise EpisodeError(f"{option} must be the name of a column, got {value!r}.")
        self.input_column, self.target_column = input_column, target_column

    @property
    def required_columns(self) -> list[str]:
        """The columns that rows must have, input first."""
        return list(dict.fromkeys([self.input_column, self.target_column]))

    @abstractmethod
    def prepare(self, columns: Mapping[str, Sequence[Any]], numbers: Sequence[int]) -> list[Item]:
        """Return one item per row from checked columns; each depends on its own row only.

        Args:
            columns: name -> S cells.
            numbers: the rows' numbers in their table, `[S]`, for messages.
        """

    @abstractmethod
    def assemble(self, items: Sequence[Item], label_ids: Sequence[int] | None = None) -> dict[str, Tensor]:
        """Return the tensors `{name: [S, ...]}` of prepared rows."""

    def encode(self, rows: Rows, label_ids: Sequence[int] | None = None) -> dict[str, Tensor]:
        """Return the tensors of one set of rows.

        Args:
            rows: a Dataset, a dict of columns or a list of dicts; S rows.
            label_ids: class of each row, `[S]`, for classification; without it the target column is mapped.

        Returns:
            `{name: Tensor[S, ...]}`, always with `labels`.

        Raises:
            EpisodeError: no rows, missing columns (lists those found), empty cells, or values of the wrong kind.
        """
        if label_ids is not None and not self.classifies:
            raise EpisodeError(
                f"label ids belong to classification; {self.task_type} reads its labels from column {self.target_column!r}."
            )
        needed = self.required_columns if label_ids is None else [self.input_column]
        columns = as_columns(rows, needed)
        count = len(columns[self.input_column])
        if label_ids is not None and len(label_ids) != count:
            raise EpisodeError(f"{len(label_ids)} label ids for {count} rows; pass one for each row.")
        return self.assemble(self.prepare(columns, range(count)), label_ids)

    def classes(self, rows: Rows) -> list[str] | None:
        """Return the class names in the order of the ids that `encode(rows)` gives, or None outside classification."""
        return None

    @property
    def processing_class(self) -> Any:
        """The tokenizer or image processor that the encoder uses, which must be saved beside its description; or None."""
        return None

    @property
    def text_columns(self) -> list[str]:
        """The columns that must hold text."""
        return []

    def check_features(self, features: Mapping[str, Any]) -> None:
        """Refuse a table whose text columns are declared as something else."""
        for column in self.text_columns:
            if "string" not in str(getattr(features[column], "dtype", "")):
                raise EpisodeError(f"column {column!r} holds {features[column]}; {self.task_type} needs text there.")

    def options(self) -> dict[str, Any]:
        """Return what `to_dict` stores besides the columns; keyword arguments of the constructor."""
        return {}

    def to_dict(self) -> dict[str, Any]:
        """Return a JSON-serialisable description, without the tokenizer or image processor."""
        return {
            "task_type": self.task_type,
            "input_column": self.input_column,
            "target_column": self.target_column,
            **self.options(),
        }


def as_columns(rows: Rows, required: Sequence[str]) -> dict[str, list[Any]]:
    """Return the required columns of rows given in any of the accepted forms.

    Raises:
        EpisodeError: no rows, missing columns, columns of unequal length, empty cells.
    """
    if isinstance(rows, Dataset):
        _require(required, rows.column_names, len(rows))
        table = rows if rows.format["type"] == "custom" else rows.with_format(None)
        columns = {name: list(table[name]) for name in required}
    elif isinstance(rows, Mapping):
        lengths = {name: len(values) for name, values in rows.items()}
        if len(set(lengths.values())) > 1:
            raise EpisodeError(f"the columns of the rows have unequal lengths: {lengths}.")
        _require(required, list(rows), max(lengths.values(), default=0))
        columns = {name: list(rows[name]) for name in required}
    elif isinstance(rows, Sequence) and not isinstance(rows, str | bytes) and all(isinstance(r, Mapping) for r in rows):
        _require(required, list(rows[0]) if rows else [], len(rows))
        for number, row in enumerate(rows):
            if absent := [name for name in required if name not in row]:
                raise missing_columns(absent, list(row), f"the fields of row {number}")
        columns = {name: [row[name] for row in rows] for name in required}
    else:
        raise EpisodeError(
            f"rows must be a datasets.Dataset, a dict of columns or a list of dicts, got {type(rows).__name__}."
        )
    refuse_empty(columns, range(len(next(iter(columns.values())))))
    return columns


def refuse_empty(columns: Mapping[str, Sequence[Any]], numbers: Sequence[int]) -> None:
    """Raise where a cell is empty, naming row and column."""
    for name, values in columns.items():
        for number, value in zip(numbers, values, strict=True):
            if value is None:
                raise EpisodeError(f"row {number} has no value in column {name!r}; fill it in or leave the row out.")


def _require(required: Sequence[str], found: Sequence[str], count: int) -> None:
    """Refuse an empty set, then missing columns."""
    if not count:
        raise EpisodeError(f"there are no rows: a support set needs at least 1 row with the columns {list(required)}.")
    if missing := [name for name in required if name not in found]:
        raise missing_columns(missing, found, "the rows")


def pad_right(rows: Sequence[np.ndarray], value: int) -> Tensor:
    """Return rows of token ids as int64 `[S, L]`, padded on the right to the longest."""
    width = max(map(len, rows))
    padded = np.full((len(rows), width), value, dtype=np.int64)
    for number, row in enumerate(rows):
        padded[number, : len(row)] = row
    return torch.from_numpy(padded)


def attention_mask(rows: Sequence[np.ndarray]) -> Tensor:
    """Return int64 `[S, L]`: 1 on the tokens of each row, 0 on its padding."""
    lengths = np.array([len(row) for row in rows])
    return torch.from_numpy((np.arange(lengths.max()) < lengths[:, None]).astype(np.int64))
