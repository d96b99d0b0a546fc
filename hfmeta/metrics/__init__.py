"""Metrics: plain functions over tasks, and folders that `evaluate.load` opens."""

from hfmeta.metrics.scores import PairedDifference, adaptation_gain, mean_ci95, paired_difference, task_accuracy

__all__ = ["PairedDifference", "adaptation_gain", "mean_ci95", "paired_difference", "task_accuracy"]
