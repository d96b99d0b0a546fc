"""Diff Score and Delta Score, as a comparison of the evaluate library: `evaluate.load("<this folder>")`."""

import datasets
import evaluate
import torch

from hfmeta.metrics import difference

_DESCRIPTION = """
How far adapted models lie from each other (Diff Score) and from their start (Delta Score): squared distances over the number of
parameters.
"""
_INPUTS = """
Args:
    predictions1 (list of list of float): parameters before adaptation, one flat list per task, all the same.
    predictions2 (list of list of float): parameters after adaptation, one flat list per task; pruned ones as 0.
    unit (float): what to divide by; 1e-10 gives figures like the published ones.
Returns:
    diff_score: mean over pairs of tasks; nan for one task.
    diff_ci95: half width of its 95 % interval over tasks, by the jackknife; nan for fewer than three tasks.
    delta_score: mean over tasks.
    delta_ci95: half width of its 95 % interval over tasks; nan for one task.
    models, parameters: how many.
"""


class ModelDifference(evaluate.Comparison):
    """Distances between adapted models."""

    def _info(self) -> evaluate.ComparisonInfo:
        row = datasets.Sequence(datasets.Value("float64"))
        return evaluate.ComparisonInfo(
            module_type="comparison",
            description=_DESCRIPTION,
            citation="",
            inputs_description=_INPUTS,
            features=datasets.Features({"predictions1": row, "predictions2": row}),
        )

    def _compute(
        self, predictions1: list[list[float]], predictions2: list[list[float]], unit: float = 1.0
    ) -> dict[str, float]:
        starts = torch.tensor(predictions1, dtype=torch.float64)
        if not bool((starts == starts[0]).all()):
            raise ValueError(
                "the Delta Score is from one common start: predictions1 must hold the same parameters for every task."
            )
        models = [{"all": torch.tensor(row, dtype=torch.float64)} for row in predictions2]
        result = difference.model_differences(models, {"all": starts[0]}, unit=unit)
        return {
            "diff_score": result.diff,
            "diff_ci95": result.diff_ci95,
            "delta_score": result.delta,
            "delta_ci95": result.delta_ci95,
            "models": result.models,
            "parameters": result.parameters,
        }
