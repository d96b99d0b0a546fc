"""Checks of hfmeta/metrics/grouping.py."""

from __future__ import annotations

import math

import pytest

from hfmeta.inner.errors import HfmetaError
from hfmeta.metrics.grouping import check_same_length, mean_over_tasks, positions_by


def test_one_length():
    assert check_same_length("it", a=[1, 2], b=(3, 4), c=None) == 2
    with pytest.raises(HfmetaError, match="it needs lists of one length, at least 1: received 2 a, 1 b"):
        check_same_length("it", a=[1, 2], b=[1])
    with pytest.raises(HfmetaError, match="it takes a as a list, one entry for each response"):
        check_same_length("it", a="xy", b=[1, 2])


def test_groups_keep_the_order_of_appearance():
    assert positions_by(["b", "a", "b"], 3) == {"b": [0, 2], "a": [1]}
    assert positions_by(None, 2) == {None: [0, 1]}


def test_tasks_count_the_same_whatever_their_size():
    mean, half, tasks = mean_over_tasks([1.0, 1.0, 1.0, 0.0], ["a", "a", "a", "b"])
    assert (mean, tasks) == (0.5, 2)
    assert half == pytest.approx(1.96 * 0.5)
    assert mean_over_tasks([1.0, 1.0, 1.0, 0.0], None)[0] == 0.75
    assert math.isnan(mean_over_tasks([1.0], None)[1])
