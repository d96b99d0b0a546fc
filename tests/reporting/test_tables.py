"""Checks of hfmeta/reporting/tables.py."""

from __future__ import annotations

import io
import math

from rich.console import Console

from hfmeta.reporting.tables import Row, is_fraction, markdown_table, rich_table, rows_of_results

RESULTS = {
    "primary_metric": "accuracy",
    "algorithm": {"name": "maml", "inner_steps": 3},
    "metrics": {
        "accuracy": {"mean": 0.885, "ci95": 0.0061, "tasks": 600},
        "accuracy_before": {"mean": 0.2, "ci95": 0.004, "tasks": 600},
        "loss": {"mean": 0.4, "ci95": 0.01, "tasks": 600},
    },
    "baselines": {"frozen_ncm": {"mean": 0.862, "ci95": 0.007, "tasks": 600}},
}


def test_fractions_are_shown_in_per_cent():
    assert Row("maml", "accuracy", 0.885, 0.0061, 600).value == "88.5 ± 0.6 %"
    assert Row("maml", "loss", 0.6721, 0.0314, 600).value == "0.672 ± 0.031"
    assert Row("maml", "loss", 0.6721, None, 600).value == "0.672"
    assert Row("maml", "loss", math.inf, math.nan, 1).value == "inf ± ?"
    assert Row("maml", "loss", 6.37e14, 1.2e15, 1).value == "6.37e+14 ± 1.2e+15"
    assert is_fraction("accuracy_before")
    assert not is_fraction("loss")


def test_rows_of_a_run_end_with_the_learner():
    rows = rows_of_results(RESULTS)
    assert [row.name for row in rows] == ["before adaptation", "frozen ncm", "maml"]
    assert rows[-1].mean == 0.885
    assert rows_of_results(RESULTS, label="ours")[-1].name == "ours"


def test_class_means_are_not_called_before_adaptation():
    results = {**RESULTS, "algorithm": {**RESULTS["algorithm"], "head": "prototype"}}
    assert rows_of_results(results)[0].name == "maml, class means alone"


def test_a_run_in_which_every_task_diverged_is_shown_as_such():
    entry = {"mean": None, "ci95": None, "tasks": 0, "nonfinite_tasks": 9}
    (row,) = rows_of_results({"primary_metric": "mse", "algorithm": {"name": "maml"}, "metrics": {"mse": entry}})
    assert (row.value, row.tasks) == ("nan", 0)


def test_tables_hold_every_row():
    rows = rows_of_results(RESULTS)
    markdown = markdown_table(rows).splitlines()
    assert markdown[0] == "| | metric | mean ± 95 % interval | tasks |"
    assert markdown[-1] == "| maml | accuracy | 88.5 ± 0.6 % | 600 |"
    console = Console(file=io.StringIO(), width=100)
    console.print(rich_table(rows, title="Test"))
    text = console.file.getvalue()
    assert "Test" in text
    assert all(row.name in text and row.value in text for row in rows)
