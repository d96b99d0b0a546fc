"""Checks of hfmeta/reporting/page.py."""

from __future__ import annotations

import json

import pytest

from hfmeta.inner.errors import HfmetaError
from hfmeta.reporting.page import read_run, report_rows, same_episodes, write_report


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
    assert [path.name for path in written] == ["report.html", "adaptation_accuracy.png"]
    page = written[0].read_text(encoding="utf-8")
    assert "two: maml" in page
    assert "90.0 ± 1.0 %" in page
    assert "hfmeta train &lt;recipe&gt;" in page
    assert "the same episodes" in page
    assert page.count("<tr>") == 5


def test_different_episodes_are_said(tmp_path):
    runs = {"one": results(0.9), "two": results(0.8, "b" * 64), "three": results(0.8, "b" * 64, "loss")}
    assert not same_episodes(runs)
    written = write_report(runs, tmp_path)
    assert "different episodes" in written[0].read_text(encoding="utf-8")
    assert [path.name for path in written[1:]] == ["adaptation_accuracy.png", "adaptation_loss.png"]


def test_a_run_whose_rule_has_gates_shows_them(tmp_path):
    course = {"mean": [0.1, 0.2], "low": [0.0, 0.1], "high": [0.2, 0.3], "tensors": {"w": [0.1, 0.2]}}
    gated = {**results(0.8), "gates": {"tasks": 2, "input": course, "forget": course}}
    written = write_report({"one": results(0.9), "two": gated}, tmp_path)
    assert [path.name for path in written[1:]] == ["adaptation_accuracy.png", "gates_2.png"]
    assert '<img src="gates_2.png" alt="gates_2">' in written[0].read_text(encoding="utf-8")


def test_one_run_shows_its_baselines(tmp_path):
    assert len(write_report({"one": results(0.9)}, tmp_path)) == 2


def test_folders_without_results_are_refused(tmp_path):
    with pytest.raises(HfmetaError, match=r"has no results\.json; give the output folder of a finished run"):
        read_run(tmp_path)
    (tmp_path / "results.json").write_text("{", encoding="utf-8")
    with pytest.raises(HfmetaError, match="cannot be read"):
        read_run(tmp_path)
    (tmp_path / "results.json").write_text("{}", encoding="utf-8")
    with pytest.raises(HfmetaError, match="lacks adaptation_curve, algorithm"):
        read_run(tmp_path)
    (tmp_path / "results.json").write_text(json.dumps(results(0.9)), encoding="utf-8")
    assert read_run(tmp_path)["primary_metric"] == "accuracy"
