"""The C score by any NLI model, as a metric of the evaluate library: `evaluate.load("<this folder>")`."""

from typing import Any

import datasets
import evaluate

from hfmeta.metrics import consistency

_DESCRIPTION = """
Consistency of responses with personas: +1 for each persona sentence a response entails, -1 for each it contradicts, as judged by a
natural-language-inference model; the sum over persona sentences, then the mean. Quote the model with the number.
"""
_INPUTS = """
Args:
    predictions (list of str): generated responses.
    references (list of list of str): persona sentences of the dialogue of each response.
    nli: the judge: a hub id, a folder or a transformers sequence-classification model whose config names its classes.
    tokenizer: of a model that is handed over.
    tasks (list): the task each response belongs to; the score is then a mean over tasks.
    batch_size (int): distinct pairs per forward pass; 32 by default.
Returns:
    c_score: mean over tasks (over responses without tasks).
    ci95: half width of its 95 % interval.
    pooled: mean over responses.
    entailed, contradicted, pairs: numbers of (response, persona sentence) pairs.
    nli_model, nli_labels: the judge, and what its logits were taken for.
"""


class CScore(evaluate.Metric):
    """Agreement of responses with personas."""

    def _info(self) -> evaluate.MetricInfo:
        text = datasets.Value("string")
        return evaluate.MetricInfo(
            description=_DESCRIPTION,
            citation="",
            inputs_description=_INPUTS,
            features=datasets.Features({"predictions": text, "references": datasets.Sequence(text)}),
        )

    def _compute(
        self,
        predictions: list[str],
        references: list[list[str]],
        nli: Any,
        tokenizer: Any = None,
        tasks: list[object] | None = None,
        batch_size: int = 32,
    ) -> dict[str, object]:
        result = consistency.consistency_score(predictions, references, nli, tokenizer, tasks, batch_size=batch_size)
        return {
            "c_score": result.mean,
            "ci95": result.ci95,
            "pooled": result.pooled,
            "entailed": result.entailed,
            "contradicted": result.contradicted,
            "pairs": result.pairs,
            "nli_model": result.model,
            "nli_labels": result.labels,
        }
