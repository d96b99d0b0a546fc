"""The masks of many tasks, packed as bits in memory and in one file. Not here: values (hfmeta.adapters.bank), making masks."""

from __future__ import annotations

import json
import math
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save
from torch import Tensor

from hfmeta.adapters.durable import write_file
from hfmeta.adapters.ids import nearest, task_key
from hfmeta.adapters.pruning.bits import jaccard, pack, packed_size, unpack
from hfmeta.inner.errors import HfmetaError

FILE = "masks.safetensors"
FORMAT = 1
_ENTRY = "hfmeta_masks"


class MaskStore:
    """Masks keyed by (split, task id), all of the same tensors; a bit for every entry of every mask.

    Ids of different splits never meet, and ids are any text (see `task_key`). With the paper's private network (981,800 entries) a
    task takes 122,726 bytes, in memory as in the file.

    Args:
        shapes: the shape of each masked tensor, by name; masks must have exactly these.

    Raises:
        HfmetaError: no tensor.
    """

    def __init__(self, shapes: Mapping[str, Sequence[int]]):
        if not shapes:
            raise HfmetaError("a MaskStore needs the shape of at least one tensor: {name: shape}.")
        self.shapes = {name: tuple(int(size) for size in shape) for name, shape in shapes.items()}
        self._columns: dict[str, slice] = {}
        width = 0
        for name, shape in self.shapes.items():
            self._columns[name] = slice(width, width + packed_size(shape))
            width += packed_size(shape)
        self._rows: NDArray[np.uint8] = np.zeros((0, width), dtype=np.uint8)
        self._keys: list[tuple[str, str]] = []
        self._places: dict[tuple[str, str], int] = {}

    @property
    def bytes_per_task(self) -> int:
        """What one task's masks take."""
        return self._rows.shape[1]

    @property
    def splits(self) -> list[str]:
        """The splits that have tasks, in the order of their first task."""
        return list(dict.fromkeys(split for split, _ in self._keys))

    def tasks(self, split: str) -> list[str]:
        """The ids of a split's tasks."""
        return [task for held, task in self._keys if held == split]

    def __len__(self) -> int:
        return len(self._keys)

    def __contains__(self, key: tuple[str, str | int]) -> bool:
        split, task = key
        return (split, task_key(task)) in self._places

    def put(self, split: str, tasks: Sequence[str | int], masks: Mapping[str, Tensor]) -> None:
        """Keep the masks of T tasks, in the place of what was kept for them.

        Args:
            split: any text, `train` for example.
            tasks: T different ids.
            masks: `{name: [T, ...]}` for every tensor of the store; what is not zero is kept.

        Raises:
            HfmetaError: names or shapes that are not the store's, or an id twice; nothing is stored then.
        """
        keys = [(task_key(split), task_key(task)) for task in tasks]
        if len(set(keys)) < len(keys):
            raise HfmetaError(f"a task id occurs twice among the {len(keys)} given for split {split!r}.")
        self._check(masks, len(keys))
        rows = np.concatenate([pack(masks[name]) for name in self.shapes], axis=1)
        self._set(keys, rows)

    def get(
        self,
        split: str,
        tasks: Sequence[str | int],
        *,
        dtype: torch.dtype = torch.bool,
        device: torch.device | str | None = None,
    ) -> dict[str, Tensor]:
        """The masks of T tasks, stacked: `{name: [T, ...]}`.

        Raises:
            HfmetaError: a task that the store does not have.
        """
        rows = self._taken(split, tasks)
        return {
            name: unpack(rows[:, self._columns[name]], shape).to(device=device, dtype=dtype)
            for name, shape in self.shapes.items()
        }

    def delete(self, split: str, task: str | int) -> None:
        """Forget one task's masks; a file saved earlier still has them.

        Raises:
            HfmetaError: a task that the store does not have.
        """
        place, last = self._place(split, task), len(self._keys) - 1
        del self._places[self._keys[place]]
        if place != last:
            self._rows[place] = self._rows[last]
            self._keys[place] = self._keys[last]
            self._places[self._keys[place]] = place
        self._rows[last] = 0
        self._keys.pop()

    def overlap(self, split: str, tasks: Sequence[str | int], names: Sequence[str] | None = None) -> Tensor:
        """Pairwise Jaccard overlap of T tasks' masks, counted on the bits.

        Args:
            split: where the tasks are.
            tasks: T ids.
            names: the tensors that count (`weights_of`, `thinnable_of`); None: all, biases too.

        Returns:
            `[T, T]` float64.

        Raises:
            HfmetaError: a task or a tensor that the store does not have.
        """
        rows = self._taken(split, tasks)
        if names is None:
            return jaccard(rows)
        for name in names:
            if name not in self.shapes:
                raise HfmetaError(f"the store has no tensor {name!r}.{nearest(name, self.shapes)}")
        if not names:
            raise HfmetaError("an overlap needs at least one tensor's name.")
        return jaccard(np.concatenate([rows[:, self._columns[name]] for name in names], axis=1))

    def keep_ratios(self, split: str, tasks: Sequence[str | int]) -> dict[str, Tensor]:
        """The share of each tensor's entries that T tasks keep, counted on the bits: `{name: [T]}`, float64.

        Raises:
            HfmetaError: a task that the store does not have.
        """
        rows = self._taken(split, tasks)
        return {
            name: torch.from_numpy(np.bitwise_count(rows[:, self._columns[name]]).sum(1) / max(math.prod(shape), 1))
            for name, shape in self.shapes.items()
        }

    def update(self, other: MaskStore) -> None:
        """Take over all masks of another store, of another process for example, in the place of what was kept for those tasks.

        Raises:
            HfmetaError: a store of other tensors.
        """
        self.check_shapes(other.shapes, "this store")
        self._set(other._keys, other._rows[: len(other._keys)])

    def save(self, folder: Path | str) -> Path:
        """Write `masks.safetensors`, whole or not at all: the bits, and in its header, as JSON, keys, shapes and a checksum."""
        path = Path(folder) / FILE
        path.parent.mkdir(parents=True, exist_ok=True)
        rows = np.ascontiguousarray(self._rows[: len(self._keys)])
        header = {
            "format": FORMAT,
            "shapes": {name: list(shape) for name, shape in self.shapes.items()},
            "keys": [list(key) for key in self._keys],
        }
        text = json.dumps(header)
        metadata = {_ENTRY: text, "crc32": str(_checksum(text, rows))}
        write_file(path, save({"masks": rows}, metadata))
        return path

    @classmethod
    def load(cls, folder: Path | str, shapes: Mapping[str, Sequence[int]] | None = None) -> MaskStore:
        """Read what `save` wrote.

        Args:
            folder: where `masks.safetensors` lies.
            shapes: the shapes of the model's tensors, which the file's must equal; None: taken as they are.

        Raises:
            HfmetaError: no such file, a damaged one, one of a newer hfmeta, or masks for another model.
        """
        path = Path(folder) / FILE
        held, keys, rows = _read(path)
        store = cls(held)
        if shapes is not None:
            store.check_shapes(shapes, str(path))
        if rows.shape != (len(keys), store.bytes_per_task) or len(set(keys)) < len(keys):
            raise _damaged(
                path, f"{len(keys)} keys of {store.bytes_per_task} bytes each, but bits of shape {rows.shape}"
            )
        store._rows, store._keys = rows, keys
        store._places = {key: place for place, key in enumerate(keys)}
        return store

    def check_shapes(self, shapes: Mapping[str, Sequence[int]], where: str = "the store") -> None:
        """Check that the masks are for tensors of these names and shapes.

        Args:
            shapes: the model's.
            where: how the message calls these masks.

        Raises:
            HfmetaError: the first name or shape that differs.
        """
        for name in dict.fromkeys((*self.shapes, *shapes)):
            ours, theirs = self.shapes.get(name), shapes.get(name)
            if theirs is None or ours != tuple(theirs):
                raise HfmetaError(
                    f"{where} has masks for another model: {name} is "
                    f"{_said(ours)} in the masks and {_said(theirs)} in the model."
                )

    def _check(self, masks: Mapping[str, Tensor], count: int) -> None:
        for name in dict.fromkeys((*self.shapes, *masks)):
            if name not in self.shapes:
                raise HfmetaError(f"{name!r} is no tensor of the store.{nearest(name, self.shapes)}")
            if name not in masks:
                raise HfmetaError(f"the masks lack {name!r}; a store keeps the same tensors for every task.")
            wanted = (count, *self.shapes[name])
            if tuple(masks[name].shape) != wanted:
                raise HfmetaError(
                    f"the masks of {name} have shape {tuple(masks[name].shape)}; {count} task(s) need {wanted}."
                )

    def _set(self, keys: Sequence[tuple[str, str]], rows: NDArray[np.uint8]) -> None:
        new = [key for key in keys if key not in self._places]
        self._grow(len(self._keys) + len(new))
        for key in new:
            self._places[key] = len(self._keys)
            self._keys.append(key)
        self._rows[[self._places[key] for key in keys]] = rows

    def _grow(self, count: int) -> None:
        if count > len(self._rows):
            rows = np.zeros((max(count, 2 * len(self._rows)), self.bytes_per_task), dtype=np.uint8)
            rows[: len(self._keys)] = self._rows[: len(self._keys)]
            self._rows = rows

    def _place(self, split: str, task: str | int) -> int:
        key = (split, task_key(task))
        if key not in self._places:
            if split not in self.splits:
                raise HfmetaError(f"the store has no split {split!r}.{nearest(split, self.splits)}")
            raise HfmetaError(f"split {split!r} has no masks of task {key[1]!r}.{nearest(key[1], self.tasks(split))}")
        return self._places[key]

    def _taken(self, split: str, tasks: Sequence[str | int]) -> NDArray[np.uint8]:
        """The rows of these tasks, `[T, bytes]`."""
        return self._rows[[self._place(split, task) for task in tasks]] if len(tasks) else self._rows[:0]


