"""Endless task families: the contract of a generator, and counter-based random numbers that make whole batches at once.

The families themselves (sinusoid) live in `hfmeta.corpora`. The numbers are a hash of (seed, epoch, index, position), so an
episode does not depend on which others are made with it, nor on the numpy version.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol, TypedDict, runtime_checkable

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor


class Episode(TypedDict):
    """One task's support set `{name: [S, ...]}`, query set `{name: [Q, ...]}` and integer id."""

    support: dict[str, Tensor]
    query: dict[str, Tensor]
    task: int


@runtime_checkable
class EpisodeGenerator(Protocol):
    """A family of tasks without a table of rows.

    `task` is a pure function of its three arguments. Support and query are tensors by model argument name, or rows (a dict of
    columns, or a list of dicts) that the dataset then encodes. A generator may also have
    `tasks(seed, keys: list[(epoch, index)]) -> list[episode]`, which must return the same episodes, faster.
    """

    def task(self, seed: int, epoch: int, index: int) -> dict[str, Any]:
        """Return `{"support": ..., "query": ..., "task": int}`."""
        ...


_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_M1, _M2 = np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB)
_MASK = (1 << 64) - 1


def _mix(z: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
    """Return the finaliser of splitmix64, element by element; arrays wrap silently, as wanted."""
    z = (z ^ (z >> np.uint64(30))) * _M1
    z = (z ^ (z >> np.uint64(27))) * _M2
    return z ^ (z >> np.uint64(31))


def uniforms(seed: int, keys: Sequence[tuple[int, int]], count: int) -> npt.NDArray[np.float64]:
    """Return `count` uniform numbers of [0, 1) for each (epoch, index) key.

    Args:
        seed: any integer.
        keys: T pairs (epoch, index).
        count: numbers per key.

    Returns:
        float64 `[T, count]`; row t depends on (seed, keys[t]) only, and its first n numbers do not depend on `count`.

    Source: splitmix64 (Steele, Lea, Flood 2014, Fast splittable pseudorandom number generators), seeded by a chain of its mixer.
    """
    table = np.array([(epoch & _MASK, index & _MASK) for epoch, index in keys], dtype=np.uint64).reshape(len(keys), 2)
    state = _mix(np.array([seed & _MASK], dtype=np.uint64) + _GOLDEN)
    state = _mix((state ^ table[:, 0]) + _GOLDEN)
    state = _mix((state ^ table[:, 1]) + _GOLDEN)
    steps = np.arange(1, count + 1, dtype=np.uint64) * _GOLDEN
    return (_mix(state[:, None] + steps) >> np.uint64(11)).astype(np.float64) * 2.0**-53


def episodes_of_points(
    x: npt.NDArray[np.float64], y: npt.NDArray[np.float64], support: int, keys: Sequence[tuple[int, int]]
) -> list[Episode]:
    """Return the episodes of T functions of one number, each known at some points.

    Args:
        x: `[T, support + Q]`; the first points of a function are its support set.
        y: its values there, of the same shape.
        support: points in the support set, S.
        keys: T pairs (epoch, index); the index is the task id.

    Returns:
        `inputs` and `labels`, float32 `[S, 1]` and `[Q, 1]`.
    """
    inputs, labels = (torch.from_numpy(values.astype(np.float32)).unsqueeze(-1) for values in (x, y))
    return [
        {
            "support": {"inputs": xs[:support], "labels": ys[:support]},
            "query": {"inputs": xs[support:], "labels": ys[support:]},
            "task": index,
        }
        for xs, ys, (_, index) in zip(inputs.unbind(0), labels.unbind(0), keys, strict=True)
    ]
