"""Diversity of generated text: the share of distinct n-grams (Dist-1, Dist-2)."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass

from hfmeta.inner.errors import HfmetaError
from hfmeta.metrics.grouping import check_same_length, positions_by
from hfmeta.metrics.scores import mean_ci95


@dataclass(frozen=True)
class Distinct:
    """Distinct n-grams over generated n-grams.

    Args:
        pooled: over the n-grams of all responses together.
        task_mean: mean over tasks of the same within one task; equal to `pooled` where no tasks were given.
        ci95: half width of its 95 % interval over tasks; nan for one task.
        ngrams: number of generated n-grams.
        types: number of distinct ones.
    """

    pooled: float
    task_mean: float
    ci95: float
    ngrams: int
    types: int


def distinct(
    responses: Sequence[str] | Sequence[Sequence[str]],
    n: int = 1,
    tasks: Sequence[Hashable] | None = None,
    *,
    lowercase: bool = True,
) -> Distinct:
    """Dist-n: distinct n-grams divided by all n-grams, over all responses pooled and per task.

    The figure falls as more text is generated, so compare only sets of responses of the same size: the pooled one of all test
    responses (the papers' tables) lies far below the mean over tasks. Where nothing was generated it is 0.

    Args:
        responses: N texts, tokens separated by white space, or N lists of tokens.
        n: length of the n-grams; n-grams do not cross responses.
        tasks: N ids of the task each response belongs to; None: all are one task.
        lowercase: count in lower case.

    Raises:
        HfmetaError: no responses, lists of unequal length, n below 1.

    Source: Li et al. 2016, "A Diversity-Promoting Objective Function for Neural Conversation Models".
    """
    size = check_same_length(f"Dist-{n}", responses=responses, tasks=tasks)
    if n < 1:
        raise HfmetaError(f"Dist-n counts n-grams of length 1 or more: received n={n}.")
    rows = [_ngrams(response, n, lowercase) for response in responses]
    pooled = [ngram for row in rows for ngram in row]
    shares = []
    for positions in positions_by(tasks, size).values():
        own = [ngram for position in positions for ngram in rows[position]]
        shares.append(_share(own))
    mean, half = mean_ci95(shares)
    return Distinct(_share(pooled), mean, half, len(pooled), len(set(pooled)))


def _ngrams(response: str | Sequence[str], n: int, lowercase: bool) -> list[tuple[str, ...]]:
    tokens = response.split() if isinstance(response, str) else list(response)
    if lowercase:
        tokens = [token.lower() for token in tokens]
    return [tuple(tokens[start : start + n]) for start in range(len(tokens) - n + 1)]


def _share(ngrams: Sequence[tuple[str, ...]]) -> float:
    return len(set(ngrams)) / len(ngrams) if ngrams else 0.0
