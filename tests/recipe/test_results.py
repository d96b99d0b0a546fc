"""Checks of hfmeta/recipe/results.py."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from hfmeta.recipe.baselines import BaselineScores
from hfmeta.recipe.results import (
    baseline_entries,
    baseline_metric,
    curve,
    device_name,
    metric_entries,
    summary,
    versions,
)

SCORES = {
    "accuracy": np.array([[0.2, 0.6], [0.4, 1.0], [0.0, 0.5]]),
    "loss": np.array([[2.0, 1.0], [1.0, 0.5], [3.0, np.nan]]),
}


def test_a_summary_is_mean_interval_and_tasks():
    entry = summary(np.array([1.0, 2.0, 3.0]))
    assert entry == {"mean": 2.0, "ci95": pytest.approx(1.96 / math.sqrt(3)), "tasks": 3}
    assert summary(np.array([1.0])) == {"mean": 1.0, "ci95": None, "tasks": 1}


def test_tasks_that_diverge_are_left_out_and_counted():
    assert summary(np.array([1.0, np.nan, 3.0, np.inf])) == {
        "mean": 2.0, "ci95": pytest.approx(1.96), "tasks": 2, "nonfinite_tasks": 2,
    }  # fmt: skip
    none = summary(np.array([np.nan, np.inf]))
    assert math.isnan(none.pop("mean"))
    assert none == {"ci95": None, "tasks": 0, "nonfinite_tasks": 2}
    assert curve(SCORES["loss"])["mean"] == [1.5, 0.75]
    assert curve(np.array([[1.0, np.nan]])) == {"mean": [], "ci95": []}


def test_every_metric_has_before_and_gain():
    entries = metric_entries(SCORES, ["accuracy", "loss"])
    assert list(entries) == ["accuracy", "accuracy_before", "accuracy_gain", "loss", "loss_before", "loss_gain"]
    assert entries["accuracy"]["mean"] == pytest.approx(0.7)
    assert entries["accuracy_gain"]["mean"] == pytest.approx(0.5)
    assert entries["loss"]["nonfinite_tasks"] == 1
    assert list(metric_entries({"loss": np.ones((2, 1))}, ["mse"])) == ["mse"]


def test_baselines_are_paired_over_the_same_tasks():
    scores = {
        "frozen_ncm": BaselineScores(np.array([0.5, 0.9, 0.6]), {"metric": "cosine"}, 1.23456),
        "fine_tuning": BaselineScores(np.array([0.4, 0.4]), {}, 2.0),
        "pretrained": BaselineScores(np.array([[0.1, 0.3], [0.2, np.nan], [0.2, 0.2]]), {}, 3.0),
    }
    baselines, paired = baseline_entries(scores, SCORES["accuracy"][:, -1], "accuracy")
    assert baselines["frozen_ncm"]["options"] == {"metric": "cosine"}
    assert baselines["frozen_ncm"]["seconds"] == 1.235
    assert paired["frozen_ncm"]["mean"] == pytest.approx((0.1 + 0.1 - 0.1) / 3)
    assert paired["fine_tuning"]["tasks"] == baselines["fine_tuning"]["tasks"] == 2
    assert paired["fine_tuning"]["relative_error_reduction"] == pytest.approx(0.4 / 0.6)
    assert paired["pretrained"]["tasks"] == 2
    assert len(baselines["pretrained"]["curve"]["mean"]) == 2
    _, paired = baseline_entries(
        {"none": BaselineScores(np.array([1.0, 2.0]), {}, 0.0)}, np.array([np.nan, 1.0]), "loss"
    )
    assert "relative_error_reduction" not in paired["none"]


def test_the_metric_of_baselines():
    assert baseline_metric(["loss", "accuracy"], "sequence-classification") == "accuracy"
    assert baseline_metric(["mse"], "regression") == "mse"
    assert baseline_metric(["loss"], "causal-lm") == "loss"


def test_versions_and_device():
    assert {"python", "hfmeta", "torch", "transformers"} <= set(versions())
    assert device_name(torch.device("cpu")) == "cpu"
