"""Models that know a training task by its number: a speaker table's row is an argument of their forward pass."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from hfmeta.inner.types import Batch

UNSEEN = -1


def with_speakers(model: Any, batch: Batch, task: Tensor | None, known: bool) -> Batch:
    """A batch that says whose its rows are, where the model has a table of speakers.

    Args:
        model: with `config.num_speakers` where row i of its table belongs to training task i.
        batch: `[T, rows, ...]`; as it is for other models, and where it has `speaker_ids`.
        task: numbers of the tasks, `[T]`.
        known: whether these are training tasks; others are unseen speakers.
    """
    if not getattr(getattr(model, "config", None), "num_speakers", 0) or "speaker_ids" in batch:
        return batch
    tasks, rows = batch["labels"].shape[:2]
    ids = batch["labels"].new_full((tasks, rows), UNSEEN)
    if known and task is not None:
        ids = task.to(ids).unsqueeze(1).expand(tasks, rows)
    return {**batch, "speaker_ids": ids}
