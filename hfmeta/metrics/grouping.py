"""Small things that metrics over lists share: lists of one length, and rows grouped by task or dialogue."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import Any

from hfmeta.inner.errors import HfmetaError
from hfmeta.metrics.scores import mean_ci95


def check_same_length(what: str, **lists: Sequence[Any] | None) -> int:
    """The common length of some lists.

    Args:
        what: the metric, for the message.
        lists: by name; None is left out.

    Raises:
        HfmetaError: lists of unequal length, or empty ones; a single text where a list of texts belongs.
    """
    given = {name: values for name, values in lists.items() if values is not None}
    bare = [name for name, values in given.items() if isinstance(values, str)]
    if bare:
        raise HfmetaError(f"{what} takes {bare[0]} as a list, one entry for each response: received a single text.")
    sizes = {name: len(values) for name, values in given.items()}
    if len(set(sizes.values())) > 1 or 0 in sizes.values():
        shown = ", ".join(f"{size} {name}" for name, size in sizes.items())
        raise HfmetaError(f"{what} needs lists of one length, at least 1: received {shown}.")
    return next(iter(sizes.values()))


def positions_by(keys: Sequence[Hashable] | None, size: int) -> dict[Hashable, list[int]]:
    """The positions of each key, keys in order of first appearance; one group of all where there are no keys.

    Args:
        keys: one for each position, or None.
        size: number of positions.
    """
    groups: dict[Hashable, list[int]] = {}
    for position, key in enumerate(keys if keys is not None else [None] * size):
        groups.setdefault(key, []).append(position)
    return groups


def mean_over_tasks(values: Sequence[float], tasks: Sequence[Hashable] | None) -> tuple[float, float, int]:
    """Mean over tasks of a task's mean, half width of its 95 % interval over tasks, and the number of tasks.

    Args:
        values: [N].
        tasks: N ids; None: every value is a task of its own.
    """
    groups = positions_by(tasks if tasks is not None else range(len(values)), len(values))
    means = [sum(values[row] for row in rows) / len(rows) for rows in groups.values()]
    mean, half = mean_ci95(means)
    return mean, half, len(means)
