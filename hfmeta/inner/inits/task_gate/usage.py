"""How much each cluster is used by the tasks of training, and which ones have died."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from torch import Tensor

logger = logging.getLogger(__name__)

WINDOW = 1000
"""Tasks that the means go back, about."""
DEAD = 0.02
"""Share of what a cluster would have if all were equal, below which it counts as dead."""


class ClusterUsage:
    """Mean assignment of each cluster over the last tasks: exact for the first `WINDOW` tasks, then a moving mean of that length.

    Not part of a checkpoint: after resuming, the window starts anew. A cluster is named by its level and its place, from 1.
    """

    def __init__(self) -> None:
        self.seen = 0
        self.means: list[Tensor] = []
        self._told: set[str] = set()

    def add(self, assignments: Sequence[Tensor]) -> None:
        """Count the tasks of a pass: assignments `[T, nodes below, clusters]` of every level."""
        tasks = assignments[0].shape[0]
        self.seen += tasks
        found = [p.detach().mean((0, 1)) for p in assignments]
        if [mean.shape for mean in found] != [mean.shape for mean in self.means]:
            self.means, self.seen = found, tasks
            return
        share = tasks / min(self.seen, max(WINDOW, tasks))
        self.means = [old.to(new).lerp(new, share) for old, new in zip(self.means, found, strict=True)]

    def summary(self) -> dict[str, float]:
        """Mean assignment of each cluster, for the log; warns, once each, of those that have died."""
        described = {}
        for level, means in enumerate(self.means, 1):
            if len(means) == 1:
                continue
            for place, mean in enumerate(means.tolist(), 1):
                name = f"cluster_{level}.{place}"
                described[name] = mean
                if self.seen >= WINDOW and mean < DEAD / len(means) and name not in self._told:
                    self._told.add(name)
                    logger.warning(
                        "cluster %d.%d has died: over the last %d tasks or so it was assigned %.2g of a task on average, an equal "
                        "share being %.2g. Use fewer clusters on level %d, or a larger sigma.",
                        level,
                        place,
                        WINDOW,
                        mean,
                        1 / len(means),
                        level,
                    )
        return described
