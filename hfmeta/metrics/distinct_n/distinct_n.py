"""Dist-1 and Dist-2, as a measurement of the evaluate library: `evaluate.load("<this folder>")`."""

import datasets
import evaluate

from hfmeta.metrics import diversity

_DESCRIPTION = """
Share of distinct n-grams among all generated n-grams, for n = 1 and 2, over all responses pooled and per task.
"""
_INPUTS = """
Args:
    data (list of str): generated responses, tokens separated by white space.
    tasks (list): the task each response belongs to; without it, all are one.
    lowercase (bool): count in lower case; true by default.
Returns:
    dist_1, dist_2: over all responses pooled.
    dist_1_per_task, dist_2_per_task: mean over tasks of the same within one task.
    dist_1_ci95, dist_2_ci95: half widths of their 95 % intervals over tasks; nan for one task.
"""


class DistinctN(evaluate.Measurement):
    """Diversity of generated responses."""

    def _info(self) -> evaluate.MeasurementInfo:
        return evaluate.MeasurementInfo(
            description=_DESCRIPTION,
            citation="",
            inputs_description=_INPUTS,
            features=datasets.Features({"data": datasets.Value("string")}),
        )

    def _compute(self, data: list[str], tasks: list[object] | None = None, lowercase: bool = True) -> dict[str, float]:
        results: dict[str, float] = {}
        for n in (1, 2):
            found = diversity.distinct(data, n, tasks, lowercase=lowercase)
            results |= {
                f"dist_{n}": found.pooled,
                f"dist_{n}_per_task": found.task_mean,
                f"dist_{n}_ci95": found.ci95,
            }
        return results
