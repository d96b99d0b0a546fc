"""Scores over tasks: a task gives one number, and intervals are over tasks, never over examples.

Here: plain functions of arrays or tensors. Not here: running a model (trainer, baselines) and printing tables (reporting room).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor

from hfmeta.inner.errors import HfmetaError

IGNORED = -100


@dataclass(frozen=True)
class PairedDifference:
    """How a second set of scores differs from a first one over the same tasks.

    Args:
        mean: mean over tasks of second minus first.
        ci95: half width of its 95 % interval; nan for one task.
        relative_error_reduction: share of the first one's mean error (1 - mean score) that the second removes; negative where it adds
            errors, nan where the first makes none. For scores that are accuracies, as fractions.
        tasks: number of tasks.
    """

    mean: float
    ci95: float
    relative_error_reduction: float
    tasks: int


def mean_ci95(values: ArrayLike | Tensor) -> tuple[float, float]:
    """Mean over tasks and half width of its 95 % interval, 1.96 * std / sqrt(n).

    The standard deviation divides by n - 1: the tasks are a sample of those that could be drawn. (The code of MAML and MAML++ divides
    by n, which is less than 0.1 % narrower at their 600 tasks.)

    Args:
        values: [T], one number per task.

    Returns:
        The mean and the half width; the half width of a single task is nan.

    Raises:
        HfmetaError: no values, or not one number per task.
    """
    numbers = _numbers(values, "values")
    half_width = 1.96 * float(numbers.std(ddof=1)) / math.sqrt(len(numbers)) if len(numbers) > 1 else math.nan
    return float(numbers.mean()), half_width


def paired_difference(first: ArrayLike | Tensor, second: ArrayLike | Tensor) -> PairedDifference:
    """Second minus first, task by task: far narrower than two separate intervals when the tasks are the same.

    Args:
        first: [T], scores of the one (say, a baseline), as fractions.
        second: [T], scores of the other on the same tasks in the same order.

    Raises:
        HfmetaError: different numbers of tasks, or none.
    """
    a, b = _numbers(first, "first"), _numbers(second, "second")
    if len(a) != len(b):
        raise HfmetaError(f"a paired difference needs the same tasks on both sides: got {len(a)} and {len(b)} scores.")
    mean, half_width = mean_ci95(b - a)
    errors = 1.0 - float(a.mean())
    return PairedDifference(mean, half_width, mean / errors if errors > 0 else math.nan, len(a))


def task_accuracy(logits: Tensor, labels: Tensor) -> Tensor:
    """Share of each task's rows (or tokens) whose largest logit is the label's.

    Args:
        logits: [T, Q, C], or [T, Q, L, C] for tokens.
        labels: [T, Q] or [T, Q, L], int64; -100 is left out.

    Returns:
        [T], float64; nan for a task without a single label.

    Raises:
        HfmetaError: shapes that do not fit.
    """
    if logits.shape[:-1] != labels.shape or labels.dim() < 2:
        raise HfmetaError(
            f"accuracy per task needs logits [T, Q, C] and labels [T, Q]: got shapes {list(logits.shape)} and {list(labels.shape)}."
        )
    counted = (labels != IGNORED).flatten(1)
    right = (logits.argmax(-1) == labels).flatten(1) & counted
    return right.sum(1).double() / counted.sum(1).double()


def adaptation_gain(before: Tensor | Sequence[float], after: Tensor | Sequence[float]) -> Tensor:
    """What adapting brought to each task: score after minus score before.

    Args:
        before: [T], scores of the learned initialisation itself.
        after: [T], scores after the inner loop, same tasks.

    Returns:
        [T], float64.

    Raises:
        HfmetaError: different numbers of tasks, or none.
    """
    a, b = _numbers(before, "before"), _numbers(after, "after")
    if len(a) != len(b):
        raise HfmetaError(
            f"an adaptation gain needs the same tasks before and after: got {len(a)} and {len(b)} scores."
        )
    return torch.from_numpy(b - a)


def _numbers(values: ArrayLike | Tensor, name: str) -> np.ndarray:
    if isinstance(values, Tensor):
        values = values.detach().cpu().double().numpy()
    numbers = np.asarray(values, dtype=np.float64)
    if numbers.ndim != 1 or len(numbers) == 0:
        raise HfmetaError(
            f"{name} must hold one number for each of at least one task: got an array of shape {list(numbers.shape)}."
        )
    return numbers
