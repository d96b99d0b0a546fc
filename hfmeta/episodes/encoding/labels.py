"""Class labels of rows -> ids 0..C-1. Per-episode ids of N-way episodes come from the draw instead."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from hfmeta.episodes.errors import EpisodeError, listing


class Labels:
    """The map from label values to ids.

    Args:
        names: the classes in id order; None maps the distinct labels of each set of rows, sorted, to 0..C-1.
    """

    def __init__(self, names: Sequence[Any] | None):
        self.names = None if names is None else [_plain(name, "label_names") for name in names]
        if self.names is not None and len(set(self.names)) != len(self.names):
            raise EpisodeError(f"label_names has repeated entries: {listing(self.names)}.")

    def classes(self, values: Sequence[Any], column: str) -> list[Any]:
        """Return the classes in id order."""
        if self.names is not None:
            return self.names
        return sorted({_plain(value, column) for value in values}, key=lambda v: (isinstance(v, str), v))

    def ids(self, values: Sequence[Any], column: str) -> list[int]:
        """Return the id of each value.

        Raises:
            EpisodeError: a value is no class label, or not among the names (says the nearest).
        """
        classes = self.classes(values, column)
        table = {name: number for number, name in enumerate(classes)}
        # A ClassLabel column holds integers where the names are text.
        numbers_stand_for_names = self.names is not None and all(isinstance(name, str) for name in classes)
        ids = []
        for value in values:
            value = _plain(value, column)
            if value in table:
                ids.append(table[value])
            elif numbers_stand_for_names and isinstance(value, int) and 0 <= value < len(classes):
                ids.append(value)
            else:
                near = difflib.get_close_matches(str(value), [str(name) for name in classes], n=1)
                hint = f" Did you mean {near[0]!r}?" if near else ""
                raise EpisodeError(
                    f"column {column!r} has the label {value!r}, which is not one of the {len(classes)} known classes: "
                    f"{listing(classes)}.{hint}"
                )
        return ids

    def tensor(self, values: Sequence[Any], column: str, label_ids: Sequence[int] | None) -> Tensor:
        """Return int64 labels `[S]`: `label_ids` where given, else the mapped values."""
        return torch.tensor(self.ids(values, column) if label_ids is None else label_ids, dtype=torch.int64)


def _plain(value: Any, where: str) -> str | int:
    """Return a label as text or integer; refuse fractions, lists and the like."""
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, bool):
        return int(value)
    if isinstance(value, str | int):
        return value
    raise EpisodeError(f"{where} holds {value!r}; a class label is text or a whole number.")
