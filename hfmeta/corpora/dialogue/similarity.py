"""How much users have in common, and the subsets of users that have most or least in common.

The published tables of similar and dissimilar users do not say how these were chosen; this is our rule, to be stated beside ours.
"""

from __future__ import annotations

import logging
import re
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence

import numpy as np
import numpy.typing as npt
from datasets import Dataset

from hfmeta.episodes.errors import EpisodeError, missing_columns, unknown_choice, whole_number

logger = logging.getLogger(__name__)
Matrix = npt.NDArray[np.float64]
UNITS = ("sentence", "word")
KINDS = ("similar", "dissimilar")
_WORD = re.compile(r"\w+")
# Words that say nothing about a person; without them two personas do not look alike for "i", "my" and "a" alone.
_EMPTY_WORDS = """
    a about all also am an and are as at be been but by can could do does for from get got had has have i if in into is it its just
    like lot me more most my myself never not now of on one or our really s so some t than that the their them then there they this
    to too up ve very was we were what when where which who will with would you your m d ll re don
"""


def _units(sentences: Sequence[str], unit: str) -> frozenset[str]:
    """Return what is compared: whole sentences, or the words that say something."""
    if unit not in UNITS:
        raise unknown_choice("unit", unit, UNITS)
    plain = [" ".join(sentence.casefold().split()).rstrip(" .") for sentence in sentences]
    if unit == "sentence":
        return frozenset(one for one in plain if one)
    return frozenset(word for one in plain for word in _WORD.findall(one)) - set(_EMPTY_WORDS.split())


def persona_similarity(sentences_a: Sequence[str], sentences_b: Sequence[str], unit: str = "sentence") -> float:
    """Return the Jaccard similarity of two users: what both have, divided by what either has.

    Args:
        sentences_a: all persona sentences of one user.
        sentences_b: those of another.
        unit: "sentence", or "word": words but for those that say nothing about a person. Sentences of different users are
            seldom equal, so words give the finer scale.

    Returns:
        0 to 1; 0 where neither has anything.

    Raises:
        EpisodeError: unknown unit.

    Example:
        >>> persona_similarity(["i like tea", "i run"], ["i run"])
        0.5
    """
    a, b = _units(sentences_a, unit), _units(sentences_b, unit)
    return len(a & b) / len(a | b) if a or b else 0.0


def similarity_matrix(
    personas: Sequence[Sequence[str]],
    unit: str = "sentence",
    embed: Callable[[list[str]], npt.ArrayLike] | None = None,
) -> Matrix:
    """Return the similarities of all pairs of P users, `[P, P]`, symmetric with ones on the diagonal.

    Args:
        personas: the persona sentences of each user.
        unit: see `persona_similarity`.
        embed: sentences -> vectors `[n, d]`, called once; similarity is then the cosine of the users' mean vectors, and
            `unit` plays no part.

    Raises:
        EpisodeError: unknown unit, a user without sentences (with `embed`), or vectors of another shape.
    """
    if embed is None:
        sets = [_units(sentences, unit) for sentences in personas]
        values = [[len(a & b) / len(a | b) if a | b else 0.0 for b in sets] for a in sets]
        matrix = np.array(values, dtype=np.float64).reshape(len(sets), len(sets))
    else:
        if bare := [place for place, sentences in enumerate(personas) if not sentences]:
            raise EpisodeError(f"user {bare[0]} has no persona sentence to embed.")
        flat = [sentence for sentences in personas for sentence in sentences]
        vectors = np.asarray(embed(flat), dtype=np.float64)
        if vectors.ndim != 2 or len(vectors) != len(flat):
            raise EpisodeError(f"embed gave the shape {vectors.shape} for {len(flat)} sentences; [n, d] was expected.")
        starts = np.cumsum([0, *map(len, personas)])[:-1]
        means = np.add.reduceat(vectors, starts)  # the length of a sum plays no part in its direction
        means /= np.maximum(np.linalg.norm(means, axis=1, keepdims=True), 1e-12)
        matrix = means @ means.T
    np.fill_diagonal(matrix, 1.0)
    return matrix


def personas_of(rows: Dataset) -> dict[str, list[str]]:
    """Return `{persona: its different sentences, sorted}` over all its dialogues, in order of first appearance.

    Args:
        rows: columns `persona` and `persona_sentences`.
    """
    found: Mapping[str, set[str]] = defaultdict(set)
    columns = rows.select_columns(["persona", "persona_sentences"]).with_format(None)[:]
    for persona, sentences in zip(columns["persona"], columns["persona_sentences"], strict=True):
        found[persona].update(sentences)
    return {persona: sorted(sentences) for persona, sentences in found.items()}


