"""Words, placeholders and persona sentences (contexts: test_persona_chat.py)."""

from __future__ import annotations

import pytest

from hfmeta.corpora.dialogue import MASK, mask_placeholders, words
from hfmeta.corpora.dialogue.text import has_placeholder, plain_sentence


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Hi! I've got 2 dogs.", "hi ! i've got 2 dogs ."),
        ("Don’t  worry...", "don't worry . . ."),
        ("Charlotte Brontë's 'book'", "charlotte brontë's ' book '"),
        (f"Hello, {MASK}!", f"hello , {MASK} !"),
        ("", ""),
    ],
)
def test_words(text: str, expected: str) -> None:
    assert words(text) == expected
    assert words(expected) == expected


def test_placeholders() -> None:
    assert mask_placeholders("Hi [name], I'm [user 1's name].") == f"Hi {MASK}, I'm {MASK}."
    assert has_placeholder("in [city]")
    assert not has_placeholder("no [city")


def test_sentences() -> None:
    assert [plain_sentence(s) for s in (" I run. ", "I run .", "Why?", "etc..")] == ["I run", "I run", "Why?", "etc."]
