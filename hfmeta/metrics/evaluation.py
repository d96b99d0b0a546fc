"""What an evaluation of the Trainer reports of scores by task, before and after every inner step."""

from __future__ import annotations

from typing import Any

import numpy as np
from transformers import EvalPrediction

from hfmeta.metrics.scores import adaptation_gain, mean_ci95


def task_metrics(prediction: EvalPrediction) -> dict[str, float]:
    """Means over tasks with 95 % intervals: after the last inner step, before the first, and the gain.

    Tasks whose score is not finite are counted as `nonfinite_tasks` and left out of the means.
    """
    scores: Any = prediction.predictions
    found: dict[str, float] = {}
    for name, label in (("accuracy", "accuracy"), ("loss", "query_loss")):
        if name not in scores:
            continue
        curve = np.asarray(scores[name], dtype=np.float64)
        finite = np.isfinite(curve).all(1)
        found["tasks"], found["nonfinite_tasks"] = float(len(curve)), float((~finite).sum())
        if not finite.any():
            continue
        before, after = curve[finite, 0], curve[finite, -1]
        found[label], found[f"{label}_ci95"] = mean_ci95(after)
        found[f"{label}_before"], _ = mean_ci95(before)
        found[f"{label}_gain"], found[f"{label}_gain_ci95"] = mean_ci95(
            adaptation_gain(before.tolist(), after.tolist())
        )
    return found
