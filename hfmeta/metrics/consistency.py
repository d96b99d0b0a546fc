"""The C score: whether responses agree with the persona they were given for, as a natural-language-inference model sees it.

Here: reading the model's label names, and the score. Not here: the model itself (any one will do, and the number means nothing
without its name) and the data to train one on (corpora room).
"""

from __future__ import annotations

import os
import re
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from torch import nn

from hfmeta.inner.errors import HfmetaError
from hfmeta.metrics.classifiers import MAX_LENGTH, TextClassifier, check_width, classify, label_names, load_classifier
from hfmeta.metrics.grouping import check_same_length, mean_over_tasks

_SPELLINGS = {
    "entailment": "entailment entail entails entailed entailing positive_entailment consistent consistency",
    "neutral": "neutral neither unrelated irrelevant",
    "contradiction": "contradiction contradict contradicts contradictory contradicted inconsistent inconsistency",
    "not entailment": "notentailment nonentailment notentailed noentailment",
}
_MEANING = {re.sub(r"[^a-z]", "", word): kind for kind, words in _SPELLINGS.items() for word in words.split()}
_VALUES = {"entailment": 1, "neutral": 0, "contradiction": -1, "not entailment": 0}
_COMPLETE = (
    {"entailment", "neutral", "contradiction"},
    {"entailment", "contradiction"},
    {"entailment", "not entailment"},
)


@dataclass(frozen=True)
class ConsistencyScore:
    """The C score of a set of responses, with the model that judged them.

    Args:
        mean: mean over tasks of the mean score of a task's responses (over responses where no tasks were given).
        ci95: half width of its 95 % interval over tasks (or responses); nan for one.
        pooled: mean over all responses.
        per_response: score of each response: entailed minus contradicted persona sentences.
        entailed: number of (response, persona sentence) pairs judged so.
        contradicted: likewise.
        pairs: number of pairs.
        model: name of the NLI model, to be quoted with the number.
        labels: what each logit of it was taken for, e.g. {0: "contradiction", 1: "entailment", 2: "neutral"}.
    """

    mean: float
    ci95: float
    pooled: float
    per_response: tuple[int, ...]
    entailed: int
    contradicted: int
    pairs: int
    model: str
    labels: dict[int, str]

    def __str__(self) -> str:
        """The number with the model and mapping behind it."""
        mapping = ", ".join(f"{index}={name}" for index, name in self.labels.items())
        return f"C score {self.mean:.4f} +- {self.ci95:.4f} (NLI model {self.model}: {mapping})"


def consistency_labels(model: nn.Module) -> dict[int, str]:
    """What each logit of an NLI model means, from the class names in its config, however they are spelled.

    A model may have three classes (entailment, neutral, contradiction), or two: consistent and inconsistent (the same as
    entailment and contradiction), or entailment and not entailment (worth +1 and 0, so nothing ever counts as a contradiction).

    Args:
        model: its config names the classes in `id2label` or `label2id`.

    Raises:
        HfmetaError: classes without names, or other ones than these.
    """
    names = label_names(model, "NLI model")
    kinds = [_MEANING.get(re.sub(r"[^a-z]", "", name.lower())) for name in names]
    if None in kinds or len(set(kinds)) != len(kinds) or set(kinds) not in _COMPLETE:
        raise HfmetaError(
            f"the classes of the NLI model are {', '.join(names)}; expected entailment, neutral and contradiction "
            "in any order and usual spelling (or consistent and inconsistent, or entailment and not_entailment). "
            "Take an NLI model, or correct its config's id2label."
        )
    return {index: str(kind) for index, kind in enumerate(kinds)}


def consistency_score(
    responses: Sequence[str],
    personas: Sequence[Sequence[str]],
    nli: str | os.PathLike[str] | nn.Module | TextClassifier,
    tokenizer: Any = None,
    tasks: Sequence[Hashable] | None = None,
    *,
    batch_size: int = 32,
    max_length: int = MAX_LENGTH,
) -> ConsistencyScore:
    """C score: for each response, +1 for a persona sentence it entails, -1 for one it contradicts, summed over its persona's
    sentences.

    It is a sum, not a mean over sentences, so it lies between minus and plus the number of persona sentences. The response is
    the first segment of a pair, the persona sentence the second.

    Args:
        responses: N generated texts.
        personas: N lists of persona sentences: those of the dialogue that the response belongs to.
        nli: the judge: a hub id, a folder, a sequence-classification model or a loaded `TextClassifier`.
        tokenizer: of a model that is handed over.
        tasks: N task ids; the score is then a mean over tasks. None: a mean over responses.
        batch_size: distinct pairs per forward pass.
        max_length: word pieces a pair is cut to.

    Raises:
        HfmetaError: lists of unequal length, a persona without a sentence or that is a single text, a model that cannot be
            loaded or whose classes are not those of NLI.

    Source: Madotto et al. 2019 (PAML), section 3.3; Song et al. 2020 (CMAML).
    """
    check_same_length("the C score", responses=responses, personas=personas, tasks=tasks)
    for number, persona in enumerate(personas):
        if isinstance(persona, str) or len(persona) == 0:
            raise HfmetaError(
                f"the persona of response {number} must be a list of at least one sentence: received {persona!r}."
            )
    classifier = load_classifier(nli, tokenizer)
    labels = consistency_labels(classifier.model)
    pairs = [(text, sentence) for text, persona in zip(responses, personas, strict=True) for sentence in persona]
    logits = classify(
        classifier, [p[0] for p in pairs], [p[1] for p in pairs], batch_size=batch_size, max_length=max_length
    )
    check_width(logits, list(labels.values()), "NLI model")
    return _summed([_VALUES[labels[int(row)]] for row in logits.argmax(-1)], personas, tasks, classifier.name, labels)


def _summed(
    judged: Sequence[int],
    personas: Sequence[Sequence[str]],
    tasks: Sequence[Hashable] | None,
    model: str,
    labels: Mapping[int, str],
) -> ConsistencyScore:
    scores, start = [], 0
    for persona in personas:
        scores.append(sum(judged[start : start + len(persona)]))
        start += len(persona)
    mean, half, _ = mean_over_tasks(scores, tasks)
    return ConsistencyScore(
        mean=mean,
        ci95=half,
        pooled=sum(scores) / len(scores),
        per_response=tuple(scores),
        entailed=sum(value == 1 for value in judged),
        contradicted=sum(value == -1 for value in judged),
        pairs=len(judged),
        model=model,
        labels=dict(labels),
    )
