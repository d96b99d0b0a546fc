"""Checks of hfmeta/metrics/task_accuracy: a metric folder that evaluate opens without a network."""

from __future__ import annotations

import math
from pathlib import Path

import evaluate
import pytest

import hfmeta.metrics

FOLDER = Path(hfmeta.metrics.__file__).parent / "task_accuracy"


@pytest.fixture
def metric(tmp_path):
    return evaluate.load(str(FOLDER), cache_dir=str(tmp_path))


def test_tasks_of_unlike_length_and_ignored_rows(metric):
    result = metric.compute(predictions=[[0, 1, 1], [2, 2]], references=[[0, 1, 0], [2, -100]])
    assert result["accuracy"] == pytest.approx((2 / 3 + 1) / 2)
    assert result["ci95"] == pytest.approx(1.96 * (1 / 3) / 2)
    assert result["tasks"] == 2


def test_added_in_batches(metric):
    for predictions, references in (([[1]], [[1]]), ([[0]], [[1]])):
        metric.add_batch(predictions=predictions, references=references)
    result = metric.compute()
    assert result["accuracy"] == 0.5
    assert result["tasks"] == 2


def test_one_task(metric):
    result = metric.compute(predictions=[[1, 0]], references=[[1, 1]])
    assert result["accuracy"] == 0.5
    assert math.isnan(result["ci95"])


def test_the_example_of_the_readme(metric):
    text = (FOLDER / "README.md").read_text(encoding="utf-8")
    result = metric.compute(predictions=[[0, 1, 1], [2, 2]], references=[[0, 1, 0], [2, 2]])
    assert f"# {result}" in text


def test_one_import_a_line():
    # The loader of evaluate reads imports line by line and does not understand several on one.
    lines = [
        line for line in (FOLDER / "task_accuracy.py").read_text().splitlines() if line.startswith(("import", "from"))
    ]
    assert lines
    assert not any("," in line or ";" in line for line in lines)
