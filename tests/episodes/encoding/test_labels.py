"""Class labels -> ids."""

from __future__ import annotations

import numpy as np
import pytest

from hfmeta.episodes import EpisodeError
from hfmeta.episodes.encoding.labels import Labels


def test_without_names_the_distinct_labels_are_sorted() -> None:
    assert Labels(None).ids(["b", "a", "b"], "c") == [1, 0, 1]
    assert Labels(None).ids([10, 9, 10], "c") == [1, 0, 1]
    assert Labels(None).ids(["x", 3, "a"], "c") == [2, 0, 1]
    assert Labels(None).ids(np.array([5, 7, 5]), "c") == [0, 1, 0]
    assert Labels(None).ids([True, False], "c") == [1, 0]


def test_with_names_their_order_counts() -> None:
    labels = Labels(["so", "glad", "sad"])
    assert labels.ids(["sad", "so"], "c") == [2, 0]
    assert labels.ids([2, 0, np.int64(1)], "c") == [2, 0, 1]  # as a ClassLabel column holds them
    assert Labels([4, 2]).ids([2, 4], "c") == [1, 0]


def test_given_ids_win() -> None:
    assert Labels(["a"]).tensor([None, None], "c", [3, 1]).tolist() == [3, 1]


def test_refusals() -> None:
    with pytest.raises(
        EpisodeError,
        match="column 'c' .* 'galad', .* one of the 2 known classes: sad, glad. Did you mean 'glad'",
    ):
        Labels(["sad", "glad"]).ids(["galad"], "c")
    with pytest.raises(EpisodeError, match="has the label 2, which is not one of the 2"):
        Labels(["sad", "glad"]).ids([2], "c")
    with pytest.raises(EpisodeError, match="label_names has repeated entries"):
        Labels(["a", "a"])
    with pytest.raises(EpisodeError, match="c holds 0.5; a class label is text or a whole number"):
        Labels(None).ids([0.5], "c")
