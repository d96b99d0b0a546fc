"""Sinusoid regression, an endless family of tasks made by arithmetic on counters."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from hfmeta.episodes.errors import whole_number
from hfmeta.episodes.generators import Episode, episodes_of_points, uniforms


class Sinusoid:
    """Tasks y = A sin(x - p) without noise: A ~ U[0.1, 5], p ~ U[0, pi], x ~ U[-5, 5].

    The task of a key is the same for every size of its sets: its amplitude and phase are drawn first.

    Args:
        support: points in the support set, S.
        query: points in the query set, Q.

    Raises:
        EpisodeError: an empty set.

    Source: Finn, Abbeel, Levine 2017, Model-agnostic meta-learning, section 5.1.

    Example:
        >>> episode = Sinusoid(support=5, query=10).task(seed=0, epoch=0, index=3)
        >>> episode["support"]["inputs"].shape, episode["query"]["labels"].shape, episode["task"]
        (torch.Size([5, 1]), torch.Size([10, 1]), 3)
    """

    amplitude = (0.1, 5.0)
    phase = (0.0, math.pi)
    x_range = (-5.0, 5.0)

    def __init__(self, support: int = 10, query: int = 10):
        self.support = whole_number("support", support, 1, "point")
        self.query = whole_number("query", query, 1, "point")

    def task(self, seed: int, epoch: int, index: int) -> Episode:
        """Return the episode of (seed, epoch, index); its task id is the index."""
        return self.tasks(seed, [(epoch, index)])[0]

    def tasks(self, seed: int, keys: Sequence[tuple[int, int]]) -> list[Episode]:
        """Return the episodes of many keys at once: `inputs` and `labels`, float32 `[S, 1]` and `[Q, 1]`."""
        unit = uniforms(seed, keys, 2 + self.support + self.query)
        low, high = np.array([self.amplitude, self.phase, *[self.x_range] * (self.support + self.query)]).T
        drawn = low + (high - low) * unit
        amplitude, phase, x = drawn[:, :1], drawn[:, 1:2], drawn[:, 2:]
        y = amplitude * np.sin(x - phase)
        return episodes_of_points(x, y, self.support, keys)
