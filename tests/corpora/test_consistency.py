"""Checks of hfmeta/corpora/consistency.py: labels, disjoint personas, determinism."""

from __future__ import annotations

from collections import Counter

import pytest

from hfmeta.corpora.consistency import LABELS, consistency_pairs, content_words
from hfmeta.episodes.errors import EpisodeError

PERSONAS = [
    ["I have two dogs.", "I am a nurse.", "I love tacos."],
    ["I live in alaska.", "My favorite color is blue.", "I hate math class."],
    ["I am married with two kids.", "I drive a bmw.", "I enjoy gardening."],
    ["I am a vegan.", "I play the violin.", "My favorite food is papaya."],
    ["I am 40 years old.", "I do not drink alcohol.", "I like to travel."],
]
TURNS = [
    ["I have two dogs , Max and Bella .", "Do you have dogs ?", "That sounds great !", "i do not have two dogs now ."],
    ["I live in Alaska , it is cold .", "Blue is my favorite color .", "What about you ?"],
    ["I drive an old bmw to my work .", "Nice weather today .", "my kids are two , i am married ."],
    ["I play the violin every day .", "Do you play the violin too ?", "I see ."],
    ["I am 40 years old .", "Hello there !", "We could travel ."],
]


def rows(part):
    names = part.features["label"].names
    return [{**row, "label": names[row["label"]]} for row in part]


def test_columns_and_labels():
    pairs = consistency_pairs(PERSONAS, TURNS, held_out=0.4)
    assert set(pairs) == {"train", "test"}
    for part in pairs.values():
        assert part.column_names == ["premise", "hypothesis", "label", "source", "persona"]
        assert part.features["label"].names == list(LABELS) == ["entailment", "neutral", "contradiction"]
        assert set(Counter(row["label"] for row in rows(part))) == set(LABELS)


def test_personas_of_the_parts_are_different_ones():
    pairs = consistency_pairs(PERSONAS, TURNS, held_out=0.4)
    train, test = (set(pairs[part]["persona"]) - {-1} for part in ("train", "test"))
    assert not train & test
    assert train | test == set(range(5))
    assert len(test) == 2
    own = {sentence for persona in test for sentence in PERSONAS[persona]}
    assert not any(row["hypothesis"] in own for row in rows(pairs["train"]))
    seen = {(row["premise"], row["hypothesis"]) for row in rows(pairs["train"])}
    assert not any((row["premise"], row["hypothesis"]) in seen for row in rows(pairs["test"]))


def test_everyday_values_are_taught_in_training_only():
    pairs = consistency_pairs(PERSONAS, held_out=0.4)
    assert "values" in pairs["train"]["source"]
    assert set(pairs["test"]["source"]) == {"rewritten"}
    assert {row["persona"] for row in rows(pairs["train"]) if row["source"] == "values"} == {-1}


def test_equal_seeds_give_equal_pairs():
    first, second, other = (consistency_pairs(PERSONAS, TURNS, seed=seed) for seed in (1, 1, 2))
    assert first["train"][:] == second["train"][:]
    assert first["test"][:] == second["test"][:]
    assert first["train"][:] != other["train"][:]


def everything(turns=TURNS, per_sentence=20):
    pairs = consistency_pairs(PERSONAS, turns, held_out=0.4, per_sentence=per_sentence)
    return [row for part in pairs.values() for row in rows(part) if row["source"] != "values"]


def test_what_own_turns_are_labelled():
    found = {(row["premise"], row["hypothesis"]): row["label"] for row in everything() if row["source"] == "turn"}
    assert found.get(("Do you have dogs ?", "I have two dogs.")) == "neutral"
    assert found.get(("Do you play the violin too ?", "I play the violin.")) == "neutral"
    agreeing = {(premise, hypothesis) for (premise, hypothesis), label in found.items() if label == "entailment"}
    assert ("I have two dogs , Max and Bella .", "I have two dogs.") in agreeing
    assert not any(premise == "i do not have two dogs now ." for premise, _ in agreeing)
    assert all(
        not content_words(premise) & content_words(hypothesis) or premise.endswith("?")
        for (premise, hypothesis), label in found.items()
        if label == "neutral"
    )


def test_contradictions_are_denials_or_swaps():
    contrary = [row for row in everything() if row["label"] == "contradiction"]
    assert any("i do not play the violin" in row["premise"] for row in contrary)
    assert any("i am a nurse" not in row["premise"] and row["hypothesis"] == "I am a nurse." for row in contrary)


def test_no_pair_has_two_labels():
    labels = {}
    for row in everything():
        labels.setdefault((row["premise"], row["hypothesis"]), set()).add(row["label"])
    assert all(len(found) == 1 for found in labels.values())


def test_without_turns():
    assert {row["source"] for row in everything(turns=None)} == {"rewritten"}


def test_content_words_are_without_endings():
    assert content_words("I love walking my two dogs .") == content_words("he walked two dog") == {"walk", "two", "dog"}


@pytest.mark.parametrize(
    ("personas", "turns", "options", "message"),
    [
        (PERSONAS[:1], None, {}, "at least two personas, to hold one out: received 1"),
        ([["I sleep."], []], None, {}, r"persona 1 must be a list of sentences, at least one: received \[\]"),
        ([["I sleep."], "I run."], None, {}, "persona 1 must be a list of sentences.*received 'I run.'"),
        (PERSONAS, TURNS[:2], {}, "one list of turns for each persona: received 2 for 5"),
        (PERSONAS, None, {"held_out": 1.0}, "held_out must lie between 0 and 1 .*: received 1.0 and 3"),
        (PERSONAS, None, {"per_sentence": 0}, "per_sentence be at least 1: received 0.2 and 0"),
        ([["Ja ."], ["Nein ."]], None, {}, r"the test personas \(1\) give no pair of contradiction, neutral"),
    ],
)
def test_errors(personas, turns, options, message):
    with pytest.raises(EpisodeError, match=message):
        consistency_pairs(personas, turns, **options)
