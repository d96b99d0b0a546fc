"""Checks of hfmeta/reporting/page.py."""

from __future__ import annotations

import math

import pytest

from hfmeta.reporting.page import paired_rows, remarks, report_rows, same_episodes, settings, write_report


def results(mean: float, sha256: str = "a" * 64, metric: str = "accuracy") -> dict:
    return {
        "primary_metric": metric,
        "algorithm": {"name": "maml"},
        "command": "hfmeta train <recipe>",
        "episodes": {"count": 9, "sha256": sha256},
        "metrics": {metric: {"mean": mean, "ci95": 0.01, "tasks": 9}},
        "baselines": {"frozen_ncm": {"mean": 0.5, "ci95": 0.01, "tasks": 9, "metric": metric}},
        "adaptation_curve": {metric: {"mean": [0.2, mean], "ci95": [0.01, 0.01]}},
    }


def test_runs_share_a_table_and_a_plot(tmp_path):
    runs = {"one": results(0.9), "two": results(0.8)}
    assert [row.name for row in report_rows(runs)] == ["one: frozen ncm", "one: maml", "two: frozen ncm", "two: maml"]
    assert [row.name for row in report_rows({"one": runs["one"]})] == ["frozen ncm", "maml"]
    written = write_report(runs, tmp_path / "report")
    assert [path.name for path in written] == ["report.html", "results_accuracy.png", "adaptation_accuracy.png"]
    page = written[0].read_text(encoding="utf-8")
    assert "two: maml" in page
    assert "90.0 ± 1.0 %" in page
    assert "hfmeta train &lt;recipe&gt;" in page
    assert "the same episodes" in page
    assert page.count("<tr>") == 8  # two headings, four rows, two runs


def test_different_episodes_are_said(tmp_path):
    runs = {"one": results(0.9), "two": results(0.8, "b" * 64), "three": results(0.8, "b" * 64, "loss")}
    assert not same_episodes(runs)
    written = write_report(runs, tmp_path)
    assert "different episodes" in written[0].read_text(encoding="utf-8")
    assert [path.name for path in written[1:]] == [
        "results_accuracy.png",
        "adaptation_accuracy.png",
        "results_loss.png",
        "adaptation_loss.png",
    ]


def test_a_run_whose_rule_has_gates_shows_them(tmp_path):
    course = {"mean": [0.1, 0.2], "low": [0.0, 0.1], "high": [0.2, 0.3], "tensors": {"w": [0.1, 0.2]}}
    gated = {**results(0.8), "gates": {"tasks": 2, "input": course, "forget": course}}
    written = write_report({"one": results(0.9), "two": gated}, tmp_path)
    assert [path.name for path in written[1:]] == [
        "results_accuracy.png",
        "adaptation_accuracy.png",
        "gates_2.png",
    ]
    assert '<img src="gates_2.png" alt="gates_2">' in written[0].read_text(encoding="utf-8")


def test_one_run_shows_its_baselines(tmp_path):
    assert len(write_report({"one": results(0.9)}, tmp_path)) == 3


def with_tasks(mean: float, scores: list[float | None], **changes) -> dict:
    return {**results(mean), "per_task": {"scores": {"accuracy": [[0.2, score] for score in scores]}}, **changes}


def test_runs_on_the_same_episodes_are_compared_task_by_task(tmp_path):
    runs = {
        "one": with_tasks(0.8, [0.7, 0.8, 0.9, None]),
        "two": with_tasks(0.9, [0.8, 0.9, 1.0, 1.0]),
        "elsewhere": with_tasks(0.9, [0.1, 0.1, 0.1, 0.1], episodes={"count": 9, "sha256": "b" * 64}),
        "without": results(0.9),
    }
    (row,) = paired_rows(runs)
    assert (row.name, row.tasks) == ("two minus one", 3)
    assert row.mean == pytest.approx(0.1)
    assert row.ci95 == pytest.approx(0.0, abs=1e-9)
    page = write_report(runs, tmp_path)[0].read_text(encoding="utf-8")
    assert "<h2>Task by task</h2>" in page
    assert "10.0 ± 0.0 %" in page
    assert not paired_rows({"one": runs["one"], "shorter": with_tasks(0.9, [0.5])})


def test_a_run_that_diverged_is_told_and_not_drawn(tmp_path):
    bad = results(math.nan, metric="mse")
    bad["metrics"]["mse"] = {"mean": 6e14, "ci95": 1e15, "tasks": 5, "nonfinite_tasks": 4}
    bad["adaptation_curve"] = {"mse": {"mean": [3.0, 6e14], "ci95": [0.1, 1e15]}}
    bad["skipped_tasks"], bad["skipped_steps"] = 2, 7
    runs = {"good": results(0.3, metric="mse"), "bad": bad}
    assert remarks(runs)[1:] == [
        "bad: test tasks that diverged and are left out: 4.",
        "bad: training tasks skipped: 2.",
        "bad: outer steps left out, since their gradient was not finite: 7.",
        "bad: its values are too large to be drawn beside others.",
    ]
    assert len(write_report(runs, tmp_path)) == 3
    assert [path.name for path in write_report({"bad": bad}, tmp_path)] == ["report.html"]
    assert "6e+14 ± 1e+15" in (tmp_path / "report.html").read_text(encoding="utf-8")


def test_many_rows_are_drawn_by_their_learners_alone(tmp_path):
    runs = {f"run {number}": results(0.5 + number / 100) for number in range(31)}
    assert len(write_report(runs, tmp_path)) == 3


def test_a_run_in_a_line():
    full = results(0.9) | {"meta_gradient": "first_order", "seed": 3, "iterations": 1200, "device": "cpu"}
    full |= {"algorithm": {"name": "maml", "inner_steps": 1, "test_inner_steps": 3}, "seconds": {"per_iteration": 0.25}}
    line = settings("mine", full)
    assert line == ["mine", "maml", "first order", "1 / 3", "3", "1,200", "0.25", "cpu", "9, aaaaaaaaaaaa"]
    assert settings("mine", results(0.9))[2:8] == [""] * 6
