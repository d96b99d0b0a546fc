"""A learner's clusters of tasks: further ones when new tasks arrive, too many for the tasks there are, and what they make of tasks."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from hfmeta.algorithms import Hsml
from hfmeta.inner.errors import HfmetaError
from hfmeta.inner.inits.task_gate import Portrait, TaskGate, Tree

if TYPE_CHECKING:
    from hfmeta.learner.core import MetaLearner

logger = logging.getLogger(__name__)
Array = NDArray[np.float64]


@dataclass(frozen=True)
class Portraits:
    """What a task gate makes of N tasks.

    Args:
        embedding: g, `[N, d]`.
        clusters: how much of each task is in each cluster, `[N, clusters]`, by level; without the root.
        gates: mean gate of each adapted tensor, `[N]` by name.
    """

    embedding: Array
    clusters: list[Array]
    gates: dict[str, Array]


def add_clusters(learner: MetaLearner, count: int, seed: int = 0) -> None:
    """Give the first level of a learner's tree further clusters; what it has learned of the others stays as it is.

    Every task is then shared with the new clusters too, so train on, old tasks included: a trainer made before does not know of them,
    make another one. Saving writes the wider tree.

    Args:
        learner: changed in place.
        count: how many clusters more.
        seed: draws them.

    Raises:
        HfmetaError: a learner without a tree, or a count below 1.
    """
    gate = task_gate(learner)
    if gate.tree is None:
        raise HfmetaError(
            "this learner has no tree (tree=[]), so there are no clusters to add to. Train with a tree such as [4, 2, 1]."
        )
    gate.tree.add_clusters(count, torch.Generator().manual_seed(seed))
    algorithm: Any = learner.algorithm
    algorithm.tree = gate.tree.widths


def check_clusters(learner: MetaLearner, tasks: int) -> None:
    """Warn where the first level has more clusters than there are training tasks (0: not known, or without an end)."""
    tree = getattr(learner.init, "tree", None)
    if tasks and isinstance(tree, Tree) and tree.widths[0] > tasks:
        logger.warning(
            "the tree has %d clusters at its first level and there are %d training tasks or classes: clusters cannot stand for "
            "kinds of tasks. Use at most %d, or more tasks.",
            tree.widths[0],
            tasks,
            tasks,
        )


def task_portraits(learner: MetaLearner, episodes: Any, batch_size: int = 100) -> Portraits:
    """Embeddings, cluster assignments and mean gates of episodes' tasks, by their support sets.

    Args:
        learner: of HSML; left as it is.
        episodes: a dataset of N episodes with `collate`.
        batch_size: tasks at a time.

    Raises:
        HfmetaError: a learner without a task gate.
    """
    gate = task_gate(learner)
    device = next(learner.model.parameters()).device
    was_training = learner.training
    learner.eval()
    found: list[Portrait] = []
    try:
        with torch.no_grad():
            for first in range(0, len(episodes), batch_size):
                rows = [episodes[place] for place in range(first, min(first + batch_size, len(episodes)))]
                support = {name: value.to(device) for name, value in episodes.collate(rows)["support"].items()}
                found.append(_portrait(learner, gate, support))
    finally:
        learner.train(was_training)
    levels = range(len(found[0].assignments) - 1)
    shares = [_shares(portrait.assignments) for portrait in found]
    return Portraits(
        embedding=_stacked([portrait.embedding for portrait in found]),
        clusters=[_stacked([share[level] for share in shares]) for level in levels],
        gates={
            name: _stacked([portrait.gates[name].flatten(1).mean(1) for portrait in found]) for name in found[0].gates
        },
    )


def task_gate(learner: MetaLearner) -> TaskGate:
    """The task gate of a learner.

    Raises:
        HfmetaError: its algorithm has none.
    """
    if not isinstance(learner.init, TaskGate):
        raise HfmetaError(
            f"{type(learner.algorithm).__name__} has no task gate, so no clusters; that is what {Hsml.__name__} has."
        )
    return learner.init


def _portrait(learner: MetaLearner, gate: TaskGate, support: dict[str, Tensor]) -> Portrait:
    evaluator = learner.evaluator(support)
    return gate.portrait(support, lambda: learner.features(evaluator.bind(support), support))


def _shares(assignments: Sequence[Tensor]) -> list[Tensor]:
    """Each task's share in the clusters of every level, `[T, clusters]`: what flows into a node is what its nodes below have."""
    shares: list[Tensor] = []
    for p in assignments:
        below = p.new_ones(*p.shape[:2]) if not shares else shares[-1]
        shares.append((below.unsqueeze(-1) * p).sum(1))
    return shares


def _stacked(parts: Sequence[Tensor]) -> Array:
    return torch.cat(list(parts)).double().cpu().numpy()
