"""Texts of dialogues: sentences of a persona, words and punctuation, placeholders, and contexts written from turns."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from hfmeta.episodes.errors import EpisodeError, whole_number

_WORDS = re.compile(r"\w+(?:'\w+)*|[^\w\s]")
_PLACEHOLDER = re.compile(r"\[[^\[\]]*\]")
MASK = "___"  # one word for every tokenizer of words, and nothing a speaker says


def words(text: str) -> str:
    """Return the text lower-cased, with one space between words and punctuation marks, as Persona-Chat is written.

    Args:
        text: any text.

    Example:
        >>> words("Hi! I've got 2 dogs.")
        "hi ! i've got 2 dogs ."
    """
    return " ".join(_WORDS.findall(text.lower().replace("\u2019", "'")))


def has_placeholder(text: str) -> bool:
    """Return whether a text has a bracketed stand-in such as `[user 1's name]`.

    Args:
        text: a turn.
    """
    return _PLACEHOLDER.search(text) is not None


def mask_placeholders(text: str) -> str:
    """Return the text with each bracketed stand-in replaced by `MASK`.

    Args:
        text: a turn.
    """
    return _PLACEHOLDER.sub(MASK, text)


def plain_sentence(sentence: str) -> str:
    """Return a persona sentence without surrounding white space and without its closing full stop.

    Args:
        sentence: as the file has it.
    """
    return sentence.strip().removesuffix(".").rstrip()


@dataclass(frozen=True, kw_only=True)
class Contexts:
    """How the turns before a reply become the text a model reads.

    By default all of them, joined by spaces, with nothing between speakers and no persona: the reference code's way.

    Args:
        max_tokens: tokens kept (the last ones), counted at white space; None keeps all.
        max_turns: turns kept (the last ones); None keeps all.
        min_turns: replies after fewer turns than this are left out (1 leaves out the first turn of a dialogue).
        separator: what stands between two turns, such as " " or " </s> "; its own tokens count.
        with_persona: whether the persona's sentences stand in front; they do not count as turns or tokens.

    Raises:
        EpisodeError: a limit below 1 (`min_turns`: below 0), or a separator without white space at its ends.
    """

    max_tokens: int | None = None
    max_turns: int | None = None
    min_turns: int = 0
    separator: str = " "
    with_persona: bool = False

    def __post_init__(self) -> None:
        for name, unit in (("max_tokens", "token"), ("max_turns", "turn")):
            if (value := getattr(self, name)) is not None:
                whole_number(name, value, 1, unit)
        whole_number("min_turns", self.min_turns, 0, "turns")
        if not (self.separator[:1].isspace() and self.separator[-1:].isspace()):
            raise EpisodeError(
                f"separator={self.separator!r} would glue turns to it; begin and end it with a space, such as ' | '."
            )

    def write(self, turns: Sequence[str], persona: Sequence[str] = ()) -> str:
        """Return the context of a reply.

        Args:
            turns: the turns before it, oldest first; empty ones are skipped.
            persona: the sentences of who replies.
        """
        kept = [turn for turn in turns if turn]
        if self.max_turns is not None:
            kept = kept[-self.max_turns :]
        text = self.separator.join(kept)
        if self.max_tokens is not None:
            text = " ".join(text.split()[-self.max_tokens :])
        if self.with_persona and persona:
            text = self.separator.join([*persona, text] if text else persona)
        return text
