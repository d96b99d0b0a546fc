"""Emoji accuracy by any emoji classifier, as a metric of the evaluate library: `evaluate.load("<this folder>")`."""

from typing import Any

import datasets
import evaluate

from hfmeta.metrics import emoji

_DESCRIPTION = """
Share of responses in which an emoji classifier finds the emoji they were to express, at its first guess and among its first five.
"""
_INPUTS = """
Args:
    predictions (list of str): generated responses.
    references (list of str): the emoji each was to express.
    classifier: the judge: a hub id, a folder or a transformers sequence-classification model whose config names its emojis.
    tokenizer: of a model that is handed over.
    tasks (list): the task each response belongs to; the shares are then means over tasks.
    label_set (list of str): all emojis of the corpus, which must be those of the classifier.
    batch_size (int): distinct texts per forward pass; 64 by default.
Returns:
    top1, top5: shares from 0 to 1.
    top1_ci95, top5_ci95: half widths of their 95 % intervals over tasks (over responses without tasks).
    classifier, emojis: the judge, and how many emojis it chooses from.
"""


class EAcc(evaluate.Metric):
    """Agreement of responses with emojis."""

    def _info(self) -> evaluate.MetricInfo:
        text = datasets.Value("string")
        return evaluate.MetricInfo(
            description=_DESCRIPTION,
            citation="",
            inputs_description=_INPUTS,
            features=datasets.Features({"predictions": text, "references": text}),
        )

    def _compute(
        self,
        predictions: list[str],
        references: list[str],
        classifier: Any,
        tokenizer: Any = None,
        tasks: list[object] | None = None,
        label_set: list[str] | None = None,
        batch_size: int = 64,
    ) -> dict[str, object]:
        result = emoji.emoji_accuracy(
            predictions, references, classifier, tokenizer, tasks, label_set=label_set, batch_size=batch_size
        )
        return {
            "top1": result.top1,
            "top1_ci95": result.top1_ci95,
            "top5": result.top5,
            "top5_ci95": result.top5_ci95,
            "classifier": result.model,
            "emojis": result.emojis,
        }
