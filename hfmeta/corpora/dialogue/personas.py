"""Whose dialogue is it: sets of persona sentences grouped into users, by shared sentences or by a published map.

Reading map files is in `persona_maps.py`, what two users have in common in `similarity.py`.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence

from hfmeta.episodes.errors import EpisodeError, whole_number

Key = tuple[str, ...]


def persona_key(sentences: Iterable[str]) -> Key:
    """Return the key of a persona description: its different sentences, sorted.

    Args:
        sentences: of one description.
    """
    return tuple(sorted(set(sentences)))


def group_personas(keys: Iterable[Key], min_shared: int = 2) -> dict[Key, int]:
    """Group descriptions of one persona: those that share sentences, directly or through others.

    Descriptions of Persona-Chat's users come with sentences missing or rewritten. Against the published maps of valid and test
    this rule agrees on 99 % of pairs; the train map splits about 190 of its personas over two users.

    Args:
        keys: descriptions; repetitions count once.
        min_shared: sentences two descriptions must have in common. A description with fewer sentences stands alone.

    Returns:
        `{key: number of its group}`, numbered in order of first appearance.

    Raises:
        EpisodeError: min_shared below 1.

    Example:
        >>> group_personas([("a", "b", "c"), ("x", "y"), ("b", "c", "d")])
        {('a', 'b', 'c'): 0, ('x', 'y'): 1, ('b', 'c', 'd'): 0}
    """
    whole_number("min_shared", min_shared, 1, "sentence")
    found = list(dict.fromkeys(keys))
    root = list(range(len(found)))

    def find(one: int) -> int:
        while root[one] != one:
            root[one] = root[root[one]]
            one = root[one]
        return one

    holders: dict[str, list[int]] = defaultdict(list)
    for number, key in enumerate(found):
        common: dict[int, int] = defaultdict(int)
        for sentence in set(key):
            for other in holders[sentence]:
                common[other] += 1
            holders[sentence].append(number)
        for other, shared in common.items():
            if shared >= min_shared:
                low, high = sorted((find(other), find(number)))
                root[high] = low
    numbers: dict[int, int] = {}
    return {key: numbers.setdefault(find(place), len(numbers)) for place, key in enumerate(found)}


def reference_sentence(raw: str) -> str:
    """Return a sentence as the keys of the published maps have it: cut at a colon, without its last character.

    Args:
        raw: what follows "your persona: ".
    """
    return raw.partition(":")[0][:-1].strip()


def map_lookup(persona_map: Mapping[str, Sequence[Sequence[str]]]) -> dict[Key, str]:
    """Return `{key: user}` of a persona map.

    Args:
        persona_map: user -> its descriptions, each a list of sentences.

    Raises:
        EpisodeError: a description that belongs to two users.
    """
    users: dict[Key, str] = {}
    for user, descriptions in persona_map.items():
        for sentences in descriptions:
            key = persona_key(sentence.strip() for sentence in sentences)
            if users.setdefault(key, user) != user:
                raise EpisodeError(f"the persona map gives {list(key)} to both user {users[key]} and user {user}.")
    return users
