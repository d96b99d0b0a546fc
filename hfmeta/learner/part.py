"""Some of the tasks of a batch, which pass through the model together."""

from __future__ import annotations

from torch import Tensor

from hfmeta.inner.types import Batch


class Part:
    """The tasks of one pass: their sets `[T, S, ...]` and `[T, Q, ...]`, and their ids `[T]`."""

    def __init__(self, support: Batch, query: Batch, task: Tensor | None):
        self.support, self.query, self.task = support, query, task

    @property
    def tasks(self) -> int:
        """T."""
        return self.support["labels"].shape[0]

    def rows(self, which: Tensor) -> Part:
        """Some of the tasks."""
        which = which.to(self.support["labels"].device)
        return Part(
            {name: value[which] for name, value in self.support.items()},
            {name: value[which] for name, value in self.query.items()},
            None if self.task is None else self.task[which],
        )
