"""Checks of hfmeta/reporting/plots.py."""

from __future__ import annotations

import sys

from PIL import Image

from hfmeta.reporting.plots import adaptation_curve, axis_label, learning_curve, pair_plot

CURVE = {"mean": [0.2, 0.6, 0.7], "ci95": [0.01, 0.02, 0.02]}


def _is_drawn(path):
    with Image.open(path) as image:
        assert image.format == "PNG"
        assert image.width > 500
        return len(image.convert("RGB").getcolors(maxcolors=1 << 20)) > 20


def test_learning_curve_is_drawn(tmp_path):
    history = [
        {"step": 10, "loss": 1.2, "learning_rate": 1e-3},
        {"step": 20, "loss": 0.8},
        {"step": 20, "eval_accuracy": 0.7, "eval_accuracy_ci95": 0.02, "eval_loss": 0.9},
        {"step": 20, "train_runtime": 3.0},
    ]
    path = learning_curve(history, "accuracy", tmp_path / "plots" / "learning_curve.png")
    assert path == tmp_path / "plots" / "learning_curve.png"
    assert _is_drawn(path)


def test_a_validation_loss_shares_the_axis(tmp_path):
    history = [{"step": 10, "loss": 1.2}, {"step": 20, "loss": 0.8}, {"step": 20, "eval_query_loss": 0.7}]
    assert _is_drawn(learning_curve(history, "query_loss", tmp_path / "curve.png", "mean squared error"))
    assert _is_drawn(learning_curve([{"step": 1, "loss": -0.5}], "query_loss", tmp_path / "negative.png"))


def test_learning_curve_of_an_empty_history_is_an_empty_plot(tmp_path):
    assert learning_curve([], "loss", tmp_path / "curve.png").stat().st_size > 1000


def test_adaptation_curve_with_baselines_is_drawn(tmp_path):
    baselines = {
        "frozen_ncm": {"mean": 0.65, "ci95": 0.02},
        "pretrained": {"mean": 0.3, "ci95": None, "curve": {"mean": [0.2, 0.25, 0.3], "ci95": [0.0, 0.0, 0.0]}},
        "one_task": {"mean": 0.5, "ci95": None},
    }
    path = adaptation_curve({"maml": CURVE}, "accuracy", tmp_path / "adaptation.png", baselines)
    assert _is_drawn(path)
    assert [p.name for p in tmp_path.iterdir()] == ["adaptation.png"]


def test_many_curves_reuse_colours(tmp_path):
    curves = {f"run {i}": CURVE for i in range(9)}
    assert adaptation_curve(curves, "accuracy", tmp_path / "many.png").exists()


def test_axis_labels_have_units():
    assert axis_label("accuracy") == "accuracy (%)"
    assert axis_label("loss") == "query loss"
    assert axis_label("mse") == "mean squared error"
    assert axis_label("exact_match") == "exact match (%)"
    assert axis_label("mean_reward") == "mean reward"


def test_no_display_is_needed():
    assert "matplotlib.pyplot" not in sys.modules or "agg" in sys.modules["matplotlib"].get_backend().lower()


def test_a_curve_of_one_task_has_no_interval(tmp_path):
    curve = {"mean": [2.0, 1.5], "ci95": [None, None]}
    assert _is_drawn(
        adaptation_curve({"maml": curve}, "loss", tmp_path / "one.png", {"other": {"mean": 1.0, "ci95": None}})
    )


def test_pairs_are_drawn(tmp_path):
    x, y = [0.0, 0.1, 0.2, 0.3, 0.4, 0.5], [0.5, 0.4, 0.6, 0.7, 0.6, 0.9]
    assert _is_drawn(pair_plot({"train": (x, y), "test": (x[:2], y[:2])}, "x", "y", tmp_path / "pairs.png"))
    assert pair_plot({}, "x", "y", tmp_path / "none.png").stat().st_size > 1000
