"""Which rows make an episode: row indices by task or by label, the draws over them, and the sampler of (epoch, index) keys.

Only indices live here; turning rows into tensors is in `encoding`, the dataset itself in `dataset`.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence, Sized
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from datasets import ClassLabel, Dataset
from torch.utils.data import Sampler

from hfmeta.episodes.errors import EpisodeError, listing, missing_columns, unknown_choice, whole_number

logger = logging.getLogger(__name__)
Indices = npt.NDArray[np.int64]
TOO_SMALL = ("error", "drop", "shrink")
_ORDER_STREAM = 0x07A5C5  # keeps the order of tasks apart from the draws inside episodes


@dataclass(frozen=True)
class Draw:
    """The rows of one episode.

    Args:
        task: integer id of the task (the position of its name; for N-way episodes the index of the episode).
        names: the task's name, or the names of the classes in label order.
        support: row indices `[S]`.
        query: row indices `[Q]`, none of them in support.
        support_labels: labels `[S]` in 0..N-1 for N-way episodes, else None.
        query_labels: labels `[Q]`, or None.
    """

    task: int
    names: tuple[Any, ...]
    support: Indices
    query: Indices
    support_labels: list[int] | None = None
    query_labels: list[int] | None = None


class GroupIndex:
    """Row indices by the value of one column: 8 bytes per row, read from the Arrow column without touching other columns.

    Args:
        rows: the table.
        column: name of the column; groups are numbered in order of first appearance.

    Raises:
        EpisodeError: the column is missing, has empty cells, or holds values that cannot be grouped.
    """

    def __init__(self, rows: Dataset, column: str):
        if column not in rows.column_names:
            raise missing_columns([column], rows.column_names)
        values = rows.select_columns([column]).with_format("arrow")[:][column].combine_chunks()
        if values.null_count:
            raise EpisodeError(
                f"column {column!r} is empty in {values.null_count} of {len(values)} rows; filter those rows out first."
            )
        try:
            coded = values.dictionary_encode()
        except (pa.ArrowNotImplementedError, pa.ArrowInvalid) as error:
            raise EpisodeError(
                f"column {column!r} holds {values.type}; grouping needs text, integers or class labels."
            ) from error
        if isinstance(coded, pa.ChunkedArray):
            coded = coded.combine_chunks()
        codes = coded.indices.to_numpy(zero_copy_only=False)
        names = coded.dictionary.to_pylist()
        feature = rows.features[column]
        self.column = column
        self.names: list[Any] = [feature.int2str(n) for n in names] if isinstance(feature, ClassLabel) else names
        self.codes = codes
        self._order: Indices = np.argsort(codes, kind="stable").astype(np.int64)
        self._bounds: Indices = np.concatenate([[0], np.cumsum(np.bincount(codes, minlength=len(names)))]).astype(
            np.int64
        )

    def __len__(self) -> int:
        return len(self.names)

    @property
    def sizes(self) -> Indices:
        """Rows per group, `[groups]`."""
        return np.diff(self._bounds)

    def rows(self, group: int) -> Indices:
        """Return the row indices of a group, in the order of the table."""
        return self._order[self._bounds[group] : self._bounds[group + 1]]


def check_counts(support: int, query: int, support_name: str, query_name: str) -> None:
    """Refuse an empty support or query set."""
    for name, value, what in ((support_name, support, "support"), (query_name, query, "query")):
        if whole_number(name, value, 0, "rows") < 1:
            why = "adapts to" if what == "support" else "is scored on"
            raise EpisodeError(f"{name}={value} leaves the {what} set empty; an episode {why} at least 1 row.")


def keep_large(
    index: GroupIndex,
    need: int,
    least: int,
    too_small: str,
    what: str,
    sizes: Indices | None = None,
    unit: str = "rows",
) -> Indices:
    """Return the groups that can make an episode, treating the others as `too_small` says.

    Args:
        index: rows by task or class.
        need: rows of a full episode.
        least: rows of the smallest episode that `shrink` may make.
        too_small: "error", "drop" or "shrink".
        what: "task" or "class", for the message.
        sizes: what each group has, `[groups]`; None counts rows.
        unit: what is counted, for the message.
    """
    if too_small not in TOO_SMALL:
        raise unknown_choice("too_small", too_small, TOO_SMALL)
    sizes = index.sizes if sizes is None else sizes
    limit = least if too_small == "shrink" else need
    small = np.flatnonzero(sizes < limit)
    plural = "tasks" if what == "task" else "classes"
    if len(small) and too_small != "drop":
        named = listing(f"{index.names[g]!r} ({sizes[g]})" for g in small)
        advice = "too_small='drop' to leave them out"
        advice += ", or 'shrink'" if too_small == "error" and least < need else ""
        raise EpisodeError(
            f"{len(small)} of {len(index)} {plural} in column {index.column!r} have fewer than the {limit} {unit} that support and "
            f"query need: {named}. Ask for fewer {unit}, or pass {advice}."
        )
    kept = np.flatnonzero(sizes >= limit)
    if not len(kept):
        raise EpisodeError(
            f"none of the {len(index)} {plural} in column {index.column!r} has the {limit} {unit} that support and query need; "
            f"the largest has {int(sizes.max(initial=0))}. Ask for fewer {unit} per episode."
        )
    if len(small):
        logger.info("left out %d of %d %s with fewer than %d %s", len(small), len(index), plural, limit, unit)
    return kept


class TaskOrder:
    """A fresh order of tasks in every round of every epoch; the latest is kept, since neighbours share it.

    Args:
        tasks: what is ordered, `[tasks]`.
    """

    def __init__(self, tasks: Indices):
        self.tasks = tasks
        self._memo: tuple[tuple[int, int, int], Indices] | None = None

    def at(self, seed: int, epoch: int, index: int) -> int:
        """Return the task of (seed, epoch, index): every task once per round."""
        round_, position = divmod(index, len(self.tasks))
        key = (seed, epoch, round_)
        if self._memo is None or self._memo[0] != key:
            self._memo = (key, np.random.default_rng([*key, _ORDER_STREAM]).permutation(self.tasks))
        return int(self._memo[1][position])


class TaskDraws:
    """Episodes by task column: every task once per round, in a fresh order, with fresh rows.

    Args:
        index: rows by task.
        support: rows per support set, S.
        query: rows per query set, Q.
        too_small: what happens to tasks with fewer than S + Q rows; "shrink" keeps the proportion of S to Q, each at least 1.
    """

    def __init__(self, index: GroupIndex, support: int, query: int, too_small: str):
        check_counts(support, query, "support", "query")
        self.index, self.support, self.query = index, support, query
        self.tasks = keep_large(index, support + query, 2, too_small, "task")
        self._order = TaskOrder(self.tasks)

    def __len__(self) -> int:
        return len(self.tasks)

    def draw(self, seed: int, epoch: int, index: int) -> Draw:
        """Return the episode of (seed, epoch, index)."""
        task = self._order.at(seed, epoch, index)
        members = self.index.rows(task)
        support, query = self.support, self.query
        if len(members) < support + query:
            share = round(len(members) * support / (support + query))
            support = min(max(1, share), len(members) - 1)
            query = len(members) - support
        rng = np.random.default_rng([seed, epoch, index])
        picked = members[rng.choice(len(members), size=support + query, replace=False)]
        return Draw(task, (self.index.names[task],), picked[:support], picked[support:])


class NWayDraws:
    """N-way K-shot episodes: N classes with freshly permuted labels, K support rows and `query` query rows of each.

    The support set is laid out in K rounds, each holding one row of every class in a fresh class order (as in the HSML code).

    Args:
        index: rows by class.
        n_way: classes per episode.
        k_shot: support rows per class.
        query: query rows per class.
        too_small: what happens to classes with fewer than K + query rows; "shrink" takes fewer query rows of every class.
        groups: rows by a coarser column (alphabet, domain): all classes of an episode then come from one group.
    """

    def __init__(
        self, index: GroupIndex, n_way: int, k_shot: int, query: int, too_small: str, groups: GroupIndex | None = None
    ):
        check_counts(k_shot, query, "k_shot", "query")
        whole_number("n_way", n_way, 2, "classes")
        self.index, self.n_way, self.k_shot, self.query = index, n_way, k_shot, query
        self.classes = keep_large(index, k_shot + query, k_shot + 1, too_small, "class")
        if n_way > len(self.classes):
            left = "" if len(self.classes) == len(index) else f" with enough rows (of {len(index)} in all)"
            raise EpisodeError(
                f"n_way={n_way} is above the number of classes: column {index.column!r} has {len(self.classes)}{left}."
            )
        self.pools = [self.classes] if groups is None else self._pools(groups)

    def _pools(self, groups: GroupIndex) -> list[Indices]:
        """Return the classes of each group that has at least n_way of them."""
        group_of = np.array([groups.codes[self.index.rows(c)[0]] for c in self.classes])
        for c, group in zip(self.classes, group_of, strict=True):
            if (groups.codes[self.index.rows(c)] != group).any():
                raise EpisodeError(
                    f"class {self.index.names[c]!r} occurs in several values of column {groups.column!r}; "
                    "group_column needs every class inside one group."
                )
        pools = [self.classes[group_of == g] for g in range(len(groups))]
        large = [pool for pool in pools if len(pool) >= self.n_way]
        if not large:
            raise EpisodeError(
                f"n_way={self.n_way} is above the number of classes in every group of column {groups.column!r}; the largest "
                f"group has {max(map(len, pools))}."
            )
        return large

    def draw(self, seed: int, epoch: int, index: int) -> Draw:
        """Return the episode of (seed, epoch, index)."""
        rng = np.random.default_rng([seed, epoch, index])
        pool = self.pools[0] if len(self.pools) == 1 else self.pools[rng.integers(len(self.pools))]
        classes = pool[rng.choice(len(pool), size=self.n_way, replace=False)]
        members = [self.index.rows(c) for c in classes]
        k = self.k_shot
        query = min(self.query, min(map(len, members)) - k)
        rows = np.stack([m[rng.choice(len(m), size=k + query, replace=False)] for m in members])
        rounds = np.stack([rng.permutation(self.n_way) for _ in range(k)])
        support = rows[rounds, np.arange(k)[:, None]].reshape(-1)
        labels = np.tile(np.arange(self.n_way), query)
        names = tuple(self.index.names[c] for c in classes)
        return Draw(index, names, support, rows[:, k:].T.reshape(-1), rounds.reshape(-1).tolist(), labels.tolist())


class EpisodeSampler(Sampler[tuple[int, int]]):
    """Keys `(epoch, index)` of one epoch, for the DataLoader of a Trainer.

    Args:
        dataset: anything with a length whose items are asked for by (epoch, index).
        seed: shuffles the indices, afresh in each epoch; None keeps them in order (the dataset already permutes its tasks).

    Example:
        >>> sampler = EpisodeSampler(range(3))
        >>> sampler.set_epoch(2)
        >>> list(sampler)
        [(2, 0), (2, 1), (2, 2)]
    """

    def __init__(self, dataset: Sized, seed: int | None = None):
        self.dataset, self.seed, self.epoch = dataset, seed, 0

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch of the next iteration; accelerate and the Trainer call this."""
        self.epoch = int(epoch)

    def __len__(self) -> int:
        return len(self.dataset)

    def __iter__(self) -> Iterator[tuple[int, int]]:
        order: Sequence[int] = range(len(self.dataset))
        if self.seed is not None:
            order = np.random.default_rng([self.seed, self.epoch]).permutation(len(self.dataset)).tolist()
        return ((self.epoch, index) for index in order)
