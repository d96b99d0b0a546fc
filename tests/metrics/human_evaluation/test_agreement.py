"""Checks of hfmeta/metrics/human_evaluation/agreement.py against published figures."""

from __future__ import annotations

import math

import numpy as np
import pytest
from sklearn.metrics import cohen_kappa_score

from hfmeta.inner.errors import HfmetaError
from hfmeta.metrics.human_evaluation import krippendorff_alpha, pairwise_kappa

N = math.nan
PUBLISHED = [
    [1, 2, 3, 3, 2, 1, 4, 1, 2, N, N, N],
    [1, 2, 3, 3, 2, 2, 4, 1, 2, 5, N, 3],
    [N, 3, 3, 3, 2, 3, 4, 2, 2, 5, 1, N],
    [1, 2, 3, 3, 2, 4, 4, 1, 2, 5, 1, N],
]
"""Four observers, twelve units: example D of Krippendorff 2011."""


@pytest.mark.parametrize(("level", "alpha"), [("nominal", 0.743), ("ordinal", 0.815), ("interval", 0.849)])
def test_alpha_of_the_published_example(level, alpha):
    assert krippendorff_alpha(PUBLISHED, level) == pytest.approx(alpha, abs=5e-4)


def test_alpha_at_its_ends():
    same = np.array([[0, 1, 2, 2], [0, 1, 2, 2]])
    assert krippendorff_alpha(same) == 1.0
    rng = np.random.default_rng(0)
    assert krippendorff_alpha(rng.integers(0, 3, size=(3, 4000))) == pytest.approx(0.0, abs=0.03)
    assert math.isnan(krippendorff_alpha([[1, 1], [1, 1]]))
    assert math.isnan(krippendorff_alpha([[0, 1, 2]]))
    assert math.isnan(krippendorff_alpha([[N, N], [N, N]]))


def test_kappa_is_a_mean_over_pairs():
    table = np.array([[0, 1, 2, 2, 1], [0, 2, 2, 1, 1], [0, 1, 1, 2, 0]])
    expected = np.mean(
        [cohen_kappa_score(table[i], table[j], weights="quadratic") for i, j in ((0, 1), (0, 2), (1, 2))]
    )
    assert pairwise_kappa(table) == pytest.approx(expected)
    assert pairwise_kappa(table, None) != pytest.approx(expected)
    assert pairwise_kappa(table[:1].repeat(2, 0)) == 1.0


def test_kappa_where_there_is_none():
    assert math.isnan(pairwise_kappa([[0, 1, 2]]))
    assert math.isnan(pairwise_kappa([[1, 1, 1], [1, 1, 1]]))
    assert pairwise_kappa([[1, 1, 1], [1, 1, 1], [1, 1, 0]]) == 0.0


def test_errors():
    with pytest.raises(
        HfmetaError, match=r"whole-number ratings \[annotators, responses\]: received shape \[2, 1\] of float64"
    ):
        pairwise_kappa([[0.5], [1.0]])
    with pytest.raises(HfmetaError, match=r"agreement needs ratings \[annotators, responses\]: received shape \[3\]"):
        krippendorff_alpha([1, 2, 3])
    with pytest.raises(HfmetaError, match="unknown level 'ratio'; choose nominal, ordinal or interval"):
        krippendorff_alpha([[1, 2]], "ratio")
