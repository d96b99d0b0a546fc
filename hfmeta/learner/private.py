"""Who owns which part of the private network: the structures of training tasks, and pruning for any task.

Not here: Algorithm 1 itself and masks as bits (hfmeta.adapters.pruning), when a run prunes (hfmeta.phases), how masks enter the inner
loop (trajectory.py).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from torch import Tensor

from hfmeta.adapters.pruning import (
    Masks,
    MaskStore,
    RankPair,
    Stack,
    find_rank_pairs,
    find_stacks,
    keep_report,
    prune,
    thinnable_of,
    weights_of,
)
from hfmeta.adapters.pruning.store import FILE
from hfmeta.inner.errors import HfmetaError

SPLIT = "train"


def private_parts(names: Iterable[str]) -> list[Stack | RankPair]:
    """The private networks among parameter names: MLPs below a `private` module or adapter, and LoRAs."""
    known = list(names)
    # The names alone: layers of other stacks may be numbered with gaps.
    stacks = find_stacks(name for name in known if "private" in name.split(".layers.")[0])
    return [*stacks, *find_rank_pairs(known)]


def private_among(names: Iterable[str]) -> set[str]:
    """The tensors of whole private networks among parameter names; none where one is not whole (half of a LoRA, say)."""
    try:
        return {name for part in private_parts(names) for name in part.names}
    except HfmetaError:
        return set()


class PrivateNetworks:
    """The private part of a model, and for each training task the mask of what it kept.

    Args:
        algorithm: options such as those of `Cmaml`.
        theta: the adapted tensors by name.

    Raises:
        HfmetaError: nothing private adapts or none of it can be pruned, MLPs and LoRAs are mixed, or an option that does not fit.
    """

    def __init__(self, algorithm: Any, theta: Mapping[str, Tensor]):
        self.algorithm = algorithm
        self.parts = private_parts(theta)
        if not self.parts:
            raise HfmetaError(
                f"{type(algorithm).__name__} prunes a private network, but none adapts: no tensor is named "
                "<...private...>.layers.<i>.weight, and there is no LoRA. Use a Seq2SPG, a private-MLP adapter or a LoRA, and let "
                "`adapt` include it (all or private)."
            )
        kinds = {type(part) for part in self.parts}
        if len(kinds) > 1:
            raise HfmetaError(
                "the adapted tensors hold both private MLPs and LoRAs; pruning takes one kind. Say which by `adapt`."
            )
        own = "rank" if RankPair in kinds else "edge"
        self.granularity: str = algorithm.granularity or own
        if (self.granularity == "rank") != (own == "rank"):
            raise HfmetaError(
                f'granularity="{self.granularity}" does not fit: the private network is made of '
                + ('LoRAs, which are pruned by "rank".' if own == "rank" else 'MLPs, pruned by "edge" or "node".')
            )
        self.weights = weights_of(self.parts)
        """Names of the private weights, without biases: what L1 acts on."""
        self.thinnable = thinnable_of(self.parts)
        if not self.thinnable:
            raise HfmetaError(
                f"nothing of the private network can be pruned: its first and last layers stay whole, and {self.weights[0]} is in one "
                "of two. Give it three layers or more (a private_mlp adapter: hidden_sizes of two widths or more)."
            )
        self.shapes = {name: tuple(theta[name].shape) for part in self.parts for name in part.names}
        self.store = MaskStore(self.shapes)
        self.ids: list[str] = []
        """Ids of the training tasks, by the number that an episode calls them."""
        self.ready = False
        """Whether the run has pruned: from then on every task prunes before it adapts."""
        self._summary: dict[str, float] = {}

    def prune(self, values: Mapping[str, Tensor], names: Sequence[str] | None = None) -> Masks:
        """The masks of T tasks for their values `[T, ...]`; names are for messages."""
        options = self.algorithm
        return prune(
            {name: values[name] for name in self.shapes},
            self.parts,
            gamma=options.gamma,
            keep_ratio=options.keep_ratio,
            granularity=self.granularity,
            tasks=names,
        )

    def begin(self, ids: Sequence[str]) -> None:
        """Start anew with these training tasks, before any of them is pruned."""
        self.ids, self.store, self.ready = list(ids), MaskStore(self.shapes), False

    def expect(self, ids: Sequence[str]) -> None:
        """Go on with the structures of a checkpoint, which must be those of these training tasks.

        Raises:
            HfmetaError: the checkpoint's tasks are others.
        """
        known = set(ids)
        strange = [task for task in self.store.tasks(SPLIT) if task not in known]
        if strange or not len(self.store):
            raise HfmetaError(
                f"the checkpoint holds the structures of {len(self.store)} training tasks"
                + (f", among them {strange[0]!r}, which the training data does not have" if strange else "")
                + ". Resume with the data that it was trained on, or start a new run."
            )
        self.ids = list(ids)

    def keep(self, tasks: Sequence[int], masks: Mapping[str, Tensor]) -> None:
        """Keep the masks `[T, ...]` of training tasks with these numbers."""
        self.store.put(SPLIT, [self.id_of(task) for task in tasks], masks)

    def of(self, task: Tensor | None) -> Masks:
        """The masks `[T, ...]` of training tasks.

        Raises:
            HfmetaError: an episode that does not say whose it is, or a task that was never pruned.
        """
        if task is None:
            raise HfmetaError("private networks need to know whose episode it is: pass `task`, ids [T].")
        return self.store.get(SPLIT, [self.id_of(int(t)) for t in task], device=task.device)

    def id_of(self, task: int) -> str:
        """The id of a training task by its number."""
        return self.ids[task] if task < len(self.ids) else str(task)

    def summary(self) -> dict[str, float]:
        """Keep ratios and mean pairwise overlap of the training tasks' structures, for the log; empty before they are pruned."""
        return dict(self._summary) if self.ready else {}

    def finish(self) -> dict[str, float]:
        """All training tasks have their masks: from now on tasks prune before they adapt. Returns what is worth logging."""
        self.ready = True
        tasks = self.store.tasks(SPLIT)
        self._summary = {}
        if tasks:
            # A mean over a sample says as much, in bounded memory.
            sample = tasks[:: max(1, len(tasks) // 64)]
            found = keep_report(self.store.get(SPLIT, sample), self.parts).summary()
            if len(tasks) > 1 and self.thinnable:
                pairs = self.store.overlap(SPLIT, tasks, self.thinnable)
                found["structure_overlap"] = float((pairs.sum() - len(tasks)) / (len(tasks) * (len(tasks) - 1)))
            self._summary = found
        return self._summary

    # ---- files --------------------------------------------------------------------------------------------------------

    def save(self, folder: Path) -> None:
        """Write the masks of the training tasks into a checkpoint, if there are any."""
        if self.ready and len(self.store):
            self.store.save(folder)

    def load(self, folder: Path, ready: bool) -> None:
        """Read what `save` wrote; a published learner comes without the masks of its training tasks.

        Raises:
            HfmetaError: damaged masks, or masks of another model.
        """
        self.begin([])
        if not ready:
            return
        if (folder / FILE).is_file():
            self.store = MaskStore.load(folder, self.shapes)
        self.finish()
