"""First-person English sentences rewritten by rules: saying the same, saying the opposite, asking, and swapping an
attribute.

Here: what can be done with one short sentence such as persona descriptions have. Not here: which rewriting makes
which pair of a data set (`consistency.py`). Rules are rough by nature: they make training data, not judgements.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence

NUMBERS = (
    "two",
    "three",
    "four",
    "five",
    "six",
    "seven",
    "eight",
    "nine",
    "ten",
    "twelve",
    "twenty",
    "thirty",
    "fifty",
)
COLOURS = ("red", "blue", "green", "yellow", "orange", "purple", "pink", "black", "white", "grey", "brown", "silver")
PETS = ("dog", "cat", "turtle", "fish", "bird", "horse", "rabbit", "hamster", "snake", "lizard")
FAMILIES: tuple[tuple[str, ...], ...] = (
    NUMBERS,
    COLOURS,
    PETS,
    ("man", "woman"),
    ("boy", "girl"),
    ("male", "female"),
    ("husband", "wife"),
    ("boyfriend", "girlfriend"),
    ("married", "single", "divorced"),
    ("short", "long"),
    ("young", "old"),
    ("rich", "poor"),
    ("city", "countryside"),
    ("vegan", "butcher"),
)
"""Words that exclude each other: one of a family in the place of another changes what is said."""

_JOB = (
    r"(?!\w*(?:survivor|major|minor|eater|lover|kayaker|skater|drinker|sister|father|mother|brother|daughter)\b)"
    r"(?:\w{2,}(?:er|or|ist|ian)|nurse|chef|plumber|guide|student|custodian)"
)
SLOTS: tuple[tuple[str, str], ...] = (
    ("favorite", r"my favorite (\w+(?: \w+)?) (?:is|are) (?P<value>\w+(?: \w+){0,3})"),
    ("job", rf"i (?:work as|am) an? (?P<value>(?:[a-z]+ ){{0,2}}{_JOB})"),
    ("home", r"i (?:now )?live in (?P<value>(?!an? |the )[a-z]+(?: [a-z]+)?)"),
    ("name", r"my name is (?P<value>\w+)"),
    ("car", r"i drive an? (?P<value>\w+(?: \w+){0,2})"),
    ("age", r"i am (?:an? )?(?P<value>\d+) ?years? old.*"),
    ("liking", r"i (?:really )?(?:like|love|enjoy) (?P<value>\w.+)"),
)
"""Attributes that a sentence gives a value to; the same attribute with another value contradicts it (likings apart)."""

_LIKE = ("like", "love", "enjoy")
_DISLIKE = ("hate", "do not like", "cannot stand", "dislike", "do not enjoy")
_HABITS = "work|live|volunteer|play|speak|drive|read|eat|drink|listen|go|walk|watch|dance|ride|grow|coach|sing|study"
_VERBS = f"like|love|enjoy|hate|have|own|want|dream|spend|need|know|prefer|take|compete|collect|cook|travel|{_HABITS}"
_SECOND_PERSON = {"i": "you", "my": "your", "me": "you", "am": "are", "mine": "yours", "myself": "yourself"}
_SAME: tuple[tuple[str, tuple[str, ...]], ...] = (
    (r"my (favorite \w+(?: \w+)?) is (.+)", (r"\2 is my \1", r"i would say \2 is my \1", r"of all i like \2 best")),
    (r"i have (?!been |never |had |not )(.+)", (r"i have got \1", r"yes i do have \1")),
    (r"i own (.+)", (r"i have \1",)),
    (rf"i (?:work as|am) (an? (?:[a-z]+ ){{0,2}}{_JOB})", (r"i work as \1", r"my job is being \1", r"i am \1")),
    (r"i live in (.+)", (r"my home is in \1", r"\1 is where i live")),
    (r"i hate (.+)", (r"i cannot stand \1", r"i really do not like \1")),
    (r"i do not (like|enjoy|drink|eat) (.+)", (r"no , i never \1 \2", r"i really do not \1 \2")),
    (r"i am (.+)", (r"i'm \1", r"i guess you could say i am \1")),
)
_OPPOSITE: tuple[tuple[str, tuple[str, ...]], ...] = (
    (r"i (?:hate|dislike) (.+)", (r"i love \1", r"i like \1", r"i enjoy \1")),
    (r"i am not (.+)", (r"i am \1",)),
    (r"i am (?!not )(.+)", (r"i am not \1", r"i'm not \1")),
    (r"i do not (.+)", (r"i \1", r"i often \1")),
    (r"i have never (.+)", (r"i have often \1",)),
    (r"i (?:have|own) an? (\w+.*)", (r"i do not have a \1", r"i have never had a \1")),
    (rf"i (?:have|own) (?:{'|'.join(NUMBERS)}) (\w+)", (r"i do not have any \1", r"i have no \1")),
    (rf"i ({_HABITS}) (.+)", (r"i do not \1 \2", r"i never \1 \2")),
    (r"my (.+?) (is|are|was|were) (?!not )(.+)", (r"my \1 \2 not \3",)),
    (r"i (can|will|would) (?!not )(.+)", (r"i \1 not \2",)),
)
_INFLECTED = "hate|enjoy|like|love|own|work|live|drive|speak|listen|read|play|drink|eat|ride|want|grow|collect"
_OTHERS = ("brother", "sister", "friend", "neighbor", "cousin", "boss", "aunt", "uncle")
_RELATIVES = f"mother|father|mom|dad|wife|husband|{'|'.join(_OTHERS)}"
_FRAMES = """{} . / {} ! / {} / yes , {} . / well , {} . / hi ! {} . / {} , how about you ? / that is cool . {} . / not much , {} .
/ nice to meet you , {} . / {} . what do you do ? / oh , {} . / to be honest {} ."""
_TURNS = tuple(frame.strip() for frame in _FRAMES.split("/"))


def plain(sentence: str) -> str:
    """A sentence in lower case, one space between words, without its final full stop, contractions written out.

    Args:
        sentence: as the corpus has it, tokenised or not.
    """
    text = sentence.lower().replace("\u2019", "'").replace("favourite", "favorite")
    text = re.sub(r"\s*'\s*", "'", text)
    for short, full in (
        ("i'm", "i am"),
        ("i've", "i have"),
        ("can't", "cannot"),
        ("won't", "will not"),
        ("n't", " not"),
    ):
        text = text.replace(short, full)
    return re.sub(r"\s+", " ", text).strip().rstrip(". ").strip()


def slot_of(sentence: str) -> tuple[str, str] | None:
    """The attribute that a sentence gives a value to and the value, e.g. ("favorite food", "pizza"); None where no
    rule applies.

    Args:
        sentence: any spelling.
    """
    text = plain(sentence)
    for name, pattern in SLOTS:
        found = re.fullmatch(pattern, text)
        if found:
            return (f"{name} {found[1]}" if name == "favorite" else name), found["value"]
    return None


def fillers(sentences: Iterable[str]) -> dict[str, list[str]]:
    """All values that some sentences give to each attribute, sorted.

    Args:
        sentences: any spelling.
    """
    found: dict[str, set[str]] = {}
    for sentence in sentences:
        slot = slot_of(sentence)
        if slot is not None:
            found.setdefault(slot[0], set()).add(slot[1])
    return {kind: sorted(values) for kind, values in sorted(found.items())}


def same_meaning(sentence: str) -> list[str]:
    """Other ways to say a sentence, the sentence itself not among them.

    Args:
        sentence: any spelling.
    """
    text = plain(sentence)
    made = [re.sub(rf"^i {verb}\b", f"i {other}", text) for verb in _LIKE for other in (*_LIKE, "really like")]
    return _fresh(made + _by_rules(text, _SAME), text)


def as_a_turn(sentence: str, number: int) -> str:
    """A sentence as it could be said in a conversation: opened or closed by a phrase that adds nothing about the
    speaker.

    Args:
        sentence: any spelling.
        number: picks the phrase; any whole number.
    """
    return _TURNS[number % len(_TURNS)].format(plain(sentence))


def opposites(sentence: str, values: Mapping[str, Sequence[str]]) -> list[str]:
    """Sentences that cannot be true beside a sentence: denied, an attribute swapped, or a word for one that excludes
    it.

    Args:
        sentence: any spelling.
        values: other values by attribute, such as `fillers` gives.
    """
    text = plain(sentence)
    made = [re.sub(rf"^i (?:really )?{verb}\b", f"i {other}", text) for verb in _LIKE for other in _DISLIKE]
    return _fresh(made + _by_rules(text, _OPPOSITE) + _swapped_values(text, values) + _swapped_words(text), text)


def question(sentence: str) -> str | None:
    """The sentence as a question to somebody else, which says nothing about the speaker; None where no rule applies.

    Args:
        sentence: any spelling.
    """
    turned = " ".join(_SECOND_PERSON.get(word, word) for word in plain(sentence).split())
    for pattern, form in (
        (r"you are (.+)", r"are you \1 ?"),
        (rf"you (?:really )?((?:{_VERBS})\b(?! been).*)", r"do you \1 ?"),
        (r"your (.+?) (is|are) (.+)", r"\2 your \1 \3 ?"),
    ):
        if re.fullmatch(pattern, turned):
            return re.sub(pattern, form, turned)
    return None


def about_another(sentence: str, number: int) -> str | None:
    """The same said of somebody else, which neither follows from the sentence nor contradicts it; None where no rule
    applies.

    Args:
        sentence: any spelling.
        number: picks the other person; any whole number.
    """
    text = plain(sentence)
    who = _OTHERS[number % len(_OTHERS)]
    for pattern, form in (
        (r"i am (.+)", rf"my {who} is \1"),
        (r"i have (?!been |never |not |had )(.+)", rf"my {who} has \1"),
        (rf"i (?:really )?({_INFLECTED}) (.+)", None),
        (r"my favorite (.+)", rf"my {who} said that her favorite \1"),
        (rf"my (?:{_RELATIVES}) (?!and )(.+)", rf"my {who} \1"),
    ):
        found = re.fullmatch(pattern, text)
        if found is None:
            continue
        made = found.expand(form) if form is not None else f"my {who} {found[1]}s {found[2]}"
        return None if made == text else re.sub(r"\bmy (?!" + who + r"\b)", "her ", made)
    return None


def with_articles(text: str) -> str:
    """A text with "a" and "an" as the next letter asks for.

    Args:
        text: in lower case.
    """
    return re.sub(r"\ba (?=[aeiou])", "an ", re.sub(r"\ban (?=[^aeiou])", "a ", text))


def _by_rules(text: str, rules: Iterable[tuple[str, Sequence[str]]]) -> list[str]:
    found = ((re.fullmatch(pattern, text), forms) for pattern, forms in rules)
    return [match.expand(form) for match, forms in found if match for form in forms]


def _swapped_values(text: str, values: Mapping[str, Sequence[str]]) -> list[str]:
    slot = slot_of(text)
    if slot is None or slot[0] == "liking":
        return []
    kind, value = slot
    start = text.rindex(value)
    words = set(value.split())
    others = [other for other in values.get(kind, ()) if not words & set(other.split())]
    if kind == "age":
        others += [str(int(value) + years) for years in (-9, 7, 20) if int(value) + years > 0]
    made = [text[:start] + other + text[start + len(value) :] for other in others]
    return [with_articles(one) for one in made]


def _swapped_words(text: str) -> list[str]:
    if re.match(r"i (?:really |do not )?(?:like|love|enjoy|hate)\b", text):
        return []  # who likes one thing may like the other as well
    words = text.split()
    made = []
    for place, word in enumerate(words):
        others = [other for family in FAMILIES if word in family for other in family if other != word]
        if re.fullmatch(r"\d{1,2}", word) and words[place + 1 : place + 2] in (["year"], ["years"]):
            others.append(str(int(word) + 3))
        made += [" ".join([*words[:place], other, *words[place + 1 :]]) for other in others]
    return made


def _fresh(made: Iterable[str], text: str) -> list[str]:
    return [one for one in dict.fromkeys(made) if one != text]
