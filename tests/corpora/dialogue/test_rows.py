"""Caps on the dialogues of a user, and statistics of such tables."""

from __future__ import annotations

import logging
from collections import Counter

import pytest
from datasets import Dataset

from hfmeta.corpora import limit_dialogues
from hfmeta.corpora.dialogue import dialogue_counts
from hfmeta.episodes import EpisodeError


def table(sizes: dict[str, int], turns: int = 3) -> Dataset:
    return Dataset.from_list(
        [
            {"persona": name, "dialogue": f"{name}{d}", "reply": f"{name} {d} {t}"}
            for d in range(max(sizes.values()))
            for name, size in sizes.items()
            if d < size
            for t in range(turns)
        ]
    )


def test_at_most_so_many_dialogues_whole_and_in_order(caplog: pytest.LogCaptureFixture) -> None:
    rows = table({"a": 7, "b": 2, "c": 4})
    with caplog.at_level(logging.INFO):
        kept = limit_dialogues(rows, 3, seed=1)
    assert dialogue_counts(kept)["dialogues"] == 8
    assert Counter(Counter(kept["dialogue"]).values()) == {3: 8}
    assert [r for r in rows["reply"] if r in set(kept["reply"])] == kept["reply"][:]
    assert "at most 3 dialogues of a persona: on average 2.7 dialogues and 8.0 replies" in caplog.text
    assert limit_dialogues(rows, 7).to_list() == rows.to_list()


def test_the_draw_depends_on_seed_and_persona_alone() -> None:
    rows = table({"a": 9, "b": 9})
    drawn = [{*limit_dialogues(rows, 3, seed)["dialogue"]} for seed in range(6)]
    assert len({frozenset(one) for one in drawn}) > 3
    alone = rows.select([n for n, name in enumerate(rows["persona"]) if name == "b"])
    assert all({*limit_dialogues(alone, 3, s)["dialogue"]} == {d for d in drawn[s] if d[0] == "b"} for s in range(6))


def test_a_dialogue_of_two_personas_counts_once() -> None:
    rows = Dataset.from_dict({"persona": ["a", "b", "a", "b"], "dialogue": ["1", "1", "2", "3"]})
    assert dialogue_counts(rows) == {
        "personas": 2,
        "dialogues": 3,
        "replies": 4,
        "dialogues_per_persona": 2.0,
        "replies_per_persona": 2.0,
    }


def test_refusals() -> None:
    with pytest.raises(
        EpisodeError, match="max_dialogues_per_user must be a whole number of at least 2 dialogues, got 1"
    ):
        limit_dialogues(table({"a": 3}), 1)
    with pytest.raises(EpisodeError, match="no column 'dialogue'"):
        limit_dialogues(table({"a": 3}).remove_columns("dialogue"), 2)
