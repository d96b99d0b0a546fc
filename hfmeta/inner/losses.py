"""Per-task losses from logits, for evaluators that pass the rows of many tasks through a model at once.

A model's own loss averages over every row it is given, whoever they belong to; these functions average within each task and
equal the stock losses of transformers for one task (a test and a check at first use hold that).
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from hfmeta.inner.errors import HfmetaError

KINDS = ("classification", "regression", "causal-lm", "tokens")


def task_losses(kind: str, logits: Tensor, labels: Tensor) -> Tensor:
    """Mean loss of each task.

    Args:
        kind: `classification` (logits `[T, rows, C]`), `regression` (`[T, rows, d]`), `causal-lm` (`[T, rows, L, V]`, the label
            of a token is the next one) or `tokens` (`[T, rows, L, V]`, aligned).
        labels: `[T, rows]`, `[T, rows, d]` or `[T, rows, L]`; -100 marks what does not count.

    Returns:
        `[T]`, in nats, or squared units for regression.
    """
    if kind == "regression":
        return (logits - labels.view_as(logits)).square().flatten(1).mean(1)
    if kind == "causal-lm":
        logits, labels = logits[..., :-1, :], labels[..., 1:]
    if kind not in KINDS:
        raise HfmetaError(f"no per-task loss of kind {kind!r}; there are {', '.join(KINDS)}.")
    nll = F.cross_entropy(logits.flatten(0, -2), labels.flatten(), ignore_index=-100, reduction="none")
    counted = (labels != -100).flatten(1).sum(1)
    return nll.view(labels.shape[0], -1).sum(1) / counted


def task_accuracies(logits: Tensor, labels: Tensor) -> Tensor:
    """Share of right answers in each task: logits `[T, Q, C]`, labels `[T, Q]` (-100 does not count) to `[T]`."""
    counted = labels != -100
    right = (logits.argmax(-1) == labels) & counted
    return right.sum(-1).to(torch.float32) / counted.sum(-1)
