"""Encoder of plain numbers: regression from a vector of inputs to a vector of targets."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from hfmeta.episodes.encoding.base import Encoder, Item
from hfmeta.episodes.errors import EpisodeError


class RegressionEncoder(Encoder):
    """Numbers in, numbers out: `inputs` float32 `[S, d]` and `labels` float32 `[S, o]`; single numbers become `[S, 1]`.

    Args:
        input_column: column of numbers or of lists of d numbers.
        target_column: column of numbers or of lists of o numbers.
    """

    task_type: ClassVar[str] = "regression"

    def prepare(self, columns: Mapping[str, Sequence[Any]], numbers: Sequence[int]) -> list[Item]:
        """Return one float vector each for input and target of a row."""
        inputs = _vectors(columns[self.input_column], self.input_column, numbers)
        labels = _vectors(columns[self.target_column], self.target_column, numbers)
        return [{"inputs": x, "labels": y} for x, y in zip(inputs, labels, strict=True)]

    def assemble(self, items: Sequence[Item], label_ids: Sequence[int] | None = None) -> dict[str, Tensor]:
        """Return the stacked tensors of one set."""
        if label_ids is not None:
            raise EpisodeError(
                "label ids belong to classification; regression reads its labels from the target column."
            )
        columns = {"inputs": self.input_column, "labels": self.target_column}
        for name, column in columns.items():
            if len(shapes := {item[name].shape for item in items}) > 1:
                raise EpisodeError(
                    f"column {column!r} holds vectors of unequal lengths: {sorted(s[0] for s in shapes)}."
                )
        return {name: torch.from_numpy(np.stack([item[name] for item in items])) for name in columns}


def _vectors(values: Sequence[Any], column: str, numbers: Sequence[int]) -> list[np.ndarray]:
    """Return each cell as float32 `[d]`."""
    vectors = []
    for number, value in zip(numbers, values, strict=True):
        try:
            vector = np.atleast_1d(np.asarray(value, dtype=np.float32))
        except (TypeError, ValueError):
            vector = np.empty((0, 0), dtype=np.float32)
        if vector.ndim != 1 or isinstance(value, str):
            raise EpisodeError(
                f"row {number} of column {column!r} holds {type(value).__name__}; a number or a list of numbers was expected."
            )
        vectors.append(vector)
    return vectors
