"""BLEU of dialogue responses by sacrebleu: the mean over dialogues, as the papers on persona dialogue report it, and pooled.

Not here: generating responses and splitting text into tokens: words are what white space separates.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Any

from hfmeta.inner.errors import HfmetaError
from hfmeta.metrics.grouping import check_same_length, positions_by
from hfmeta.metrics.scores import mean_ci95


@dataclass(frozen=True)
class BleuScores:
    """BLEU-4 in percent, averaged over dialogues and pooled.

    Args:
        dialogue_mean: mean over dialogues of the corpus BLEU of one dialogue's responses.
        ci95: half width of its 95 % interval over dialogues; nan for one dialogue.
        corpus: corpus BLEU of all responses together.
        per_dialogue: BLEU of each dialogue, in order of first appearance.
        signature: sacrebleu's description of how it was computed, to be quoted with the number.
    """

    dialogue_mean: float
    ci95: float
    corpus: float
    per_dialogue: tuple[float, ...]
    signature: str


def bleu_scores(
    responses: Sequence[str],
    references: Sequence[str],
    dialogues: Sequence[Hashable] | None = None,
    *,
    lowercase: bool = True,
) -> BleuScores:
    """Corpus BLEU-4 without smoothing, per dialogue and pooled, one reference for each response.

    A dialogue without any common 4-gram scores exactly 0, which pulls the mean over dialogues far below the pooled score; compare a
    figure with a paper's only when both are averaged in the same way.

    Args:
        responses: N generated texts, tokens separated by white space.
        references: N true texts, likewise.
        dialogues: N ids of the dialogue (or run) each response belongs to; None: all are one dialogue.
        lowercase: compare in lower case.

    Raises:
        HfmetaError: nothing to score, lists of unequal length, an entry that is not text.

    Source: Moses `multi-bleu.perl -lc` on each held-out dialogue, then the mean (Madotto et al. 2019, PAML; Song et al. 2020, CMAML);
    Post 2018 (sacrebleu).
    """
    size = check_same_length("BLEU", responses=responses, references=references, dialogues=dialogues)
    for name, texts in (("responses", responses), ("references", references)):
        wrong = next((text for text in texts if not isinstance(text, str)), None)
        if wrong is not None:
            raise HfmetaError(f"BLEU takes {name} as one text each, tokens separated by spaces: received {wrong!r}.")
    scorer = _scorer(lowercase)
    groups = positions_by(dialogues, size)
    scores = [_bleu(scorer, responses, references, rows) for rows in groups.values()]
    mean, half = mean_ci95(scores)
    pooled = _bleu(scorer, responses, references, range(size))
    return BleuScores(mean, half, pooled, tuple(scores), str(scorer.get_signature()))


def _scorer(lowercase: bool) -> Any:
    # Imported on use: it takes noticeable time, and most of what the package does never needs it.
    from sacrebleu.metrics import BLEU

    return BLEU(lowercase=lowercase, tokenize="none", smooth_method="none", effective_order=False, force=True)


def _bleu(scorer: Any, responses: Sequence[str], references: Sequence[str], rows: Sequence[int]) -> float:
    # sacrebleu takes other white space than single spaces for parts of words; multi-bleu splits at any.
    said = [" ".join(responses[row].split()) for row in rows]
    true = [" ".join(references[row].split()) for row in rows]
    return float(scorer.corpus_score(said, [true]).score)
