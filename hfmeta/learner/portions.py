"""The support set in portions: one inner step on each, where `inner_batch_size` asks for it (CMAML's passes over a user's rows)."""

from __future__ import annotations

import torch
from torch import Tensor

from hfmeta.inner.errors import HfmetaError
from hfmeta.inner.types import Batch

_MARKS = -100
_SOURCE = ("input_ids", "attention_mask", "token_type_ids", "position_ids")


class Portions:
    """Portions of a support batch, the same number for every task of the batch.

    A pass over the support set takes one step on each portion. Where tasks are of unequal size, the smaller ones have portions
    without a row: `active` says so, and such a step must leave them as they are.

    Args:
        support: `[T, S, ...]` with `labels`; rows whose labels are all -100 are padding, behind the others.
        size: rows in a portion, or None for all rows at once.
        kind: of the learner; in a `causal-lm` a label is predicted from the token before it, so that a row's first one is no target.

    Raises:
        HfmetaError: a task without any support row.
    """

    def __init__(self, support: Batch, size: int | None, kind: str | None = None):
        labels = support["labels"]
        tasks, rows = labels.shape[:2]
        if size is None or size >= rows:
            self.batches: list[Batch] = [trimmed(support, kind)]
            self.active: list[Tensor | None] = [None]
            return
        useful = _rows_with_target(labels, kind == "causal-lm")
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
            self.batches.append(trimmed(portion, kind))
            self.active.append(None if bool(active.all()) else active)

    def __len__(self) -> int:
        return len(self.batches)


def trimmed(batch: Batch, kind: str | None = None) -> Batch:
    """A batch without the columns that are padding in all its rows: few rows of a user are as long as the longest of a set.

    Args:
        batch: `[T, rows, ...]`; tokens are padded on the right, `input_ids` where `attention_mask` is 0, `labels` with -100.
        kind: of the learner; targets of the kind `tokens` (sequence to sequence) have a length of their own, others stand beside the
            tokens.
    """
    mask, labels = batch.get("attention_mask"), batch["labels"]
    if mask is None or mask.dim() != 3:
        return batch
    width, beside = _width(mask != 0), kind != "tokens" and labels.shape == mask.shape
    if beside:
        width = max(width, _width(labels != _MARKS))
    cut = {name: value[..., :width] for name, value in batch.items() if name in _SOURCE and value.shape == mask.shape}
    if beside:
        cut["labels"] = labels[..., :width]
    elif kind == "tokens":
        cut["labels"] = labels[..., : _width(labels != _MARKS)]
    # Models call `view` on them.
    return {**batch, **{name: value.contiguous() for name, value in cut.items()}}


def _width(used: Tensor) -> int:
    """How many columns of `[T, rows, L]` there are up to the last one in use, at least one."""
    columns = used.flatten(0, 1).any(0).nonzero()
    return int(columns.max()) + 1 if len(columns) else 1


def _rows_with_target(labels: Tensor, causal: bool) -> Tensor:
    """Which rows a loss can be taken of, `[T, S]`: float labels cannot mark any as padding."""
    if labels.is_floating_point():
        return torch.ones(labels.shape[:2], dtype=torch.bool, device=labels.device)
    counted = labels != _MARKS
    return (counted[..., 1:] if causal else counted).flatten(2).any(2) if labels.dim() > 2 else counted
