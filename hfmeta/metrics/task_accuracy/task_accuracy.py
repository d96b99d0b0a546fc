"""Mean accuracy over tasks with its 95 % interval, as a metric of the evaluate library: `evaluate.load("<this folder>")`."""

import datasets
import evaluate
import torch

from hfmeta.metrics import scores

_DESCRIPTION = """
Accuracy of each task, then the mean over tasks and the half width of its 95 % interval over tasks. Label -100 is left out.
"""
_INPUTS = """
Args:
    predictions (list of list of int): predicted class of each query row, one list per task.
    references (list of list of int): true class of each query row, one list per task.
Returns:
    accuracy: mean over tasks of the share of right rows, from 0 to 1.
    ci95: half width of the 95 % interval, 1.96 * std / sqrt(tasks); nan for one task.
    tasks: number of tasks.
"""


class TaskAccuracy(evaluate.Metric):
    """Accuracy per task, summarised over tasks."""

    def _info(self) -> evaluate.MetricInfo:
        rows = datasets.Sequence(datasets.Value("int64"))
        return evaluate.MetricInfo(
            description=_DESCRIPTION,
            citation="",
            inputs_description=_INPUTS,
            features=datasets.Features({"predictions": rows, "references": rows}),
        )

    def _compute(self, predictions: list[list[int]], references: list[list[int]]) -> dict[str, float]:
        accuracies = []
        for predicted, true in zip(predictions, references, strict=True):
            labels = torch.tensor([true])
            classes = int(max(*predicted, *true, 0)) + 1
            one_hot = torch.nn.functional.one_hot(torch.tensor([predicted]), classes)
            accuracies.append(float(scores.task_accuracy(one_hot, labels)))
        mean, ci95 = scores.mean_ci95(accuracies)
        return {"accuracy": mean, "ci95": ci95, "tasks": len(accuracies)}
