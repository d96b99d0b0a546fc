"""Checks of hfmeta/metrics/diversity.py."""

from __future__ import annotations

import math

import pytest

from hfmeta.inner.errors import HfmetaError
from hfmeta.metrics import distinct

RESPONSES = ["I am here", "i am there", "so am i"]


def test_pooled_by_hand():
    one, two = distinct(RESPONSES, 1), distinct(RESPONSES, 2)
    assert (one.types, one.ngrams) == (5, 9)
    assert one.pooled == pytest.approx(5 / 9)
    assert (two.types, two.ngrams) == (5, 6)
    assert one.task_mean == one.pooled
    assert math.isnan(one.ci95)


def test_per_task_by_hand():
    result = distinct(RESPONSES, 1, ["a", "a", "b"])
    assert result.task_mean == pytest.approx((4 / 6 + 1) / 2)
    assert result.ci95 == pytest.approx(1.96 * (1 / 3) / 2)
    assert result.pooled == pytest.approx(5 / 9)


def test_tokens_case_and_borders():
    assert distinct([["I", "am"], ["i", "am"]]).types == 2
    assert distinct([["I", "am"], ["i", "am"]], lowercase=False).types == 3
    assert distinct(["a b", "c d"], 2).ngrams == 2  # no bigram across responses


@pytest.mark.parametrize("responses", [["", ""], ["word"]])
def test_nothing_generated_is_zero(responses):
    assert distinct(responses, 2).pooled == 0.0


def test_errors():
    with pytest.raises(HfmetaError, match="Dist-1 needs lists of one length, at least 1: received 0 responses"):
        distinct([])
    with pytest.raises(HfmetaError, match="received 1 responses, 2 tasks"):
        distinct(["a"], 1, ["x", "y"])
    with pytest.raises(HfmetaError, match="length 1 or more: received n=0"):
        distinct(["a"], 0)
    with pytest.raises(HfmetaError, match="takes responses as a list"):
        distinct("a b c")
