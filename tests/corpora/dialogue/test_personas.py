"""Descriptions of one persona are found by shared sentences, directly or through others."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hfmeta.corpora.dialogue import group_personas, persona_key
from hfmeta.corpora.dialogue.personas import reference_sentence
from hfmeta.episodes import EpisodeError


def test_keys_ignore_order_and_repetition() -> None:
    assert persona_key(["b", "a", "b"]) == ("a", "b")


@settings(max_examples=80, deadline=None)
@given(
    keys=st.lists(st.sets(st.sampled_from("abcdefgh"), min_size=1, max_size=4).map(persona_key), max_size=12),
    least=st.integers(1, 3),
)
def test_against_a_search_of_components(keys: list[tuple[str, ...]], least: int) -> None:
    found = group_personas(keys, least)
    assert set(found) == set(keys)
    groups = {key: {key} for key in keys}
    changed = True
    while changed:
        changed = False
        for a, b in itertools.combinations(groups, 2):
            if groups[a] is not groups[b] and any(len({*x} & {*y}) >= least for x in groups[a] for y in groups[b]):
                merged = groups[a] | groups[b]
                for key in merged:
                    groups[key] = merged
                changed = True
    assert all((found[a] == found[b]) == (b in groups[a]) for a in keys for b in keys)
    assert list(dict.fromkeys(found[key] for key in keys)) == list(range(len(set(found.values()))))


def test_refusals_and_the_published_form() -> None:
    with pytest.raises(EpisodeError, match="min_shared must be a whole number of at least 1 sentence, got 0"):
        group_personas([], 0)
    assert reference_sentence("i like tea.") == "i like tea"
    assert reference_sentence("my motto: live.") == "my mott"
