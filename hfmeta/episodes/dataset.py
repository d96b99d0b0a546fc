"""EpisodeDataset: a map-style dataset whose item is one task's support and query set, a pure function of (seed, epoch, index).

Which rows: `sampling`. Rows to tensors: `encoding`. Tables and endless families: `sources`. Fixed evaluation lists: `fixed`.
"""

from __future__ import annotations

import functools
import operator
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Self

import torch
from datasets import ClassLabel, Dataset

from hfmeta.episodes.collation import collate_episodes
from hfmeta.episodes.encoding import (
    CLASSIFICATION,
    TASK_TYPES,
    Encoder,
    build_encoder,
    check_task_type,
    infer_task_type,
)
from hfmeta.episodes.errors import EpisodeError, whole_number
from hfmeta.episodes.generators import Episode, EpisodeGenerator
from hfmeta.episodes.grouped import GroupedDraws
from hfmeta.episodes.sampling import Draw, GroupIndex, NWayDraws, TaskDraws
from hfmeta.episodes.sources import GeneratorSource, TableSource, Transform, checked_table, is_generator

ENDLESS_LENGTH = 1000  # episodes per epoch of families without an end: generators and N-way draws
DEFAULT_ROWS = 8


class EpisodeDataset(torch.utils.data.Dataset[Episode]):
    """Episodes by task column of a table, or of an endless family. `EpisodeDataset.n_way` makes them by label.

    `dataset[i]` is episode i of the epoch chosen by `set_epoch` (0 at first); `dataset[(epoch, i)]` says the epoch. Every epoch
    visits each task once, in a fresh order, with fresh rows. Rows are encoded on first use and kept up to 256 MiB.

    Args:
        rows: a datasets.Dataset, or a generator with `task(seed, epoch, index)` (see `EpisodeGenerator`).
        task_column: column whose value says whose task a row is.
        input_column: column the model reads.
        target_column: column it is to produce.
        task_type: one of `TASK_TYPES`; by default inferred where the columns leave no doubt, else `set_task_type` (the trainer
            calls it with its model's) must come before the first episode.
        support: rows per support set, S (8 by default; a generator has its own). With `group_column`: groups, by default all that
            are not the query's.
        query: rows per query set, Q (8 by default; a generator has its own). With `group_column`: groups, 1 by default.
        processing_class: tokenizer or image processor.
        seed: the first of the three numbers an episode depends on.
        length: episodes per epoch; by default the number of tasks, 1000 for a generator.
        too_small: tasks with fewer than S + Q rows raise ("error"), are left out ("drop"), or keep the proportion ("shrink").
        max_length: tokens kept of a row (text only); by default the tokenizer's limit.
        label_names: classes in id order (classification only); by default the column's own.
        transform: `(support, query, rng) -> None`, changes the tensors of an episode in place.
        group_column: rows with one value (of one dialogue, say) stay together, all in support or all in query; sets are then as
            long as their groups are, and `collate` pads them.
        query_groups: which groups are the query: "random" (redrawn at every visit), "first" of the table (validation), or "each" in
            turn (leave-one-out tests; an epoch then has an episode for every group).
        max_support_rows: with `group_column`, rows kept of a longer support set.
        max_query_rows: with `group_column`, rows kept of a longer query set.

    Raises:
        EpisodeError: missing columns (lists those found), tasks too small (names them), empty sets, unknown task type, options of
            groups without `group_column`.

    Example:
        >>> from datasets import Dataset
        >>> rows = Dataset.from_dict({"user": ["a"] * 4 + ["b"] * 4, "x": [0.5] * 8, "y": [1.5] * 8})
        >>> episodes = EpisodeDataset(rows, task_column="user", input_column="x", target_column="y", support=2, query=2)
        >>> len(episodes), episodes[0]["support"]["inputs"].shape
        (2, torch.Size([2, 1]))
    """

    def __init__(
        self,
        rows: Dataset | EpisodeGenerator,
        *,
        task_column: str | None = None,
        input_column: str | None = None,
        target_column: str | None = None,
        task_type: str | None = None,
        support: int | None = None,
        query: int | None = None,
        processing_class: Any = None,
        seed: int = 0,
        length: int | None = None,
        too_small: str = "error",
        max_length: int | None = None,
        label_names: Sequence[Any] | None = None,
        transform: Transform | None = None,
        group_column: str | None = None,
        query_groups: str = "random",
        max_support_rows: int | None = None,
        max_query_rows: int | None = None,
    ):
        options = {"processing_class": processing_class, "max_length": max_length, "label_names": label_names}
        if is_generator(rows):
            given = {"task_column": task_column, "support": support, "query": query, "transform": transform}
            given["group_column"] = group_column
            given["too_small"] = None if too_small == "error" else too_small
            if excess := [name for name, value in given.items() if value is not None]:
                raise EpisodeError(
                    f"{type(rows).__name__} makes its own tasks: {', '.join(excess)} belong to tables; set sizes on the generator."
                )
            self._start(GeneratorSource(rows), seed, ENDLESS_LENGTH if length is None else length)
            self._choose_encoder(None, input_column, target_column, task_type, options)
            return
        columns = {"task_column": task_column, "input_column": input_column, "target_column": target_column}
        grouping = {"max_support_rows": max_support_rows, "max_query_rows": max_query_rows}
        draws: TaskDraws | GroupedDraws
        if group_column is not None:
            table = checked_table(rows, columns | {"group_column": group_column})
            index, groups = GroupIndex(table, str(task_column)), GroupIndex(table, group_column)
            query = 1 if query is None else query
            draws = GroupedDraws(index, groups, support, query, too_small, query_groups, **grouping)
        else:
            _refuse_grouping(query_groups, grouping)
            table = checked_table(rows, columns)
            support, query = DEFAULT_ROWS if support is None else support, DEFAULT_ROWS if query is None else query
            draws = TaskDraws(GroupIndex(table, str(task_column)), support, query, too_small)
        self._start(TableSource(table, draws, transform), seed, len(draws) if length is None else length)
        self._choose_encoder(table, input_column, target_column, task_type, options)

    @classmethod
    def n_way(
        cls,
        rows: Dataset,
        *,
        label_column: str,
        input_column: str,
        n_way: int = 5,
        k_shot: int = 1,
        query: int = 15,
        processing_class: Any = None,
        task_type: str | None = None,
        seed: int = 0,
        length: int | None = None,
        too_small: str = "error",
        max_length: int | None = None,
        transform: Transform | None = None,
        group_column: str | None = None,
    ) -> Self:
        """Return N-way K-shot episodes by label.

        Each episode draws N classes, gives them the labels 0..N-1 afresh, and draws K support rows and `query` other rows of each.
        The support set lies in K rounds, each with one row of every class. The `task` of an episode is its index.

        Args:
            rows: a datasets.Dataset.
            label_column: column of classes.
            input_column: column the model reads.
            n_way: classes per episode, N (C in shapes).
            k_shot: support rows per class; S = N K.
            query: query rows per class; Q = N query.
            processing_class: tokenizer or image processor.
            task_type: "sequence-classification" or "image-classification"; by default inferred.
            seed: the first of the three numbers an episode depends on.
            length: episodes per epoch, 1000 by default.
            too_small: classes with fewer than K + query rows raise ("error"), are left out ("drop"), or have fewer query
                rows ("shrink").
            max_length: tokens kept of a row (text only).
            transform: `(support, query, rng) -> None`, changes the tensors of an episode in place (rotations, say).
            group_column: all classes of an episode come from one value of this column (one alphabet, one domain).

        Raises:
            EpisodeError: missing columns, n_way above the number of classes, classes too small (names them), empty sets.
        """
        columns = {"label_column": label_column, "input_column": input_column}
        if group_column is not None:
            columns["group_column"] = group_column
        table = checked_table(rows, columns)
        if task_type is not None and check_task_type(task_type) not in CLASSIFICATION:
            raise EpisodeError(
                f"N-way episodes are classification; task_type={task_type!r} is not: choose one of {', '.join(CLASSIFICATION)}, or "
                "make episodes by task column."
            )
        groups = None if group_column is None else GroupIndex(table, group_column)
        draws = NWayDraws(GroupIndex(table, label_column), n_way, k_shot, query, too_small, groups)
        self = cls.__new__(cls)
        self._start(TableSource(table, draws, transform), seed, ENDLESS_LENGTH if length is None else length)
        options = {"processing_class": processing_class, "max_length": max_length, "label_names": None}
        self._choose_encoder(table, input_column, label_column, task_type, options)
        return self

    def _start(self, source: TableSource | GeneratorSource, seed: int, length: int) -> None:
        """Set the state that all constructors share."""
        self.source, self.epoch = source, 0
        self.seed, self.length = whole_number("seed", seed, 0), whole_number("length", length, 1, "episodes")
        self._encoder: Encoder | None = None
        self._pending: Callable[[str], Encoder] | None = None

    def _choose_encoder(
        self,
        table: Dataset | None,
        source: str | None,
        target: str | None,
        task_type: str | None,
        options: dict[str, Any],
    ) -> None:
        """Build the encoder, or keep what is needed to build it once the task type is known."""
        by_label = self.n_way_draws is not None
        self.columns = tuple(c for c in (source, None if by_label else target) if c is not None)
        if task_type is not None:
            check_task_type(task_type)
        if source is None or target is None:
            if excess := [name for name, value in (options | {"task_type": task_type}).items() if value is not None]:
                raise EpisodeError(f"{', '.join(excess)} encode rows; pass input_column and target_column too.")
            return
        if table is not None and task_type is None:
            labelled = by_label or options["label_names"] is not None
            task_type = infer_task_type(table, source, target, options["processing_class"], labelled)
        self._pending = functools.partial(_build, table, source, target, options, by_label)
        if task_type is not None:
            self.set_task_type(task_type)

    @property
    def n_way_draws(self) -> NWayDraws | None:
        """The N-way draws, or None for episodes by task."""
        draws = getattr(self.source, "draws", None)
        return draws if isinstance(draws, NWayDraws) else None

    @property
    def task_type(self) -> str | None:
        """The task type, or None as long as it is not known (and for generators of tensors)."""
        return None if self._encoder is None else self._encoder.task_type

    def set_task_type(self, task_type: str) -> None:
        """Say the task type where the columns leave it open; a type that was given or inferred stays.

        Raises:
            EpisodeError: unknown task type.
        """
        check_task_type(task_type)
        if self._encoder is None and self._pending is not None:
            self._encoder = self._pending(task_type)

    @property
    def encoder(self) -> Encoder | None:
        """The encoder of rows; None for a generator that gives tensors.

        Raises:
            EpisodeError: the columns leave the task type open; says what to pass.
        """
        if self._encoder is None and self._pending is not None:
            raise EpisodeError(
                f"the columns do not say what kind of task this is; pass task_type, one of {', '.join(map(repr, TASK_TYPES))}."
            )
        return self._encoder

    @property
    def task_names(self) -> list[Any]:
        """The names of tasks (or classes, for N-way) that episodes draw from; for tables by task, `names[task]`."""
        return self.source.draws.index.names if isinstance(self.source, TableSource) else []

    @property
    def collate(self) -> Callable[[Sequence[Episode]], dict[str, Any]]:
        """The collator for these episodes: `collate_episodes` with the padding id of the tokenizer."""
        return functools.partial(collate_episodes, pad_token_id=self._encoder.pad_token_id if self._encoder else 0)

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch of plain integer keys."""
        self.epoch = operator.index(epoch)

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, key: int | tuple[int, int]) -> Episode:
        return self.__getitems__([key])[0]

    def __getitems__(self, keys: Sequence[int | tuple[int, int]]) -> list[Episode]:
        return self.episodes([self._key(key) for key in keys])

    def __iter__(self) -> Iterator[Episode]:
        return (self[index] for index in range(len(self)))

    def _key(self, key: int | tuple[int, int]) -> tuple[int, int]:
        """Return (epoch, index), with negative indices counted from the end."""
        epoch, index = key if isinstance(key, tuple) else (self.epoch, key)
        epoch, index = operator.index(epoch), operator.index(index)
        if not -self.length <= index < self.length or epoch < 0:
            raise IndexError(f"episode {index} of epoch {epoch} is out of range: an epoch has {self.length} episodes.")
        return epoch, index % self.length

    def episodes(self, keys: Sequence[tuple[int, int]], seed: int | None = None) -> list[Episode]:
        """Return the episodes of (epoch, index) keys, which may lie beyond the length of an epoch.

        Args:
            keys: pairs (epoch, index), both at least 0.
            seed: in place of the dataset's own.
        """
        return self.source.episodes(self.seed if seed is None else seed, keys, self.encoder)

    def draw(self, key: tuple[int, int], seed: int | None = None) -> Draw | None:
        """Return the rows of one episode, or None for a generator."""
        source = self.source
        return source.draw(self.seed if seed is None else seed, key) if isinstance(source, TableSource) else None


def _build(
    table: Dataset | None, source: str, target: str, options: dict[str, Any], by_label: bool, task_type: str
) -> Encoder:
    """Return the encoder; for classification by task, the classes of the whole target column are fixed here."""
    if table is not None and not by_label and task_type in CLASSIFICATION and options["label_names"] is None:
        feature = table.features[target]
        names = (
            feature.names if isinstance(feature, ClassLabel) else sorted(GroupIndex(table, target).names, key=_by_kind)
        )
        options = options | {"label_names": names}
    encoder = build_encoder(task_type, input_column=source, target_column=target, **options)
    if table is not None and table.format["type"] != "custom":
        encoder.check_features(table.features)
    return encoder


def _refuse_grouping(query_groups: str, limits: dict[str, int | None]) -> None:
    """Refuse options of groups where no column says what the groups are."""
    given = [name for name, value in limits.items() if value is not None]
    given += ["query_groups"] if query_groups != "random" else []
    if given:
        raise EpisodeError(
            f"{', '.join(given)} belong to episodes by group; pass group_column too, such as 'dialogue'."
        )


def _by_kind(value: Any) -> tuple[bool, Any]:
    """Return a key that sorts numbers before text."""
    return isinstance(value, str), value
