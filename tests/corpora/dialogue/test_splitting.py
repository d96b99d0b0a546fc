"""Splits by persona: no dialogue of a held-out persona is trained on, and held-out personas keep what they may."""

from __future__ import annotations

import logging

import pytest
from datasets import Dataset
from hypothesis import given, settings
from hypothesis import strategies as st

from hfmeta.corpora import split_by_persona
from hfmeta.episodes import EpisodeError, check_disjoint, split_tasks


def table(pairs: list[tuple[int, int]]) -> Dataset:
    """One dialogue for each pair of personas, two turns of each user."""
    rows = [
        {"persona": str(own), "partner": str(other), "dialogue": str(number), "reply": f"{number} {turn}"}
        for number, pair in enumerate(pairs)
        for turn, (own, other) in enumerate([pair, pair[::-1], pair, pair[::-1]])
    ]
    return Dataset.from_list(rows)


@settings(max_examples=60, deadline=None)
@given(
    pairs=st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9)), min_size=12, max_size=60), seed=st.integers(0, 5)
)
def test_the_rule(pairs: list[tuple[int, int]], seed: int) -> None:
    rows = table([*pairs, *((user, user) for user in range(10))])
    parts = split_by_persona(rows, seed=seed)
    split = split_tasks(map(str, range(10)), {"train": 8, "valid": 1, "test": 1}, seed)
    part_of = {name: part for part, names in split.items() for name in names}
    expected: dict[str, list[str]] = {"train": [], "valid": [], "test": []}
    for row in rows:
        own, other = part_of[row["persona"]], part_of[row["partner"]]
        allowed = {"train": ("train",), "valid": ("train", "valid"), "test": ("train", "valid", "test")}[own]
        if other in allowed:
            expected[own].append(row["reply"])
    assert {part: found["reply"][:] for part, found in parts.items()} == expected
    check_disjoint(parts, "persona")
    for part, later in (("train", ("valid", "test")), ("valid", ("test",))):
        held = {name for other in later for name in parts[other]["persona"]}
        assert not held & {*parts[part]["persona"], *parts[part]["partner"]}


def test_counts_are_said_and_a_split_can_be_given(caplog: pytest.LogCaptureFixture) -> None:
    rows = table([(0, 1), (0, 2), (1, 2), (2, 2)])
    with caplog.at_level(logging.INFO):
        parts = split_by_persona(rows, split={"train": ["0", "1"], "test": ["2"]})
    assert [len(part) for part in parts.values()] == [4, 8]
    assert (
        "train: 2 of 2 personas, 1 dialogues, 4 replies; 2 dialogues with personas of later parts left out"
        in caplog.text
    )
    assert "test: 1 of 1 personas, 3 dialogues, 8 replies; 0 dialogues" in caplog.text


def test_refusals() -> None:
    rows = table([(0, 1), (1, 2)])
    with pytest.raises(EpisodeError, match="1 personas are in no part of the split, such as '2'"):
        split_by_persona(rows, split={"train": ["0"], "test": ["1"]})
    with pytest.raises(EpisodeError, match="all 2 rows of part 'train' are in dialogues with personas of later parts"):
        split_by_persona(rows, split={"train": ["0"], "test": ["1", "2"]})
    with pytest.raises(EpisodeError, match="no column 'partner'"):
        split_by_persona(rows.remove_columns("partner"))
    with pytest.raises(EpisodeError, match="they must be positive and sum to 1"):
        split_by_persona(rows, {"train": 0.5, "test": 0.2})
