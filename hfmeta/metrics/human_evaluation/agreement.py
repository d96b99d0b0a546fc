"""How far annotators agree beyond chance: weighted kappa of pairs, and Krippendorff's alpha of all together.

Not here: reading sheets.
"""

from __future__ import annotations

import math
from itertools import combinations
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike

from hfmeta.inner.errors import HfmetaError


def pairwise_kappa(ratings: ArrayLike, weights: Literal["linear", "quadratic"] | None = "quadratic") -> float:
    """Weighted Cohen's kappa, averaged over all pairs of annotators: 1 for full agreement, 0 for what chance gives.

    Args:
        ratings: [R, N], scores of R annotators for the same N responses, whole numbers.
        weights: how much a larger disagreement weighs more; None: every disagreement weighs the same.

    Returns:
        nan for a single annotator, or where no pair has a kappa (both gave one and the same score throughout).

    Raises:
        HfmetaError: ratings that are not a table of whole numbers.

    Source: Cohen 1968; computed by scikit-learn.
    """
    from sklearn.metrics import cohen_kappa_score

    table = _table(ratings)
    levels = np.unique(table)
    kappas = []
    for first, second in combinations(table, 2):
        if len(np.unique([first, second])) > 1:  # else chance agreement is 1 and kappa is 0 / 0
            kappas.append(float(cohen_kappa_score(first, second, labels=levels, weights=weights)))
    return float(np.mean(kappas)) if kappas else math.nan


def krippendorff_alpha(ratings: ArrayLike, level: Literal["nominal", "ordinal", "interval"] = "ordinal") -> float:
    """Krippendorff's alpha of any number of annotators, with scores missing (nan) or not.

    Args:
        ratings: [R, N], scores of R annotators for N responses; nan where one has none.
        level: what a disagreement between two scores amounts to: the same always, by the ranks in between, or by the squared
            difference.

    Returns:
        1 for full agreement, 0 for what chance gives; nan where fewer than two scores can be compared, or all are the same.

    Raises:
        HfmetaError: ratings that are not a table of numbers, or an unknown level.

    Source: Krippendorff 2011, "Computing Krippendorff's Alpha-Reliability".
    """
    table = np.asarray(ratings, dtype=np.float64)
    if table.ndim != 2 or table.size == 0:
        raise HfmetaError(f"agreement needs ratings [annotators, responses]: received shape {list(table.shape)}.")
    if level not in ("nominal", "ordinal", "interval"):
        raise HfmetaError(f"unknown level {level!r}; choose nominal, ordinal or interval.")
    values = np.unique(table[~np.isnan(table)])
    # How often each value was given to each response, and from that how often two values met: [V, N] and [V, V].
    counts = (table[None] == values[:, None, None]).sum(1).astype(np.float64)
    counts = counts[:, counts.sum(0) > 1]
    met = counts @ (counts / (counts.sum(0) - 1)).T - np.diag((counts / (counts.sum(0) - 1)).sum(1))
    given = met.sum(1)
    distance = _distances(values, given, level)
    expected = (np.outer(given, given) * distance).sum() / (given.sum() - 1) if given.sum() > 1 else 0.0
    return float(1.0 - (met * distance).sum() / expected) if expected > 0 else math.nan


def _distances(values: np.ndarray, given: np.ndarray, level: str) -> np.ndarray:
    if level == "nominal":
        return 1.0 - np.eye(len(values))
    if level == "interval":
        return np.subtract.outer(values, values) ** 2
    # Ordinal: all that lies between two ranks, the two themselves by half.
    ranks = np.cumsum(given) - given / 2
    return np.subtract.outer(ranks, ranks) ** 2


def _table(ratings: ArrayLike) -> np.ndarray:
    table = np.asarray(ratings)
    if table.ndim != 2 or table.size == 0 or not np.issubdtype(table.dtype, np.integer):
        raise HfmetaError(
            f"kappa needs whole-number ratings [annotators, responses]: received shape {list(table.shape)} of {table.dtype}."
        )
    return table
