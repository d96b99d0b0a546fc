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
        causal: whether a label is predicted from the token before it, so that a row's first one is no target.

    Raises:
        HfmetaError: a task without any support row.
    """

    def __init__(self, support: Batch, size: int | None, causal: bool = False):
        labels = support["labels"]
        tasks, rows = labels.shape[:2]
        if size is None or size >= rows:
            self.batches: list[Batch] = [support]
            self.active: list[Tensor | None] = [None]
            return
        useful = _rows_with_target(labels, causal)
        if not bool(useful.any(1).all()):
            raise HfmetaError(f"task {int((~useful.any(1)).nonzero()[0])} of the batch has no support row to adapt to.")
        self.batches, self.active = [], []
        which = torch.arange(tasks, device=labels.device)[:, None]
        a_row = useful.int().argmax(1, keepdim=True)
        ends = rows - useful.flip(1).int().argmax(1, keepdim=True)
        for first in range(0, int(ends.max()), size):
            at = torch.arange(first, min(first + size, int(ends.max())), device=labels.device).expand(tasks, -1)
            inside = at < ends
            active = (useful.gather(1, at) & inside).any(1)
            # Any row with a target will do where there is none: a finite loss, which is not used.
            taken = torch.where(inside & active[:, None], at, a_row)
            portion = {name: value[which, taken] for name, value in support.items()}
            if not bool(inside.all()):
                unused = ~inside & active[:, None]
                shape = (*unused.shape, *[1] * (labels.dim() - 2))
                portion["labels"] = portion["labels"].masked_fill(unused.view(shape), _MARKS)
            self.batches.append(portion)
            self.active.append(None if bool(active.all()) else active)

    def __len__(self) -> int:
        return len(self.batches)


def _rows_with_target(labels: Tensor, causal: bool) -> Tensor:
    """Which rows a loss can be taken of, `[T, S]`: float labels cannot mark any as padding."""
    if labels.is_floating_point():
        return torch.ones(labels.shape[:2], dtype=torch.bool, device=labels.device)
    counted = labels != _MARKS
    return (counted[..., 1:] if causal else counted).flatten(2).any(2) if labels.dim() > 2 else counted
