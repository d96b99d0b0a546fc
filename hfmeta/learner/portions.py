"""The support set in portions: one inner step on each, where `inner_batch_size` asks for it (CMAML's passes over a user's rows)."""

from __future__ import annotations

import torch
from torch import Tensor

from hfmeta.inner.errors import HfmetaError
from hfmeta.inner.types import Batch

_MARKS = -100


class Portions:
    """Portions of a support batch, the same number for every task of the batch.

    A pass over the support set takes one step on each portion. Where tasks are of unequal size, the smaller ones have portions
    without a row: `active` says so, and such a step must leave them as they are.

    Args:
        support: `[T, S, ...]` with `labels`; rows whose labels are all -100 are padding, behind the others.
        size: rows in a portion, or None for all rows at once.

    Raises:
        HfmetaError: a task without any support row.
    """

    def __init__(self, support: Batch, size: int | None):
        labels = support["labels"]
        tasks, rows = labels.shape[:2]
        if size is None or size >= rows:
            self.batches: list[Batch] = [support]
            self.active: list[Tensor | None] = [None]
            return
        counts = _rows_that_count(labels)
        if bool((counts == 0).any()):
            raise HfmetaError(f"task {int((counts == 0).nonzero()[0])} of the batch has no support row to adapt to.")
        self.batches, self.active = [], []
        which = torch.arange(tasks, device=labels.device)[:, None]
        for first in range(0, int(counts.max()), size):
            at = torch.arange(first, min(first + size, int(counts.max())), device=labels.device).expand(tasks, -1)
            inside = at < counts[:, None]
            active = inside[:, 0]
            # Any row will do where there is none: a finite loss, which is not used.
            portion = {name: value[which, torch.where(inside, at, 0)] for name, value in support.items()}
            if not bool(inside.all()):
                unused = ~inside & active[:, None]
                shape = (*unused.shape, *[1] * (labels.dim() - 2))
                portion["labels"] = portion["labels"].masked_fill(unused.view(shape), _MARKS)
            self.batches.append(portion)
            self.active.append(None if bool(active.all()) else active)

    def __len__(self) -> int:
        return len(self.batches)


def _rows_that_count(labels: Tensor) -> Tensor:
    """Rows of each task that are not padding, `[T]`: float labels cannot mark any."""
    if labels.is_floating_point():
        return torch.full((labels.shape[0],), labels.shape[1], device=labels.device)
    return (labels != _MARKS).flatten(2).any(2).sum(1) if labels.dim() > 2 else (labels != _MARKS).sum(1)
