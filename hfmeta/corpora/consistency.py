"""Labelled pairs to train a consistency scorer on: a response, a persona sentence, and whether they agree.

Made from plain lists of persona sentences and, where there are any, the turns that each persona said. Not here:
reading corpora, the rewriting rules (`rewriting.py`), and training (`recipes/persona/train_consistency_scorer.py`).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TypeVar

import numpy as np
from datasets import ClassLabel, Dataset, DatasetDict, Features, Value

from hfmeta.corpora.attribute_values import SENTENCES, half_of_values
from hfmeta.corpora.rewriting import (
    about_another,
    as_a_turn,
    fillers,
    opposites,
    plain,
    question,
    same_meaning,
    slot_of,
    with_articles,
)
from hfmeta.episodes.errors import EpisodeError

_One = TypeVar("_One")
_slot_of = lru_cache(maxsize=100_000)(slot_of)
LABELS = ("entailment", "neutral", "contradiction")
_STOP_WORDS = """
a an the i i'm am is are was were be been my me mine you your he she it they them we our his her their this that these
those do does did have has had having not no never to of in on at for with from by as and or but so if too also very
really just like love enjoy hate get got go going there here what who when where how why which can could would will
should than then about up out some any all more most one now currently yes oh well lot much many
"""
_DENYING_WORDS = "not no never cannot without hate dislike nobody none"
_STOP, _DENIALS = frozenset(_STOP_WORDS.split()), frozenset(_DENYING_WORDS.split())


@dataclass(frozen=True)
class _Pair:
    premise: str
    hypothesis: str
    label: str
    source: str


def consistency_pairs(
    personas: Sequence[Sequence[str]],
    turns: Sequence[Sequence[str]] | None = None,
    *,
    held_out: float = 0.2,
    seed: int = 0,
    per_sentence: int = 3,
) -> DatasetDict:
    """Pairs of a response and a persona sentence with labels, personas of the two parts being different ones.

    Entailment: the sentence said in another way or as it could be said in a conversation, and own turns that hold most
    of the content words of exactly one own sentence. Contradiction: the sentence denied or with an attribute swapped, as a
    turn; and own turns that agree with a sentence, against its opposites. Neutral: sentences and turns of unrelated
    personas, other sentences of the same one, own turns without a common content word, the same said of somebody else,
    and questions about the very thing, which say nothing about who asks. A pair with a sentence of another persona is
    made only if the two share no content word and no attribute. Values of everyday attributes are added, one half of
    them to either part, and the training part gets pairs about them. Labels are a rule's guess, so accuracy on
    held-out pairs is partly agreement with the rules.

    Args:
        personas: sentences of each persona; at least two personas.
        turns: what each persona said, in the same order, or None.
        held_out: share of the personas whose pairs make the part `test`, between 0 and 1; at least one is left on
            either side.
        seed: of the split and of every draw.
        per_sentence: pairs of each label and source made from one sentence, where there are as many; of contradictions
            twice that, as fewer sentences have any.

    Returns:
        parts `train` and `test` with columns `premise` (response-like), `hypothesis` (persona sentence), `label`
        (entailment, neutral, contradiction), `source` ("rewritten", "turn", or in training "values") and `persona`
        (position in `personas`, -1 for "values"). No pair is in both parts.

    Raises:
        EpisodeError: fewer than two personas, one without a sentence, another number of turn lists, a share or count
            out of range, no pair of some label.

    Source: the idea of the labels, Welleck et al. 2019, "Dialogue Natural Language Inference"; these pairs are a
        substitute made by rules.
    """
    _check(personas, turns, held_out, per_sentence)
    order = np.random.default_rng([seed, len(personas)]).permutation(len(personas)).tolist()
    size = min(max(1, round(held_out * len(personas))), len(personas) - 1)
    parts = {"train": sorted(order[size:]), "test": sorted(order[:size])}
    seen: set[tuple[str, str]] = set()
    rows: dict[str, list[dict[str, object]]] = {}
    for half, (part, members) in enumerate(parts.items()):
        values = _values(half, [sentence for member in members for sentence in personas[member]])
        made: list[tuple[int, _Pair]] = []
        for number in members:
            found = _pairs_of(number, members, personas, turns, values, seed, per_sentence)
            made += [(number, pair) for pair in found]
        if part == "train":
            made += [(-1, pair) for pair in _pairs_of_values(values, seed)]
        rows[part] = _without_doubts(made, seen)
        missing = set(LABELS) - {str(row["label"]) for row in rows[part]}
        if missing:
            raise EpisodeError(
                f"the {part} personas ({len(members)}) give no pair of {', '.join(sorted(missing))}: the rules know "
                "first-person English sentences such as 'i have two dogs .'; give more personas or another held_out."
            )
    return DatasetDict({part: Dataset.from_list(kept, features=_features()) for part, kept in rows.items()})


def _without_doubts(made: Sequence[tuple[int, _Pair]], seen: set[tuple[str, str]]) -> list[dict[str, object]]:
    """The rows of (persona, pair)s that are new and on which the rules agree; `seen` gets their texts."""
    labels: dict[tuple[str, str], set[str]] = {}
    for _, pair in made:
        labels.setdefault((pair.premise, pair.hypothesis), set()).add(pair.label)
    rows: list[dict[str, object]] = []
    for number, pair in made:
        place = (pair.premise, pair.hypothesis)
        if place in seen or len(labels[place]) > 1:  # two rules that disagree: neither is to be trusted
            continue
        seen.add(place)
        rows.append({**pair.__dict__, "persona": number})
    return rows


def _features() -> Features:
    """The columns of the pairs."""
    text = Value("string")
    return Features(
        {
            "premise": text,
            "hypothesis": text,
            "label": ClassLabel(names=list(LABELS)),
            "source": text,
            "persona": Value("int64"),
        }
    )


@lru_cache(maxsize=100_000)  # every turn is compared with every sentence of its persona
def content_words(text: str) -> frozenset[str]:
    """The words of a text that carry its content, without endings in s, ed and ing.

    Args:
        text: any spelling.
    """
    words = re.findall(r"[a-z0-9]+", plain(text))
    return frozenset(re.sub(r"(?<=\w{3})(?:ing|ed|es|s|e|y|ies)$", "", word) for word in words if word not in _STOP)


def _pairs_of(
    number: int,
    members: Sequence[int],
    personas: Sequence[Sequence[str]],
    turns: Sequence[Sequence[str]] | None,
    values: Mapping[str, Sequence[str]],
    seed: int,
    limit: int,
) -> Iterator[_Pair]:
    own = personas[number]
    others = [other for other in members if other != number]
    for place, sentence in enumerate(own):
        rng = np.random.default_rng([seed, number, place])
        hypothesis = _as_written(sentence)
        yield from _rewritten(sentence, hypothesis, values, rng, limit)
        unrelated = [s for other in others for s in personas[other] if _unrelated(s, sentence)]
        siblings = [s for s in own if s != sentence and _unrelated(s, sentence)]
        for far in [*_some(unrelated, limit, rng), *_some(siblings, 1, rng)]:
            yield _Pair(as_a_turn(far, int(rng.integers(99))), hypothesis, "neutral", "rewritten")
        if turns is not None:
            foreign = [turn for other in _some(others, 5, rng) for turn in turns[other]]
            yield from _spoken(sentence, own, turns[number], foreign, values, rng, limit)


def _values(half: int, sentences: Sequence[str]) -> dict[str, list[str]]:
    """Values by attribute: those of the personas, and half of the everyday ones."""
    found, everyday = fillers(sentences), half_of_values(half)
    return {kind: sorted({*found.get(kind, ()), *everyday.get(kind, ())}) for kind in sorted({*found, *everyday})}


def _pairs_of_values(values: Mapping[str, Sequence[str]], seed: int) -> Iterator[_Pair]:
    """Pairs about every value of the attributes that a persona may state."""
    for place, (kind, known) in enumerate(values.items()):
        forms = SENTENCES.get(kind, (f"my {kind} is {{}}",) if kind.startswith("favorite ") else ())
        for number, value in enumerate(known if forms else ()):
            rng = np.random.default_rng([seed, place, number])
            sentence = with_articles(forms[number % len(forms)].format(value))
            for pair in _rewritten(sentence, f"{sentence}.", values, rng, 2):
                yield _Pair(pair.premise, pair.hypothesis, pair.label, "values")


def _rewritten(
    sentence: str, hypothesis: str, values: Mapping[str, Sequence[str]], rng: np.random.Generator, limit: int
) -> Iterator[_Pair]:
    for said in [sentence, *_some(same_meaning(sentence), limit - 1, rng)]:
        yield _Pair(as_a_turn(said, int(rng.integers(99))), hypothesis, "entailment", "rewritten")
    for said in _some(opposites(sentence, values), 2 * limit, rng):
        yield _Pair(as_a_turn(said, int(rng.integers(99))), hypothesis, "contradiction", "rewritten")
    told = about_another(sentence, int(rng.integers(99)))
    if told is not None:
        yield _Pair(as_a_turn(told, int(rng.integers(99))), hypothesis, "neutral", "rewritten")
    asked = question(sentence)
    if asked is not None:
        opening = ("{}", "hi there ! {}", "i see . {}", "that is great ! {}")[int(rng.integers(4))]
        yield _Pair(opening.format(asked), hypothesis, "neutral", "rewritten")


def _spoken(
    sentence: str,
    own: Sequence[str],
    turns: Sequence[str],
    foreign: Sequence[str],
    values: Mapping[str, Sequence[str]],
    rng: np.random.Generator,
    limit: int,
) -> Iterator[_Pair]:
    """Pairs whose response was really said: by the persona itself, or (neutral only) by unrelated ones."""
    hypothesis = _as_written(sentence)
    agreeing = [
        turn for turn in turns if _agrees(turn, sentence) and not any(_agrees(turn, s) for s in own if s != sentence)
    ]
    asking = [turn for turn in turns if _asks_only(turn) and content_words(turn) & content_words(sentence)]
    # Half the agreeing turns for either use, so that a turn alone does not give its label away.
    chosen = _some(agreeing, 2 * limit, rng)
    for turn in chosen[::2]:
        yield _Pair(turn, hypothesis, "entailment", "turn")
    contrary = opposites(sentence, values)
    for turn in chosen[1::2]:
        for denied in _some(contrary, 2, rng):
            yield _Pair(turn, f"{denied}.", "contradiction", "turn")
            # Else a denied persona sentence alone would give the label away.
            yield _Pair(as_a_turn(denied, int(rng.integers(99))), f"{denied}.", "entailment", "rewritten")
    distant = [turn for turn in (*turns, *foreign) if _unrelated(turn, sentence)]
    for turn in [*_some(asking, limit, rng), *_some(distant, limit, rng)]:
        yield _Pair(turn, hypothesis, "neutral", "turn")


def _agrees(turn: str, sentence: str) -> bool:
    """Whether a turn says what a sentence says: most of its content words, in the first person, denied as often, not asked."""
    wanted = content_words(sentence)
    if len(wanted & content_words(turn)) < max(2, -(-2 * len(wanted) // 3)):
        return False
    statements = [part for part in re.findall(r"[^.!?]+[.!?]*", plain(turn)) if not part.rstrip().endswith("?")]
    words = [re.findall(r"[a-z']+", part) for part in statements]
    spoken = [part for part in words if wanted & content_words(" ".join(part)) and {"i", "i'm", "my", "me"} & set(part)]
    if not spoken:
        return False
    denied = sum(word in _DENIALS for part in spoken for word in part)
    return (denied > 0) == any(word in _DENIALS for word in plain(sentence).split())


def _asks_only(turn: str) -> bool:
    text = plain(turn)
    return text.endswith("?") and not re.search(r"\b(?:i|i'm|my|me|we|our)\b", text)


def _unrelated(text: str, sentence: str) -> bool:
    if content_words(text) & content_words(sentence):
        return False
    first, second = _slot_of(text), _slot_of(sentence)
    return first is None or second is None or first[0] != second[0] or first[0] == "liking"


def _as_written(sentence: str) -> str:
    return re.sub(r"\s+", " ", sentence).strip()


def _some(values: Sequence[_One], limit: int, rng: np.random.Generator) -> list[_One]:
    """At most `limit` of the values, drawn without replacement."""
    return [values[int(place)] for place in rng.permutation(len(values))[: max(limit, 0)]]


def _check(
    personas: Sequence[Sequence[str]], turns: Sequence[Sequence[str]] | None, held_out: float, per_sentence: int
) -> None:
    if len(personas) < 2:
        raise EpisodeError(f"consistency pairs need at least two personas, to hold one out: received {len(personas)}.")
    for number, persona in enumerate(personas):
        if isinstance(persona, str) or not any(sentence.strip() for sentence in persona):
            raise EpisodeError(f"persona {number} must be a list of sentences, at least one: received {persona!r}.")
    if turns is not None and len(turns) != len(personas):
        raise EpisodeError(
            f"consistency pairs need one list of turns for each persona: received {len(turns)} for {len(personas)}."
        )
    if not 0 < held_out < 1 or per_sentence < 1:
        raise EpisodeError(
            f"held_out must lie between 0 and 1 and per_sentence be at least 1: received {held_out} and {per_sentence}."
        )