def similar_subset(similarity: npt.ArrayLike, size: int) -> list[int]:
    """Return the users that have most in common: the subset with the highest mean pairwise similarity that this search finds.

    From every user, the one that adds most is taken until the subset is full; then single users are exchanged as long as that
    helps; the best outcome counts. (The exact answer is the densest subgraph of a given size, which is NP-hard.)

    Args:
        similarity: `[P, P]`, symmetric.
        size: users in the subset, 2 to P.

    Returns:
        Their numbers, sorted.

    Raises:
        EpisodeError: a matrix that is not square, or a size out of range.
    """
    matrix = _checked(similarity, size)
    best: tuple[float, list[int]] = (-np.inf, [])
    for start in range(len(matrix)):
        chosen, gain = [start], matrix[start].copy()
        gain[start] = -np.inf  # and so it stays, whatever is added
        while len(chosen) < size:
            chosen.append(int(gain.argmax()))
            gain += matrix[chosen[-1]]
            gain[chosen[-1]] = -np.inf
        chosen = _exchanged(matrix, chosen)
        total = float(matrix[chosen][:, chosen].sum())
        if total > best[0] + 1e-12:
            best = (total, sorted(chosen))
    return best[1]


def _exchanged(matrix: Matrix, chosen: list[int]) -> list[int]:
    """Return the subset after exchanging single users as long as the sum of similarities grows."""
    chosen = list(chosen)
    while True:
        others = np.setdiff1d(np.arange(len(matrix)), chosen)
        if not len(others):
            return chosen
        held = matrix[:, chosen].sum(1)
        gain = held[others][None, :] - matrix[chosen][:, others] - held[chosen][:, None]
        out, into = np.unravel_index(int(gain.argmax()), gain.shape)
        if gain[out, into] <= 1e-12:
            return chosen
        chosen[int(out)] = int(others[into])


def dissimilar_subset(similarity: npt.ArrayLike, size: int) -> list[int]:
    """Return users that have little in common, greedily: the least similar pair, then the user whose nearest chosen one is farthest.

    Args:
        similarity: `[P, P]`, symmetric.
        size: users in the subset, 2 to P.

    Returns:
        Their numbers, sorted; of equals the lower number (for later users: the one with the smaller sum) is taken.

    Raises:
        EpisodeError: a matrix that is not square, or a size out of range.
    """
    matrix = _checked(similarity, size)
    first, second = np.unravel_index(int((matrix + np.diag(np.full(len(matrix), np.inf))).argmin()), matrix.shape)
    chosen = [int(first), int(second)]
    while len(chosen) < size:
        nearest, total = matrix[chosen].max(0), matrix[chosen].sum(0)
        nearest[chosen] = np.inf
        chosen.append(int(np.lexsort((total, nearest))[0]))
    return sorted(chosen)


def select_users(rows: Dataset, kind: str, size: int, unit: str = "word") -> Dataset:
    """Return the rows of the users that are most, or least, alike; says who they are and how alike.

    Args:
        rows: columns `persona` and `persona_sentences`.
        kind: "similar" or "dissimilar".
        size: number of users, at least 2.
        unit: see `persona_similarity`.

    Raises:
        EpisodeError: unknown kind or unit, missing columns, or more users asked for than there are.
    """
    if kind not in KINDS:
        raise unknown_choice("kind", kind, KINDS)
    if missing := [name for name in ("persona", "persona_sentences") if name not in rows.column_names]:
        raise missing_columns(missing, rows.column_names)
    personas = personas_of(rows)
    matrix = similarity_matrix(list(personas.values()), unit)
    chosen = (similar_subset if kind == "similar" else dissimilar_subset)(matrix, size)
    names = [list(personas)[place] for place in chosen]
    logger.info(
        "%d %s users of %d, by %s: %s; mean similarity %.3f, that of all %.3f",
        *(size, kind, len(personas), unit, ", ".join(names)),
        *(mean_similarity(matrix, chosen), mean_similarity(matrix, range(len(personas)))),
    )
    return rows.select([place for place, name in enumerate(rows["persona"]) if name in set(names)])


def mean_similarity(similarity: npt.ArrayLike, chosen: Sequence[int]) -> float:
    """Return the mean similarity of all pairs in a subset.

    Args:
        similarity: `[P, P]`, symmetric.
        chosen: at least two users.

    Raises:
        EpisodeError: a matrix that is not square, or fewer than two users.
    """
    matrix = _checked(similarity, len(chosen))
    part = matrix[list(chosen)][:, list(chosen)]
    return float(part[np.triu_indices(len(chosen), 1)].mean())


def _checked(similarity: npt.ArrayLike, size: int) -> Matrix:
    """Return the matrix with a zero diagonal, or raise where it or the size cannot be."""
    matrix = np.array(similarity, dtype=np.float64)
    if matrix.ndim != 2 or matrix.shape[0] != matrix.shape[1] or not np.allclose(matrix, matrix.T, equal_nan=True):
        raise EpisodeError(f"similarity has the shape {matrix.shape}; a symmetric matrix [P, P] was expected.")
    if whole_number("size", size, 2, "users") > len(matrix):
        raise EpisodeError(f"a subset of {size} users was asked for; there are {len(matrix)}.")
    np.fill_diagonal(matrix, 0.0)
    return matrix
