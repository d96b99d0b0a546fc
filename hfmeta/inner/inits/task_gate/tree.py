"""Hierarchical soft clustering: a task's embedding g climbs a tree of clusters to one vector h (Yao et al. 2019, section 4.2).

Level 1 assigns g to centres by distance; a later level assigns each node below to its own nodes, by a linear layer (the authors'
code) or by distance (the paper). All arithmetic and initial values are those of the authors' code.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from hfmeta.inner.errors import HfmetaError
from hfmeta.inner.inits.task_gate.initial import Like, glorot, like

ASSIGNMENTS = ("linear", "gaussian")


class Tree(nn.Module):
    """Soft clusters on clusters, up to one root.

    Args:
        widths: clusters of each level, such as (4, 2, 1); the last is the root, 1.
        size: d.
        sigma: width of the first level's clusters: p = softmax(-|g - c|^2 / (2 sigma^2)).
        assignment: of later levels, `linear` or `gaussian` (of width one).
        where: type and device.

    Raises:
        HfmetaError: widths that are not whole positive numbers ending in 1.
    """

    def __init__(self, widths: Sequence[int], size: int, sigma: float, assignment: str, where: Like):
        super().__init__()
        check_widths(widths)
        self.variance = sigma**2
        self.levels = nn.ModuleList([_Level(widths[0], size, "first", where)])
        self.levels.extend(_Level(width, size, assignment, where) for width in widths[1:])

    @property
    def widths(self) -> list[int]:
        """Clusters of each level."""
        return [level.width for level in self._levels()]

    def forward(self, g: Tensor) -> tuple[Tensor, list[Tensor]]:
        """Climb the tree.

        Args:
            g: `[T, d]`.

        Returns:
            h `[T, d]`, and how each level assigns the nodes below it: `[T, 1, clusters]` for the first level, `[T, nodes below,
            clusters]` for others; each row sums to one.
        """
        below, assignments = g.unsqueeze(1), []
        for level in self._levels():
            p = level.assign(below, self.variance)
            below = (p.unsqueeze(-1) * level.transform(below)).sum(1)
            assignments.append(p)
        return below.squeeze(1), assignments

    def add_clusters(self, count: int, generator: torch.Generator) -> None:
        """Give the first level further clusters; what the others hold stays as it is.

        Args:
            count: how many.
            generator: draws them.

        Raises:
            HfmetaError: not at least one, or a tree that is nothing but a root.
        """
        first: _Level = self._levels()[0]
        if isinstance(count, bool) or not isinstance(count, int) or count < 1:
            raise HfmetaError(f"add_clusters takes a whole number of at least 1, not {count!r}.")
        if len(self.levels) == 1:
            raise HfmetaError(
                "this tree is nothing but its root, tree=[1]: it has no clusters to add to. Train with a tree such as [4, 2, 1]."
            )
        first.add(count, generator)

    def _levels(self) -> list[_Level]:
        return [level for level in self.levels if isinstance(level, _Level)]


class _Level(nn.Module):
    """One level: who belongs to which cluster, and what a cluster makes of it.

    Args:
        width: clusters.
        size: d.
        assignment: `first`, `linear` or `gaussian`.
        where: type and device.
    """

    def __init__(self, width: int, size: int, assignment: str, where: Like):
        super().__init__()
        self.width, self.assignment = width, assignment
        self.weight = glorot((width, size, size), size, size, where)
        self.bias = glorot((width, size), 1, size, where)
        # A single cluster has everything, so it needs no place.
        self.centres = glorot((width, size), 1, size, where) if width > 1 else None
        self.offsets = glorot((width,), 1, 1, where) if width > 1 and assignment != "first" else None

    def assign(self, below: Tensor, variance: float) -> Tensor:
        """Shares `[T, nodes below, width]` of `below` `[T, nodes below, d]`."""
        if self.centres is None:
            return below.new_ones(*below.shape[:2], 1)
        if self.assignment == "linear":
            assert self.offsets is not None
            return torch.softmax(below @ self.centres.T + self.offsets, -1)
        distance = (below.unsqueeze(2) - self.centres).square().sum(-1)
        if self.offsets is None:
            return torch.softmax(-distance / (2 * variance), -1)
        return torch.softmax(-(distance + self.offsets) / 2, -1)

    def transform(self, below: Tensor) -> Tensor:
        """tanh(x W + b) of every node below in every cluster, `[T, nodes below, width, d]`."""
        size = below.shape[-1]
        joint = self.weight.transpose(0, 1).reshape(size, -1)
        return torch.tanh((below @ joint).unflatten(-1, (self.width, size)) + self.bias)

    def add(self, count: int, generator: torch.Generator) -> None:
        """Append clusters drawn as the first ones were."""
        size, where = self.bias.shape[1], like(self.bias)

        def longer(old: nn.Parameter, fan_in: int) -> nn.Parameter:
            limit = (6 / (fan_in + size)) ** 0.5
            drawn = torch.rand((count, *old.shape[1:]), generator=generator, dtype=torch.float64) * 2 * limit - limit
            return nn.Parameter(torch.cat([old.detach(), drawn.to(**where)]))

        assert self.centres is not None
        self.weight, self.bias, self.centres = longer(self.weight, size), longer(self.bias, 1), longer(self.centres, 1)
        self.width += count


def check_widths(widths: Sequence[int]) -> None:
    """Raise HfmetaError where a tree cannot be built of these widths."""
    whole = all(isinstance(width, int) and not isinstance(width, bool) and width > 0 for width in widths)
    if not widths or not whole or widths[-1] != 1:
        raise HfmetaError(
            f"tree must be widths of at least 1 that end in 1, the root, such as [4, 2, 1] (or [] for no tree), not {list(widths)!r}."
        )
