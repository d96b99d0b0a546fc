"""From per-task scores to results: means with 95 % intervals, curves over inner steps, paired differences. Writes nothing."""

from __future__ import annotations

import math
import platform
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from hfmeta.learner import MetaLearner
from hfmeta.metrics import mean_ci95, paired_difference
from hfmeta.recipe.baselines import BaselineScores
from hfmeta.recipe.checks import METRICS

Scores = NDArray[np.float64]
PACKAGES = ("hfmeta", "torch", "transformers", "datasets", "accelerate", "peft", "numpy")


def summary(scores: Scores) -> dict[str, Any]:
    """Mean over tasks, half width of its 95 % interval, and the number of tasks.

    Args:
        scores: [T]; tasks that are not finite are left out and counted as `nonfinite_tasks`; where none is left the mean is NaN.
    """
    finite = np.isfinite(scores)
    mean, ci95 = mean_ci95(scores[finite]) if finite.any() else (math.nan, math.nan)
    entry: dict[str, Any] = {"mean": mean, "ci95": ci95 if np.isfinite(ci95) else None, "tasks": int(finite.sum())}
    if not finite.all():
        entry["nonfinite_tasks"] = int((~finite).sum())
    return entry


def curve(scores: Scores) -> dict[str, list[Any]]:
    """The summary after every inner step.

    Args:
        scores: [T, K + 1]; a task that is not finite at some step is left out of all.

    Returns:
        `{"mean": [K + 1 numbers], "ci95": [K + 1 numbers]}`.
    """
    kept = scores[np.isfinite(scores).all(1)]
    entries = [summary(column) for column in kept.T] if len(kept) else []
    return {key: [entry[key] for entry in entries] for key in ("mean", "ci95")}


def metric_entries(scores: Mapping[str, Scores], metrics: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Each metric after the last inner step, before the first, and the gain between the two.

    Args:
        scores: `loss` [T, K + 1] and, for classification, `accuracy` [T, K + 1].
        metrics: names of the recipe.
    """
    entries: dict[str, dict[str, Any]] = {}
    for name in metrics:
        values = scores[METRICS[name][0]]
        entries[name] = summary(values[:, -1])
        if values.shape[1] > 1:
            entries[f"{name}_before"] = summary(values[:, 0])
            entries[f"{name}_gain"] = summary(values[:, -1] - values[:, 0])
    return entries


def baseline_entries(
    scores: Mapping[str, BaselineScores], ours: Scores, metric: str
) -> tuple[dict[str, dict[str, Any]], dict[str, dict[str, Any]]]:
    """The baselines' summaries, and ours minus theirs over the same tasks.

    Args:
        scores: name -> scores on the first T' <= T test tasks.
        ours: [T], the learner's scores of the same metric.
        metric: the metric's name.

    Returns:
        `baselines` and `paired`, name -> entry.
    """
    baselines, paired = {}, {}
    for name, found in scores.items():
        baselines[name] = {
            **summary(found.final),
            "metric": metric,
            "options": found.options,
            "seconds": round(found.seconds, 3),
        }
        if found.scores.ndim == 2:
            baselines[name]["curve"] = curve(found.scores)
        same = ours[: len(found.final)]
        both = np.isfinite(found.final) & np.isfinite(same)
        if both.any():
            difference = paired_difference(found.final[both], same[both])
            paired[name] = {"mean": difference.mean, "ci95": difference.ci95, "tasks": difference.tasks}
            if metric == "accuracy":
                paired[name]["relative_error_reduction"] = difference.relative_error_reduction
    return baselines, paired


def baseline_metric(metrics: Sequence[str], task: str) -> str:
    """The metric that baselines are scored by: accuracy for classification, else the loss under the name the recipe gives it.

    Args:
        metrics: names of the recipe.
        task: task type.
    """
    wanted = "accuracy" if task.endswith("classification") else "loss"
    return next((name for name in metrics if METRICS[name][0] == wanted), wanted)


def score_episodes(learner: MetaLearner, episodes: Any, batch: int) -> dict[str, Scores]:
    """Per-task scores without a trainer, in this process alone.

    Args:
        learner: model and algorithm.
        episodes: T episodes with a `collate`.
        batch: tasks per pass.

    Returns:
        `loss` [T, K + 1] and, for classification, `accuracy` [T, K + 1].
    """
    device = next(learner.model.parameters()).device
    found: dict[str, list[Scores]] = {}
    for first in range(0, len(episodes), batch):
        rows = episodes.__getitems__(range(first, min(first + batch, len(episodes))))
        stacked = episodes.collate(rows)
        support, query = (
            {name: value.to(device) for name, value in stacked[side].items()} for side in ("support", "query")
        )
        scores = learner.scores(support, query, stacked["task"])
        for name in ("loss", "accuracy"):
            if name in scores:
                found.setdefault(name, []).append(scores[name].double().cpu().numpy())
    return {name: np.concatenate(parts) for name, parts in found.items()}


def versions() -> dict[str, str]:
    """Versions of Python and of the packages that decide the numbers."""
    return {"python": platform.python_version(), **{package: version(package) for package in PACKAGES}}


def device_name(device: torch.device) -> str:
    """What the run ran on, in words.

    Args:
        device: the trainer's device.
    """
    return torch.cuda.get_device_name(device) if device.type == "cuda" else device.type
