"""Masks as bits: packing, unpacking, and overlaps counted on the packed form."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

_CHUNK = 1 << 17
"""Bytes of one block of masks in `jaccard`: small enough to stay in a core's cache."""


def packed_size(shape: Sequence[int]) -> int:
    """Bytes of one packed mask of this shape."""
    return (math.prod(shape) + 7) // 8


def pack(masks: Tensor) -> NDArray[np.uint8]:
    """T masks as bits, eight to a byte, first entry highest, each mask filled up to whole bytes with zeros.

    Args:
        masks: `[T, ...]`; what is not zero is kept.

    Returns:
        `[T, packed_size]`.
    """
    flat = masks.detach().reshape(masks.shape[0], math.prod(masks.shape[1:])).to("cpu", torch.bool)
    return np.packbits(flat.numpy(), axis=1)


def unpack(rows: NDArray[np.uint8], shape: Sequence[int]) -> Tensor:
    """The masks that `pack` made these rows of: bool, `[T, *shape]`."""
    flat = np.unpackbits(rows, axis=1, count=math.prod(shape))
    return torch.from_numpy(flat.view(np.bool_)).view(len(rows), *shape)


def jaccard(rows: NDArray[np.uint8]) -> Tensor:
    """Pairwise Jaccard overlap of packed masks, `[T, bytes]` to `[T, T]` float64; two empty masks overlap by 1."""
    count, width = rows.shape
    padded = np.zeros((count, (width + 7) // 8 * 8), dtype=np.uint8)
    padded[:, :width] = rows
    words = padded.view(np.uint64)
    both = np.zeros((count, count), dtype=np.int64)
    step = max(1, _CHUNK // (8 * max(count, 1)))
    for start in range(0, words.shape[1], step):
        block = np.ascontiguousarray(words[:, start : start + step])
        for row in range(count):
            both[row, row:] += np.bitwise_count(block[row] & block[row:]).sum(axis=1, dtype=np.int64)
    both += np.triu(both, 1).T
    kept = both.diagonal()
    either = kept[:, None] + kept[None, :] - both
    return torch.from_numpy(np.where(either == 0, 1.0, both / np.maximum(either, 1)))
