"""Checks of hfmeta/metrics/scores.py."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from hfmeta.inner.errors import HfmetaError
from hfmeta.metrics import adaptation_gain, mean_ci95, paired_difference, task_accuracy


def test_mean_and_interval_by_hand():
    mean, half_width = mean_ci95([0.6, 0.8, 1.0, 0.8])
    assert mean == pytest.approx(0.8)
    assert half_width == pytest.approx(1.96 * math.sqrt((0.04 + 0 + 0.04 + 0) / 3) / 2)


@pytest.mark.parametrize("values", [[0.25, 0.5], (0.25, 0.5), np.array([0.25, 0.5]), torch.tensor([0.25, 0.5])])
def test_any_sequence_of_numbers(values):
    assert mean_ci95(values) == (0.375, pytest.approx(1.96 * 0.125))


def test_one_task_has_no_interval():
    mean, half_width = mean_ci95([0.5])
    assert mean == 0.5
    assert math.isnan(half_width)


@pytest.mark.parametrize("values", [[], [[0.5, 0.5]], 0.5])
def test_a_list_of_tasks_is_wanted(values):
    with pytest.raises(
        HfmetaError, match="values must hold one number for each of at least one task: got an array of shape"
    ):
        mean_ci95(values)


@given(st.integers(2, 40), st.integers(0, 2**16))
def test_the_interval_follows_a_change_of_units(tasks, seed):
    values = np.random.default_rng([tasks, seed]).normal(size=tasks)
    mean, half_width = mean_ci95(values)
    shifted_mean, shifted_width = mean_ci95(3 * values + 2)
    assert shifted_mean == pytest.approx(3 * mean + 2)
    assert shifted_width == pytest.approx(3 * half_width)


def test_the_interval_covers_as_often_as_it_says():
    draws = np.random.default_rng(0).normal(size=(2000, 100))
    covered = [abs(mean) <= half_width for mean, half_width in map(mean_ci95, draws)]
    assert np.mean(covered) == pytest.approx(0.95, abs=0.015)


def test_paired_difference_by_hand():
    difference = paired_difference([0.8, 0.6, 1.0], torch.tensor([0.9, 0.7, 1.0], dtype=torch.float64))
    assert difference.mean == pytest.approx(0.2 / 3)
    assert difference.ci95 == pytest.approx(mean_ci95([0.1, 0.1, 0.0])[1])
    assert difference.relative_error_reduction == pytest.approx((0.2 / 3) / 0.2)  # errors fall from 0.2 to 0.1333
    assert difference.tasks == 3


def test_pairing_is_narrower_than_two_intervals():
    rng = np.random.default_rng(1)
    difficulty = rng.uniform(0.5, 0.9, size=200)
    first, second = difficulty + rng.normal(scale=0.01, size=200), difficulty + 0.02 + rng.normal(scale=0.01, size=200)
    difference = paired_difference(first, second)
    assert difference.ci95 < 0.2 * mean_ci95(first)[1]
    assert difference.mean - difference.ci95 > 0


def test_paired_difference_without_errors_or_with_one_task():
    assert math.isnan(paired_difference([1.0, 1.0], [1.0, 0.9]).relative_error_reduction)
    assert math.isnan(paired_difference([0.5], [0.7]).ci95)
    assert paired_difference([0.5, 0.5], [0.25, 0.25]).relative_error_reduction == pytest.approx(-0.5)


@pytest.mark.parametrize("compare", [paired_difference, adaptation_gain])
def test_pairs_need_the_same_tasks(compare):
    with pytest.raises(HfmetaError, match="needs the same tasks .*: got 2 and 3 scores"):
        compare([0.1, 0.2], [0.1, 0.2, 0.3])
    with pytest.raises(HfmetaError, match="must hold one number for each of at least one task"):
        compare([], [])


def test_task_accuracy_leaves_ignored_rows_out():
    logits = torch.eye(3)[torch.tensor([[0, 1, 2, 0], [2, 2, 2, 2], [0, 0, 0, 0]])]
    labels = torch.tensor([[0, 1, 1, -100], [2, -100, -100, -100], [-100, -100, -100, -100]])
    accuracies = task_accuracy(logits, labels)
    assert accuracies.dtype == torch.float64
    assert accuracies[:2].tolist() == [pytest.approx(2 / 3), 1.0]
    assert accuracies[2].isnan()


def test_task_accuracy_of_tokens():
    logits = torch.eye(4)[torch.tensor([[[0, 1], [2, 3]]])]
    assert task_accuracy(logits, torch.tensor([[[0, 1], [3, -100]]])).tolist() == [pytest.approx(2 / 3)]


@pytest.mark.parametrize(("logits", "labels"), [((2, 4, 3), (2, 5)), ((4, 3), (4,)), ((2, 4, 3), (2, 4, 3))])
def test_task_accuracy_refuses_other_shapes(logits, labels):
    with pytest.raises(HfmetaError, match=r"needs logits \[T, Q, C\] and labels \[T, Q\]: got shapes"):
        task_accuracy(torch.zeros(logits), torch.zeros(labels, dtype=torch.int64))


def test_adaptation_gain():
    gain = adaptation_gain([0.2, 0.5], torch.tensor([0.7, 0.4], dtype=torch.float64))
    assert gain.tolist() == pytest.approx([0.5, -0.1])
    assert gain.dtype == torch.float64
