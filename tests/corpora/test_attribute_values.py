"""Checks of hfmeta/corpora/attribute_values.py."""

from __future__ import annotations

from hfmeta.corpora.attribute_values import SENTENCES, VALUES, half_of_values
from hfmeta.corpora.rewriting import slot_of, with_articles


def test_the_table_is_read_whole():
    assert VALUES["job"][0] == "teacher"
    assert "new york" in VALUES["home"]
    assert len(VALUES) == 13
    assert all(len(set(values)) == len(values) >= 4 and all(values) for values in VALUES.values())


def test_halves_have_nothing_in_common():
    first, second = half_of_values(0), half_of_values(1)
    for kind, values in VALUES.items():
        assert sorted(first[kind] + second[kind]) == sorted(values)
        assert not set(first[kind]) & set(second[kind])


def test_every_sentence_is_found_again_as_its_attribute():
    for kind, values in VALUES.items():
        for form in SENTENCES.get(kind, (f"my {kind} is {{}}",)):
            found = [slot_of(with_articles(form.format(value))) for value in values]
            right = sum(slot == (kind, value) for slot, value in zip(found, values, strict=True))
            assert right >= 0.7 * len(values), (kind, found)
