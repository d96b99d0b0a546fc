"""Checks of hfmeta/metrics/bleu.py: against the definition by hand, and the ways of averaging."""

from __future__ import annotations

import math
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hfmeta.inner.errors import HfmetaError
from hfmeta.metrics import bleu_scores

WORDS = st.lists(st.sampled_from("a b c d".split()), min_size=0, max_size=9).map(" ".join)  # noqa: SIM905


def multi_bleu(responses, references):
    """Corpus BLEU-4 as Moses' multi-bleu.perl computes it, written from its definition."""
    right, total, said, true = [0] * 4, [0] * 4, 0, 0
    for response, reference in zip(responses, references, strict=True):
        a, b = response.lower().split(), reference.lower().split()
        said, true = said + len(a), true + len(b)
        for n in range(1, 5):
            ours, theirs = (Counter(tuple(x[i : i + n]) for i in range(len(x) - n + 1)) for x in (a, b))
            right[n - 1] += sum((ours & theirs).values())
            total[n - 1] += sum(ours.values())
    if not all(right):
        return 0.0
    penalty = 1.0 if said >= true else math.exp(1 - true / said)
    return 100 * penalty * math.exp(sum(math.log(r / t) for r, t in zip(right, total, strict=True)) / 4)


@settings(max_examples=150, deadline=None)
@given(st.lists(st.tuples(WORDS, WORDS, st.integers(0, 2)), min_size=1, max_size=6))
def test_equals_multi_bleu(rows):
    responses, references, dialogues = (list(column) for column in zip(*rows, strict=True))
    result = bleu_scores(responses, references, dialogues)
    assert result.corpus == pytest.approx(multi_bleu(responses, references), abs=1e-6)
    parts = []
    for one in dict.fromkeys(dialogues):
        own = [place for place, dialogue in enumerate(dialogues) if dialogue == one]
        parts.append(multi_bleu([responses[p] for p in own], [references[p] for p in own]))
    assert result.per_dialogue == pytest.approx(parts, abs=1e-6)
    assert result.dialogue_mean == pytest.approx(sum(parts) / len(parts), abs=1e-6)


def test_a_dialogue_without_a_common_4_gram_scores_zero_and_pulls_the_mean():
    text = "i have two dogs at home"
    result = bleu_scores([text, "no idea at all"], [text, "i like it very much"], ["a", "b"])
    assert result.per_dialogue == (pytest.approx(100.0), 0.0)
    assert result.dialogue_mean == pytest.approx(50.0)
    assert 50 < result.corpus < 100
    assert result.ci95 == pytest.approx(1.96 * 100 / math.sqrt(2) / math.sqrt(2))


def test_case_and_white_space():
    assert bleu_scores(["I have  two\tdogs"], ["i have two dogs"]).corpus == pytest.approx(100.0)
    assert bleu_scores(["I have two dogs"], ["i have two dogs"], lowercase=False).corpus == 0.0


def test_words_are_what_white_space_separates():
    assert bleu_scores(["i have two dogs."], ["i have two dogs ."]).corpus == 0.0


def test_the_signature_says_how():
    result = bleu_scores(["a b c d"], ["a b c d"])
    assert "smooth:none" in result.signature
    assert "tok:none" in result.signature
    assert "case:lc" in result.signature
    assert math.isnan(result.ci95)


def test_silence_scores_zero():
    assert bleu_scores(["", ""], ["a b c d", "e"]).corpus == 0.0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (([], []), "BLEU needs lists of one length, at least 1: received 0 responses, 0 references"),
        ((["a"], ["a", "b"]), "received 1 responses, 2 references"),
        ((["a"], ["a"], ["x", "y"]), "1 responses, 1 references, 2 dialogues"),
        (("a b", ["a"]), "BLEU takes responses as a list"),
        (([["a"]], ["a"]), r"takes responses as one text each.*received \['a'\]"),
    ],
)
def test_lists_that_do_not_fit(arguments, message):
    with pytest.raises(HfmetaError, match=message):
        bleu_scores(*arguments)
