"""Where episodes come from: a table of rows with draws over it, or an endless family. Both make episodes from (epoch, index) keys."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeGuard

import numpy as np
from datasets import Array2D, Array3D, Dataset, DatasetDict, Image, IterableDataset
from torch import Tensor

from hfmeta.episodes.encoding.base import Encoder, Item, refuse_empty
from hfmeta.episodes.errors import EpisodeError, missing_columns
from hfmeta.episodes.generators import Episode, EpisodeGenerator
from hfmeta.episodes.grouped import GroupedDraws
from hfmeta.episodes.sampling import Draw, NWayDraws, TaskDraws

Key = tuple[int, int]
Transform = Callable[[dict[str, Tensor], dict[str, Tensor], np.random.Generator], None]
CACHE_BYTES = 256 * 2**20
_ROW_OVERHEAD = 300  # bytes of the Python objects around one prepared row
_TRANSFORM_STREAM = 0x7AF0F0  # keeps the draws of a transform apart from the draws of rows


class PreparedRows:
    """Encoded rows of a table by index: made on first use, kept up to `limit` bytes, the oldest dropped first.

    Args:
        rows: the table.
        limit: bytes to keep.
    """

    def __init__(self, rows: Dataset, limit: int = CACHE_BYTES):
        self.rows, self.limit = rows, limit
        self._items: dict[int, Item] = {}
        self._bytes = 0

    def gather(self, indices: Sequence[int], encoder: Encoder) -> list[Item]:
        """Return the prepared rows at the given indices."""
        if absent := [i for i in indices if i not in self._items]:
            table = formatted(self.rows, encoder.input_column).select_columns(encoder.required_columns)
            columns = table[absent]
            refuse_empty(columns, absent)
            items = encoder.prepare(columns, absent)
            fresh = dict(zip(absent, items, strict=True))
            found = [fresh[i] if i in fresh else self._items[i] for i in indices]
            self._keep(fresh)
            return found
        return [self._items[i] for i in indices]

    def _keep(self, fresh: dict[int, Item]) -> None:
        """Store prepared rows and drop the oldest above the limit."""
        self._items.update(fresh)
        self._bytes += sum(map(_size, fresh.values()))
        while self._bytes > self.limit:
            self._bytes -= _size(self._items.pop(next(iter(self._items))))

    def clear(self) -> None:
        """Forget all prepared rows."""
        self._items, self._bytes = {}, 0

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_items": {}, "_bytes": 0}


class TableSource:
    """Episodes of a table: draws of row indices, prepared rows, and an optional transform of the tensors.

    Args:
        rows: the table.
        draws: which rows make an episode.
        transform: `(support, query, rng) -> None`, changes the tensors of an episode in place; it may only draw from rng.
    """

    def __init__(self, rows: Dataset, draws: TaskDraws | NWayDraws | GroupedDraws, transform: Transform | None = None):
        self.rows, self.draws, self.transform = rows, draws, transform
        self.prepared = PreparedRows(rows)

    def draw(self, seed: int, key: Key) -> Draw:
        """Return the row indices of one episode."""
        return self.draws.draw(seed, *key)

    def episodes(self, seed: int, keys: Sequence[Key], encoder: Encoder | None) -> list[Episode]:
        """Return the episodes of the keys."""
        assert encoder is not None, "a table always has an encoder"
        return [self._episode(seed, key, encoder) for key in keys]

    def _episode(self, seed: int, key: Key, encoder: Encoder) -> Episode:
        draw = self.draw(seed, key)
        cut = len(draw.support)
        items = self.prepared.gather([*draw.support.tolist(), *draw.query.tolist()], encoder)
        support = encoder.assemble(items[:cut], draw.support_labels)
        query = encoder.assemble(items[cut:], draw.query_labels)
        if self.transform is not None:
            self.transform(support, query, np.random.default_rng([seed, *key, _TRANSFORM_STREAM]))
        return {"support": support, "query": query, "task": draw.task}


class GeneratorSource:
    """Episodes of an endless family, made many at a time where the generator can.

    Args:
        generator: an object with `task(seed, epoch, index)` and perhaps `tasks(seed, keys)`.
    """

    def __init__(self, generator: EpisodeGenerator):
        self.generator = generator
        self._many = getattr(generator, "tasks", None)

    def episodes(self, seed: int, keys: Sequence[Key], encoder: Encoder | None) -> list[Episode]:
        """Return the episodes of the keys."""
        made = self._many(seed, keys) if self._many else [self.generator.task(seed, *key) for key in keys]
        return [self._finished(one, encoder) for one in made]

    def _finished(self, made: Mapping[str, Any], encoder: Encoder | None) -> Episode:
        """Return an episode of tensors; rows are encoded."""
        if missing := [name for name in ("support", "query", "task") if name not in made]:
            raise EpisodeError(
                f"{type(self.generator).__name__}.task returned {list(made)}; {', '.join(missing)} is missing: it must return "
                '{"support": ..., "query": ..., "task": int}.'
            )
        sides = {name: self._tensors(made[name], name, encoder) for name in ("support", "query")}
        return {"support": sides["support"], "query": sides["query"], "task": int(made["task"])}

    def _tensors(self, side: Any, name: str, encoder: Encoder | None) -> dict[str, Tensor]:
        """Return one set as tensors."""
        if isinstance(side, Mapping) and side and all(isinstance(value, Tensor) for value in side.values()):
            if "labels" not in side:
                raise EpisodeError(
                    f"the {name} set of {type(self.generator).__name__} has no 'labels'; it has {list(side)}."
                )
            return dict(side)
        if encoder is None:
            raise EpisodeError(
                f"{type(self.generator).__name__} gives rows, not tensors: pass input_column, target_column and task_type (and a "
                "processing_class) so that they can be encoded."
            )
        return encoder.encode(side)


def is_generator(rows: Any) -> TypeGuard[EpisodeGenerator]:
    """Return whether rows is an endless family (an instance with `task`) and not a table."""
    return not isinstance(rows, type | Dataset) and callable(getattr(rows, "task", None))


def checked_table(rows: Any, columns: Mapping[str, str | None]) -> Dataset:
    """Return the table, or raise the error for what is no table, lacks a column or is empty.

    Args:
        rows: what the caller passed as rows.
        columns: option -> the column it names.
    """
    if isinstance(rows, DatasetDict):
        raise EpisodeError(
            f"rows is a DatasetDict with the parts {list(rows)}; pass one of them, such as rows[{next(iter(rows))!r}]."
        )
    if isinstance(rows, IterableDataset):
        raise EpisodeError(
            "rows is an IterableDataset, which cannot be indexed; load it without streaming=True, or materialise a part of it."
        )
    if not isinstance(rows, Dataset):
        described = f"the class {rows.__name__}, not an instance" if isinstance(rows, type) else type(rows).__name__
        raise EpisodeError(
            f"rows must be a datasets.Dataset or a generator with task(seed, epoch, index), got {described}. "
            "Dataset.from_list makes one of a list of dicts."
        )
    if unset := [option for option, column in columns.items() if column is None]:
        raise EpisodeError(f"{', '.join(unset)} must be given; the columns found are {rows.column_names}.")
    absent = {option: column for option, column in columns.items() if column not in rows.column_names}
    if absent:
        error = missing_columns([str(c) for c in absent.values()], rows.column_names)
        raise EpisodeError(f"{', '.join(f'{o}={c!r}' for o, c in absent.items())}: {error}")
    if not len(rows):
        raise EpisodeError("rows is empty: no task can be made of it.")
    return rows


def formatted(rows: Dataset, input_column: str) -> Dataset:
    """Return the table in the format that is read fastest: arrays as numpy, the rest as Python values, transforms kept."""
    if rows.format["type"] == "custom":
        return rows
    feature = rows.features[input_column]
    if isinstance(feature, Array2D | Array3D) or (hasattr(feature, "feature") and not isinstance(feature, Image)):
        return rows.with_format("numpy")
    return rows.with_format(None)


def _size(item: Item) -> int:
    """Return the bytes of one prepared row, about."""
    return _ROW_OVERHEAD + sum(value.nbytes for value in item.values() if isinstance(value, np.ndarray))
