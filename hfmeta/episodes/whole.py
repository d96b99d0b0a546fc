"""All rows of one task as tensors, for algorithms that look at a task by itself (pruning) rather than at an episode of it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor

from hfmeta.episodes.dataset import EpisodeDataset
from hfmeta.episodes.errors import EpisodeError
from hfmeta.episodes.sampling import NWayDraws
from hfmeta.episodes.sources import TableSource


def tasks_of(dataset: Any) -> list[int]:
    """The numbers by which episodes call their tasks, for a table with a task column.

    Raises:
        EpisodeError: a dataset without a fixed list of tasks: an endless family, or N-way episodes.
    """
    source = getattr(dataset, "source", None)
    if not isinstance(source, TableSource) or isinstance(source.draws, NWayDraws):
        raise EpisodeError(
            f"{type(dataset).__name__} has no fixed list of tasks: a structure for each task needs episodes by task column, "
            "EpisodeDataset(rows, task_column=...)."
        )
    return [int(task) for task in source.draws.tasks]


def whole_tasks(dataset: EpisodeDataset, tasks: Sequence[int]) -> dict[str, Tensor]:
    """Every row of some tasks, stacked and padded like a support batch.

    Args:
        dataset: episodes by task column.
        tasks: T numbers out of `tasks_of`.

    Returns:
        `{name: [T, S, ...]}` with `labels`; padded rows have labels -100.
    """
    source, encoder = dataset.source, dataset.encoder
    assert isinstance(source, TableSource)
    assert encoder is not None
    sets = [encoder.assemble(source.prepared.gather(source.draws.index.rows(task).tolist(), encoder)) for task in tasks]
    batch = dataset.collate(
        [{"support": one, "query": one, "task": task} for one, task in zip(sets, tasks, strict=True)]
    )
    support: dict[str, Tensor] = batch["support"]
    return support