def _read(path: Path) -> tuple[dict[str, tuple[int, ...]], list[tuple[str, str]], NDArray[np.uint8]]:
    """Shapes, keys and bits of a mask file, checked against its checksum."""
    if not path.is_file():
        raise HfmetaError(f"there is no mask file {path}; it is saved with a checkpoint once the tasks are pruned.")
    try:
        with safe_open(path, "np") as file:
            metadata = file.metadata() or {}
            rows = np.array(file.get_tensor("masks"))  # a copy, which may be written to
        text = metadata[_ENTRY]
        if int(metadata["crc32"]) != _checksum(text, rows):
            raise ValueError("its checksum does not fit its content")
        header = json.loads(text)
        if header["format"] != FORMAT:
            raise HfmetaError(
                f"{path} has format {header['format']!r}; this hfmeta reads {FORMAT}. Install a newer hfmeta."
            )
        shapes = {str(name): tuple(map(int, shape)) for name, shape in header["shapes"].items()}
        keys = [(task_key(split), task_key(task)) for split, task in header["keys"]]
    except HfmetaError:
        raise
    except (SafetensorError, AttributeError, KeyError, TypeError, ValueError, OSError) as error:
        raise _damaged(path, " ".join(str(error).split()) or type(error).__name__) from error
    return shapes, keys, rows


def _checksum(text: str, rows: NDArray[np.uint8]) -> int:
    """CRC-32 of the header and the bits."""
    return zlib.crc32(np.ascontiguousarray(rows).data, zlib.crc32(text.encode("utf-8")))


def _damaged(path: Path, why: str) -> HfmetaError:
    return HfmetaError(
        f"{path} is damaged, cut short or no mask file ({why}). Take it from a backup, or prune the tasks anew."
    )


def _said(shape: Sequence[int] | None) -> str:
    return "absent" if shape is None else f"{tuple(shape)} ({math.prod(shape):,} entries)"
