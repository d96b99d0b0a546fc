"""Overlap of the tasks' structures, as a measurement of the evaluate library: `evaluate.load("<this folder>")`."""

import datasets
import evaluate
import numpy as np

from hfmeta.metrics import structure

_DESCRIPTION = """
Jaccard overlap of the kept edges of tasks: common edges over edges that either has, averaged over all pairs of tasks.
"""
_INPUTS = """
Args:
    data (list of list of bool): for each task, whether it kept each edge.
Returns:
    overlap: mean over pairs of tasks, from 0 to 1.
    pairwise: the overlap of every two tasks.
    kept: mean share of kept edges.
"""


class MaskOverlap(evaluate.Measurement):
    """How much structure tasks share."""

    def _info(self) -> evaluate.MeasurementInfo:
        return evaluate.MeasurementInfo(
            description=_DESCRIPTION,
            citation="",
            inputs_description=_INPUTS,
            features=datasets.Features({"data": datasets.Sequence(datasets.Value("bool"))}),
        )

    def _compute(self, data: list[list[bool]]) -> dict[str, object]:
        masks = [np.asarray(row, dtype=np.bool_) for row in data]
        return {
            "overlap": structure.mean_overlap(masks),
            "pairwise": structure.pairwise_overlap(masks).tolist(),
            "kept": float(np.mean([mask.mean() for mask in masks])),
        }
