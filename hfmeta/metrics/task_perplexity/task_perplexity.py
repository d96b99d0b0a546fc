"""Macro and micro perplexity over tasks, as a metric of the evaluate library: `evaluate.load("<this folder>")`."""

import datasets
import evaluate

from hfmeta.metrics import likelihood

_DESCRIPTION = """
Perplexity from summed token losses: macro (exp of the mean over tasks of a task's mean loss) and micro (over all tokens).
"""
_INPUTS = """
Args:
    predictions (list of list of float): summed -log p of each batch in nats, one list per task.
    references (list of list of int): number of tokens of each batch, one list per task.
Returns:
    perplexity: macro average over tasks.
    perplexity_low, perplexity_high: ends of its 95 % interval over tasks; nan for one task.
    micro_perplexity: over all tokens.
    tasks, tokens: how many.
"""


class TaskPerplexity(evaluate.Metric):
    """Perplexity from the losses and token counts of batches."""

    def _info(self) -> evaluate.MetricInfo:
        features = {
            "predictions": datasets.Sequence(datasets.Value("float64")),
            "references": datasets.Sequence(datasets.Value("int64")),
        }
        return evaluate.MetricInfo(
            description=_DESCRIPTION,
            citation="",
            inputs_description=_INPUTS,
            features=datasets.Features(features),
        )

    def _compute(self, predictions: list[list[float]], references: list[list[int]]) -> dict[str, float]:
        tasks = [list(zip(nll, tokens, strict=True)) for nll, tokens in zip(predictions, references, strict=True)]
        result = likelihood.perplexity(tasks)
        low, high = result.macro_ci95
        return {
            "perplexity": result.macro,
            "perplexity_low": low,
            "perplexity_high": high,
            "micro_perplexity": result.micro,
            "tasks": len(result.per_task),
            "tokens": result.tokens,
        }
