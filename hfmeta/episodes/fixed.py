"""A fixed list of evaluation episodes with a hash of what they hold, so that every method is scored on the same ones."""

from __future__ import annotations

import functools
import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from datasets import Array2D, Array3D, Dataset, Image

from hfmeta.episodes.dataset import EpisodeDataset
from hfmeta.episodes.encoding import Encoder
from hfmeta.episodes.errors import whole_number
from hfmeta.episodes.generators import Episode
from hfmeta.episodes.sampling import Draw
from hfmeta.episodes.sources import GeneratorSource

FIXED_EPOCH = 2**31 - 1  # no training run reaches this epoch, so its episodes are never trained on
_BLOCK = 512


class FixedEpisodes(torch.utils.data.Dataset[Episode]):
    """The first `count` episodes of an epoch set apart; they depend on the data, the seed and nothing else.

    Args:
        dataset: where the episodes come from; its own seed plays no part.
        count: number of episodes; above the number of tasks, tasks come again with other rows.
        seed: seed of the list.

    Raises:
        EpisodeError: count or seed is not a whole number in range.
    """

    def __init__(self, dataset: EpisodeDataset, count: int, seed: int = 0):
        self.dataset = dataset
        self.count, self.seed = whole_number("count", count, 1, "episodes"), whole_number("seed", seed, 0)

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> Episode:
        return self.__getitems__([index])[0]

    def __getitems__(self, indices: Sequence[int]) -> list[Episode]:
        for index in indices:
            if not -self.count <= index < self.count:
                raise IndexError(f"episode {index} is out of range: the list has {self.count} episodes.")
        return self.dataset.episodes([(FIXED_EPOCH, index % self.count) for index in indices], self.seed)

    def __iter__(self) -> Iterator[Episode]:
        return (self[index] for index in range(self.count))

    @property
    def encoder(self) -> Encoder | None:
        """The encoder of the dataset."""
        return self.dataset.encoder

    @property
    def collate(self) -> Callable[[Sequence[Episode]], dict[str, Any]]:
        """The collator of the dataset."""
        return self.dataset.collate

    @property
    def task_type(self) -> str | None:
        """The task type of the dataset."""
        return self.dataset.task_type

    def set_task_type(self, task_type: str) -> None:
        """Say the task type where the columns leave it open (see `EpisodeDataset.set_task_type`)."""
        self.dataset.set_task_type(task_type)

    def draws(self) -> Iterator[Draw]:
        """Yield the rows of each episode; nothing for a generator."""
        for index in range(self.count):
            draw = self.dataset.draw((FIXED_EPOCH, index), self.seed)
            if draw is not None:
                yield draw

    @functools.cached_property
    def sha256(self) -> str:
        """Hash of the episodes: names of task or classes, contents and labels of the rows in order; for generators the tensors.

        It does not depend on the tokenizer, the model, the machine, or where in the table a row lies.
        """
        digest = hashlib.sha256()
        source = self.dataset.source
        if isinstance(source, GeneratorSource):
            for start in range(0, self.count, _BLOCK):
                for episode in self.__getitems__(range(start, min(start + _BLOCK, self.count))):
                    _add_tensors(digest, episode)
            return digest.hexdigest()
        draws = list(self.draws())
        used = np.unique(np.concatenate([rows for draw in draws for rows in (draw.support, draw.query)]))
        contents = _row_digests(source.rows, used.tolist(), self.dataset.columns)
        for draw in draws:
            _add(digest, [str(name) for name in draw.names])
            for side, labels in ((draw.support, draw.support_labels), (draw.query, draw.query_labels)):
                _add(digest, labels)
                for row in side.tolist():
                    digest.update(contents[row])
        return digest.hexdigest()


def _add(digest: Any, value: Any) -> None:
    """Add JSON text, closed by a zero byte so that neighbours cannot run together."""
    digest.update(json.dumps(value, sort_keys=True, default=str).encode() + b"\0")


def _add_tensors(digest: Any, episode: Episode) -> None:
    """Add the tensors of an episode: name, type, shape and little-endian bytes."""
    _add(digest, episode["task"])
    for side in (episode["support"], episode["query"]):
        for name in sorted(side):
            array = side[name].detach().cpu().numpy()
            _add(digest, [name, str(array.dtype), list(array.shape)])
            digest.update(np.ascontiguousarray(array, dtype=array.dtype.newbyteorder("<")).tobytes())


def _row_digests(rows: Dataset, used: list[int], columns: Sequence[str]) -> dict[int, bytes]:
    """Return the digest of the stored contents (files undecoded) of each used row."""
    table = rows.with_format(None).select_columns(list(columns))
    for column in columns:
        if isinstance(rows.features[column], Image):
            table = table.cast_column(column, Image(decode=False))
        elif isinstance(rows.features[column], Array2D | Array3D):
            table = table.with_format("numpy")
    digests = {}
    for start in range(0, len(used), _BLOCK):
        block = used[start : start + _BLOCK]
        cells = table[block]
        for number, row in enumerate(block):
            digest = hashlib.sha256()
            for column in columns:
                _add_cell(digest, cells[column][number])
            digests[row] = digest.digest()
    return digests


def _add_cell(digest: Any, value: Any) -> None:
    """Add one cell: files by their bytes, arrays by shape and numbers, the rest as JSON."""
    if isinstance(value, dict) and set(value) == {"bytes", "path"}:
        value = value["bytes"] if value["bytes"] is not None else Path(value["path"]).read_bytes()
    if isinstance(value, np.ndarray) and value.dtype.kind in "biuf":
        _add(digest, list(value.shape))
        value = value.astype("<i8" if value.dtype.kind in "biu" else "<f8").tobytes()
    elif isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, bytes):
        digest.update(hashlib.sha256(value).digest())
    else:
        _add(digest, value)
