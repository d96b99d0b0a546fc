"""Checks of hfmeta/metrics/evaluation.py."""

from __future__ import annotations

import numpy as np
from transformers import EvalPrediction

from hfmeta.metrics.evaluation import task_metrics


def test_tasks_that_explode_are_counted_and_left_out_of_the_means():
    curve = np.array([[1.0, 0.5], [1.0, np.nan], [2.0, 1.0]])
    found = task_metrics(EvalPrediction(predictions={"loss": curve}, label_ids=None))
    assert found["tasks"] == 3
    assert found["nonfinite_tasks"] == 1
    assert found["query_loss"] == 0.75
    assert found["query_loss_before"] == 1.5
    none = task_metrics(EvalPrediction(predictions={"loss": curve[1:2]}, label_ids=None))
    assert none == {"tasks": 1.0, "nonfinite_tasks": 1.0}
