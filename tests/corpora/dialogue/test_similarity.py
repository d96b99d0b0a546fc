"""Similarity of users, and the subsets that are most and least alike."""

from __future__ import annotations

import itertools
import logging

import numpy as np
import pytest
from datasets import Dataset
from hypothesis import given, settings
from hypothesis import strategies as st

from hfmeta.corpora.dialogue import (
    dissimilar_subset,
    mean_similarity,
    persona_similarity,
    personas_of,
    select_users,
    similar_subset,
    similarity_matrix,
)
from hfmeta.episodes import EpisodeError


def random_matrix(size: int, seed: int) -> np.ndarray:
    values = np.random.default_rng(seed).random((size, size))
    return (values + values.T) / 2


def test_jaccard() -> None:
    assert persona_similarity(["I run.", "i  like tea"], ["i like TEA", "i run", "i draw"]) == 2 / 3
    assert persona_similarity(["a"], ["b"]) == 0.0
    assert persona_similarity([], []) == 0.0
    assert persona_similarity(["i like black tea"], ["my tea is black, not green"], unit="word") == 2 / 3
    assert persona_similarity(["i am what i am"], ["you are"], unit="word") == 0.0
    with pytest.raises(EpisodeError, match="unit='words' is unknown.*Did you mean 'word'"):
        persona_similarity(["a"], ["b"], unit="words")


def test_matrix() -> None:
    personas = [["i run", "i draw"], ["i run"], ["i sleep"]]
    assert similarity_matrix(personas).tolist() == [[1, 0.5, 0], [0.5, 1, 0], [0, 0, 1]]
    vectors = {"i run": [1.0, 0.0], "i draw": [0.0, 1.0], "i sleep": [-3.0, 0.0]}
    cosines = similarity_matrix(personas, embed=lambda sentences: [vectors[s] for s in sentences])
    np.testing.assert_allclose(cosines, [[1, 0.5**0.5, -(0.5**0.5)], [0.5**0.5, 1, -1], [-(0.5**0.5), -1, 1]])
    with pytest.raises(EpisodeError, match="user 1 has no persona sentence to embed"):
        similarity_matrix([["a"], []], embed=lambda s: np.zeros((len(s), 2)))
    with pytest.raises(EpisodeError, match=r"embed gave the shape \(2,\) for 2 sentences"):
        similarity_matrix([["a"], ["b"]], embed=lambda s: np.zeros(len(s)))


def test_all_sentences_of_a_persona() -> None:
    rows = Dataset.from_dict({"persona": ["b", "a", "b"], "persona_sentences": [["y", "x"], ["z"], ["x", "w"]]})
    assert personas_of(rows) == {"b": ["w", "x", "y"], "a": ["z"]}


@settings(max_examples=40, deadline=None)
@given(size=st.integers(3, 8), seed=st.integers(0, 1000), data=st.data())
def test_the_similar_subset_is_near_the_best(size: int, seed: int, data: st.DataObject) -> None:
    matrix = random_matrix(size, seed)
    count = data.draw(st.integers(2, size))
    found = similar_subset(matrix, count)
    assert len(set(found)) == count
    assert found == sorted(found)
    best = max(mean_similarity(matrix, one) for one in itertools.combinations(range(size), count))
    assert mean_similarity(matrix, found) >= best - 0.02
    if count == 2:
        assert mean_similarity(matrix, found) == pytest.approx(best)


def test_planted_subsets_are_found() -> None:
    matrix = random_matrix(40, 1) * 0.3
    friends = [3, 8, 15, 22, 39]
    matrix[np.ix_(friends, friends)] += 0.5
    assert similar_subset(matrix, 5) == friends
    strangers = [1, 12, 30]
    matrix += 0.2
    matrix[np.ix_(strangers, strangers)] = 0.0
    assert dissimilar_subset(matrix, 3) == strangers


def test_the_dissimilar_subset_is_greedy_max_min() -> None:
    matrix = np.array([[1, 0.5, 0.1, 0.4], [0.5, 1, 0.2, 0.3], [0.1, 0.2, 1, 0.6], [0.4, 0.3, 0.6, 1]])
    assert dissimilar_subset(matrix, 2) == [0, 2]
    assert dissimilar_subset(matrix, 3) == [0, 1, 2]
    assert dissimilar_subset(matrix, 4) == [0, 1, 2, 3]
    assert mean_similarity(matrix, [0, 1, 2]) == pytest.approx(0.8 / 3)
    assert matrix[0, 0] == 1, "the matrix given is left alone"


def test_refusals() -> None:
    with pytest.raises(EpisodeError, match=r"similarity has the shape \(2, 3\); a symmetric matrix"):
        similar_subset(np.zeros((2, 3)), 2)
    with pytest.raises(EpisodeError, match="a symmetric matrix"):
        dissimilar_subset([[1, 0.5], [0.2, 1]], 2)
    with pytest.raises(EpisodeError, match="a subset of 3 users was asked for; there are 2"):
        similar_subset(np.eye(2), 3)
    with pytest.raises(EpisodeError, match="size must be a whole number of at least 2 users, got 1"):
        mean_similarity(np.eye(2), [0])


def test_rows_of_the_users_that_are_most_or_least_alike(caplog: pytest.LogCaptureFixture) -> None:
    sentences = {"a": ["tea books"], "b": ["tea chess"], "c": ["ships"], "d": ["tea"]}
    names = [*"abcdabcd"]
    rows = Dataset.from_dict(
        {"persona": names, "persona_sentences": [sentences[n] for n in names], "reply": [*"12345678"]}
    )
    with caplog.at_level(logging.INFO):
        assert select_users(rows, "similar", 3)["reply"][:] == [*"124568"]
    assert "3 similar users of 4, by word: a, b, d; mean similarity 0.444, that of all 0.222" in caplog.text
    assert set(select_users(rows, "dissimilar", 2)["persona"]) == {"a", "c"}
    with pytest.raises(EpisodeError, match="kind='alike' is unknown; choose one of 'similar', 'dissimilar'"):
        select_users(rows, "alike", 2)
    with pytest.raises(EpisodeError, match="a subset of 5 users was asked for; there are 4"):
        select_users(rows, "similar", 5)
    with pytest.raises(EpisodeError, match="no column 'persona_sentences'"):
        select_users(rows.remove_columns("persona_sentences"), "similar", 2)
