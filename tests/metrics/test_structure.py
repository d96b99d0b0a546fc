"""Checks of hfmeta/metrics/structure.py."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import spearmanr

from hfmeta.adapters.pruning.bits import jaccard
from hfmeta.inner.errors import HfmetaError
from hfmeta.metrics import mean_overlap, pair_rank_correlation, pairwise_overlap, structure_overlap


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 40), st.integers(0, 10_000))
def test_equals_the_definition_in_every_form(size, seed):
    rng = np.random.default_rng(seed)
    a, b = rng.random(size) < 0.4, rng.random(size) < 0.4
    ones, others = set(np.flatnonzero(a)), set(np.flatnonzero(b))
    expected = len(ones & others) / len(ones | others) if ones | others else 1.0
    forms = [
        (a, b),
        (torch.from_numpy(a), torch.from_numpy(b)),
        (np.packbits(a), np.packbits(b)),
        (np.packbits(a).tobytes(), np.packbits(b).tobytes()),
        ({"x": a[: size // 2], "y": a[size // 2 :]}, {"y": b[size // 2 :], "x": torch.from_numpy(b[: size // 2])}),
        ({"x": np.packbits(a)}, {"x": np.packbits(b)}),
    ]
    for first, second in forms:
        assert structure_overlap(first, second) == pytest.approx(expected)


def test_extremes():
    full, empty = np.ones(9, dtype=bool), np.zeros(9, dtype=bool)
    assert structure_overlap(full, full) == 1.0
    assert structure_overlap(full, empty) == 0.0
    assert structure_overlap(empty, empty) == 1.0


def test_all_pairs():
    masks = [np.array([1, 1, 0, 0], dtype=bool), np.array([1, 0, 1, 0], dtype=bool), np.array([0, 0, 1, 1], dtype=bool)]
    expected = np.array([[1, 1 / 3, 0], [1 / 3, 1, 1 / 3], [0, 1 / 3, 1]])
    np.testing.assert_allclose(pairwise_overlap(masks), expected)
    assert mean_overlap(masks) == pytest.approx(2 / 9)


def test_masks_of_the_papers_size_are_quick():
    rng = np.random.default_rng(0)
    masks = [np.packbits(rng.random(980_000) < 0.1) for _ in range(4)]
    assert masks[0].nbytes <= 125_000
    overlap = pairwise_overlap(masks)[np.tril_indices(4, -1)]
    np.testing.assert_allclose(overlap, 0.01 / 0.19, atol=2e-3)


@pytest.mark.parametrize(
    ("first", "second", "message"),
    [
        (np.ones(3), np.ones(3), r"the mask must be bool, or bits packed as uint8.*received float64"),
        ({"w": torch.ones(2)}, {"w": torch.ones(2)}, "the mask of w must be bool.*received float32"),
        ([True], [True], "received list"),
        (np.ones(3, dtype=bool), np.ones(4, dtype=bool), "structures 0 and 1 are over different tensors"),
        ({"w": np.ones(2, dtype=bool)}, {"v": np.ones(2, dtype=bool)}, r"w \['bools', 2\] against v \['bools', 2\]"),
        (np.ones(8, dtype=bool), np.ones(1, dtype=np.uint8), "over different tensors"),
        ({}, {}, "needs at least one tensor"),
    ],
)
def test_structures_that_do_not_fit(first, second, message):
    with pytest.raises(HfmetaError, match=message):
        structure_overlap(first, second)


def test_a_mean_needs_a_pair():
    with pytest.raises(HfmetaError, match="at least two structures: received 1"):
        mean_overlap([np.ones(3, dtype=bool)])


def related(noise, tasks=25):
    rng = np.random.default_rng(3)
    points = rng.normal(size=(tasks, 2))
    near = -np.linalg.norm(points[:, None] - points[None], axis=-1)
    other = near + noise * rng.normal(size=near.shape)
    return near, (other + other.T) / 2


def test_rank_correlation_over_pairs():
    near, other = related(0.3)
    result = pair_rank_correlation(near, other, seed=1, resamples=200)
    lower = np.tril_indices(25, -1)
    assert result.rho == pytest.approx(spearmanr(near[lower], other[lower]).statistic)
    assert 0 < result.low < result.rho < result.high < 1
    assert result.pairs == 300
    assert pair_rank_correlation(near, other, seed=1, resamples=200) == result
    assert pair_rank_correlation(near, -np.exp(-near), resamples=20).rho == pytest.approx(1.0)


def test_no_relation_has_zero_in_its_interval():
    result = pair_rank_correlation(related(0.0)[0], related(100.0)[1], resamples=200)
    assert result.low < 0 < result.high


def test_correlation_of_what_never_changes():
    result = pair_rank_correlation(np.ones((4, 4)), related(0.0, 4)[0], resamples=5)
    assert math.isnan(result.rho)
    assert math.isnan(result.low)


@pytest.mark.parametrize("shapes", [((3, 3), (4, 4)), ((3, 4), (3, 4)), ((2, 2), (2, 2)), ((9,), (9,))])
def test_matrices_that_do_not_fit(shapes):
    with pytest.raises(HfmetaError, match=r"needs two matrices \[T, T\] of at least three tasks"):
        pair_rank_correlation(*(np.ones(shape) for shape in shapes))


def test_agrees_with_the_count_on_stored_masks():
    masks = np.random.default_rng(5).random((4, 37)) < 0.3
    stored = jaccard(np.stack([np.packbits(mask) for mask in masks]))
    np.testing.assert_allclose(pairwise_overlap(list(masks)), stored.numpy())
