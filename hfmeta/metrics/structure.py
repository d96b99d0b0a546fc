"""Structure overlap: how much of their private edges two tasks share (Jaccard index), on masks as they are kept: bools or packed bits.

Not here: making masks (adapters room) and plotting.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from torch import Tensor

from hfmeta.inner.errors import HfmetaError

Structure = Mapping[str, "Tensor | np.ndarray"] | Tensor | np.ndarray | bytes
"""A task's mask: bool arrays by tensor name, one bool array, or bits packed by `numpy.packbits` (uint8 arrays or bytes)."""


@dataclass(frozen=True)
class RankCorrelation:
    """Spearman's correlation over pairs of tasks.

    Args:
        rho: from -1 to 1; nan where one side is the same for all pairs.
        low: lower end of the 95 % interval, by a bootstrap over tasks (pairs are not independent).
        high: upper end.
        pairs: number of pairs.
    """

    rho: float
    low: float
    high: float
    pairs: int


def structure_overlap(first: Structure, second: Structure) -> float:
    """Kept edges that both structures have over those that either has: 1 for equal ones, 0 for ones without a common edge.

    Two empty structures are equal, so 1. Bits that packing leaves over at the end of the last byte must be 0, as
    `numpy.packbits` leaves them.

    Args:
        first: bool arrays or packed bits, by tensor name or one alone.
        second: likewise, over the same tensors.

    Raises:
        HfmetaError: other tensors or shapes on the two sides, or something that is neither bool nor packed bits.
    """
    return float(pairwise_overlap([first, second])[0, 1])


def pairwise_overlap(structures: Sequence[Structure]) -> np.ndarray:
    """The overlap of every pair of structures.

    Args:
        structures: T masks, all over the same tensors.

    Returns:
        [T, T], float64, symmetric, ones on the diagonal.

    Raises:
        HfmetaError: see `structure_overlap`.
    """
    rows = [_packed(structure) for structure in structures]
    for number, row in enumerate(rows):
        if [(name, shape) for name, shape, _ in row] != [(name, shape) for name, shape, _ in rows[0]]:
            raise HfmetaError(
                f"structures 0 and {number} are over different tensors: {_described(rows[0])} against {_described(row)}."
            )
    bits = [np.concatenate([part for _, _, part in row]) for row in rows]
    sizes = np.array([int(np.bitwise_count(one).sum()) for one in bits], dtype=np.float64)
    overlap = np.eye(len(bits))
    for i in range(len(bits)):
        for j in range(i):
            common = float(np.bitwise_count(bits[i] & bits[j]).sum())
            either = sizes[i] + sizes[j] - common
            overlap[i, j] = overlap[j, i] = common / either if either else 1.0
    return overlap


def mean_overlap(structures: Sequence[Structure]) -> float:
    """Mean overlap over all pairs of different tasks.

    Args:
        structures: T >= 2 masks.

    Raises:
        HfmetaError: fewer than two structures; see also `structure_overlap`.
    """
    if len(structures) < 2:
        raise HfmetaError(
            f"a mean overlap is over pairs, so it needs at least two structures: received {len(structures)}."
        )
    return float(pairwise_overlap(structures)[np.tril_indices(len(structures), -1)].mean())


def pair_rank_correlation(
    first: ArrayLike, second: ArrayLike, *, seed: int = 0, resamples: int = 1000
) -> RankCorrelation:
    """Whether pairs of tasks that are close in one respect are close in another, such as persona similarity and structure overlap.

    Args:
        first: [T, T], symmetric; the diagonal is left out.
        second: [T, T], likewise.
        seed: of the bootstrap.
        resamples: bootstrap draws of T tasks with replacement; a pair of a task with itself is left out.

    Raises:
        HfmetaError: matrices that are not square or of unequal size, or fewer than three tasks.
    """
    a, b = np.asarray(first, dtype=np.float64), np.asarray(second, dtype=np.float64)
    if a.shape != b.shape or a.ndim != 2 or a.shape[0] != a.shape[1] or len(a) < 3:
        raise HfmetaError(
            "a correlation over pairs of tasks needs two matrices [T, T] of at least three tasks: received "
            f"shapes {list(a.shape)} and {list(b.shape)}."
        )
    lower = np.tril_indices(len(a), -1)
    rng = np.random.default_rng([seed, len(a)])
    draws = []
    for _ in range(resamples):
        chosen = rng.integers(len(a), size=len(a))
        rows, columns = chosen[lower[0]], chosen[lower[1]]
        distinct = rows != columns
        draws.append(_spearman(a[rows, columns][distinct], b[rows, columns][distinct]))
    defined = [draw for draw in draws if not math.isnan(draw)]
    low, high = np.percentile(defined, [2.5, 97.5]) if defined else (math.nan, math.nan)
    return RankCorrelation(_spearman(a[lower], b[lower]), float(low), float(high), len(lower[0]))


def _spearman(a: np.ndarray, b: np.ndarray) -> float:
    from scipy.stats import rankdata

    if len(a) < 2 or np.ptp(a) == 0 or np.ptp(b) == 0:
        return math.nan
    return float(np.corrcoef(rankdata(a), rankdata(b))[0, 1])


def _packed(structure: Structure) -> list[tuple[str, tuple[object, ...], np.ndarray]]:
    """Tensor names in order, with shapes and packed bits."""
    parts = dict(structure) if isinstance(structure, Mapping) else {"": structure}
    rows = []
    for name in sorted(parts):
        values = parts[name]
        if isinstance(values, Tensor):
            values = values.detach().cpu().numpy()
        elif isinstance(values, bytes):
            values = np.frombuffer(values, dtype=np.uint8)
        if not isinstance(values, np.ndarray) or values.dtype not in (np.bool_, np.uint8):
            kind = getattr(values, "dtype", type(values).__name__)
            where = f" of {name}" if name else ""
            raise HfmetaError(
                f"the mask{where} must be bool, or bits packed as uint8 by numpy.packbits: received {kind}. "
                "(Write mask > 0 or mask != 0.)"
            )
        shape: tuple[object, ...] = ("bits" if values.dtype == np.uint8 else "bools", *values.shape)
        rows.append((name, shape, values.ravel() if values.dtype == np.uint8 else np.packbits(values)))
    if not rows:
        raise HfmetaError("a structure needs at least one tensor: received an empty mapping.")
    return rows


def _described(rows: Sequence[tuple[str, tuple[object, ...], np.ndarray]]) -> str:
    return ", ".join(f"{name or 'mask'} {list(shape)}" for name, shape, _ in rows[:5])
