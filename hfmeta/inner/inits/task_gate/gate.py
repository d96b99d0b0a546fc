"""The task gate of HSML: where a task starts is the learned values times gates that its own support set decides.

    g = embedding of the support rows,  h = tree(g),  start = theta * gates([g; h])         (Yao et al. 2019, equations 2 to 11)

Here: how the parts meet. The parts: rows.py, embedding.py, tree.py, gates.py; the options: hfmeta.algorithms.hsml.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor, nn

from hfmeta.inner.errors import NOT_FINITE_AT_START, NonFiniteLossError
from hfmeta.inner.inits.task_gate.embedding import PooledEmbedding, RecurrentEmbedding
from hfmeta.inner.inits.task_gate.gates import Gates, Ones
from hfmeta.inner.inits.task_gate.rows import ConvolutionalRows, FeatureRows, RawRows, present
from hfmeta.inner.inits.task_gate.tree import Tree
from hfmeta.inner.inits.task_gate.usage import ClusterUsage
from hfmeta.inner.types import Batch, Params, Start

logger = logging.getLogger(__name__)


class Portrait(NamedTuple):
    """What the task gate makes of a batch of support sets.

    Args:
        embedding: g, `[T, d]`.
        assignments: of each level of the tree, `[T, nodes below, clusters]`; empty without a tree.
        gates: by tensor name, `[T, ...]`.
        error: of the reconstruction, `[T]`; None without one.
    """

    embedding: Tensor
    assignments: list[Tensor]
    gates: Params
    error: Tensor | None


class TaskGate(nn.Module):
    """Learned values times gates that the support set decides.

    Args:
        begin: the init whose start is gated.
        rows: how a support row becomes a vector.
        embedding: how the vectors become g.
        tree: how g becomes h; None: h is g.
        gates: what of the start is gated, and how.
        xi: weight of the reconstruction in the outer loss.
        embed_rows: rows of the support set that are embedded, the first ones; None: all.
    """

    def __init__(
        self,
        begin: nn.Module,
        rows: RawRows | FeatureRows | ConvolutionalRows,
        embedding: RecurrentEmbedding | PooledEmbedding,
        tree: Tree | None,
        gates: Gates | Ones,
        xi: float,
        embed_rows: int | None = None,
    ):
        super().__init__()
        self.begin, self.rows, self.embedding, self.tree, self.gates = begin, rows, embedding, tree, gates
        self.xi, self.embed_rows = xi, embed_rows
        self.usage = ClusterUsage()
        self._told_of_one_row = False

    def forward(self, theta: Params, support: Batch, features: Callable[[], Tensor]) -> Start:
        """The gated start `[T, ...]` and the weighted reconstruction loss `[T]`.

        Args:
            theta: without task dimension.
            support: `[T, S, ...]`.
            features: the inputs of the head, or other pooled features, `[T, S, d]`.

        Raises:
            NonFiniteLossError: names the tasks whose gates are not finite.
        """
        found = self.portrait(support, features)
        if self.training and torch.is_grad_enabled() and found.assignments:
            self.usage.add(found.assignments)
        start: Params = self.begin(theta, support, features)
        params = {name: value * found.gates[name] if name in found.gates else value for name, value in start.items()}
        return Start(params, None if found.error is None else self.xi * found.error)

    def portrait(self, support: Batch, features: Callable[[], Tensor]) -> Portrait:
        """Embedding, assignments and gates of a batch of support sets; see `forward`."""
        if self.embed_rows is not None:
            count, of_all = self.embed_rows, features
            support = {name: value[:, :count] for name, value in support.items()}

            def features() -> Tensor:
                return of_all()[:, :count]

        if support["labels"].shape[1] == 1 and self.embedding.sees_order and not self._told_of_one_row:
            self._told_of_one_row = True
            logger.warning(
                'support sets of one row: a recurrent embedding takes a single step then; embedding="mean" does as much with less.'
            )
        g, error = self.embedding(self.rows(support, features), present(support["labels"]))
        h, assignments = (g, []) if self.tree is None else self.tree(g)
        z = torch.cat([g, h], 1)
        check_gates(z)
        return Portrait(g, assignments, self.gates(z), error)

    @property
    def own_classes(self) -> bool | None:
        """Whether labels are dealt afresh in each episode, where the gated init makes heads; None where it does not."""
        return getattr(self.begin, "own_classes", None)

    @own_classes.setter
    def own_classes(self, value: bool) -> None:
        """Tell the gated init."""
        setattr(self.begin, "own_classes", value)  # noqa: B010 - a plain attribute, which a type checker takes for a tensor

    @property
    def most_classes(self) -> int | None:
        """How many classes the code of a row's label can tell apart; None where labels are no classes."""
        return self.rows.most_classes

    def summary(self) -> dict[str, float]:
        """Mean assignment of each cluster over the last training tasks, for the log."""
        return self.usage.summary()


def check_gates(z: Tensor) -> None:
    """Raise `NonFiniteLossError` naming the batch positions whose gates, made from z `[T, 2 d]`, are not finite."""
    finite = torch.isfinite(z.detach()).all(1)
    if not bool(finite.all()):
        raise NonFiniteLossError((~finite).nonzero().flatten().tolist(), NOT_FINITE_AT_START)
