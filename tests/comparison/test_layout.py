"""Rows as Markdown: intervals, seeds, published figures, differences task by task."""

from __future__ import annotations

from hfmeta.comparison import markdown
from hfmeta.comparison.layout import paired_markdown, seeds_markdown
from hfmeta.metrics import mean_ci95


def row(method="cmaml", seed=0, bleu=(1.0, 2.0, 3.0), dist=0.01, **metrics):
    mean, half = mean_ci95(bleu)
    return {
        **{"method": method, "label": method.upper(), "seed": seed, "tasks": ["a", "b", "c"]},
        "metrics": {"bleu": {"mean": mean, "ci95": half, "per_task": list(bleu)}, "dist1": {"mean": dist}, **metrics},
        "seconds": {"train": 60.0, "test": 30.0},
    }


def test_a_cell_has_the_interval_and_the_published_figure():
    text = markdown([row()], {"cmaml": {"bleu": 1.7, "dist1": 0.0097}})
    assert "| method | seeds | BLEU | Dist-1 |" in text
    assert "| CMAML | 1 | 2.00 ± 1.13 (1.7) | 0.0100 (0.0097) |" in text


def test_columns_that_no_row_has_are_left_out_and_holes_stay_empty():
    text = markdown([row(), row("other", c_score={"mean": 0.1, "ci95": None})])
    assert "| CMAML | 1 | 2.00 ± 1.13 | 0.0100 |  |" in text
    assert "| OTHER | 1 | 2.00 ± 1.13 | 0.0100 | 0.100 |" in text
    assert "PPL" not in text


def test_seeds_are_averaged_task_by_task():
    rows = [row(bleu=(1.0, 2.0, 3.0)), row(seed=1, bleu=(3.0, 2.0, 1.0), dist=0.03)]
    line = markdown(rows).splitlines()[2]
    assert line.startswith("| CMAML | 2 | 2.00 ± 0.00 | 0.0200 ± "), (
        "tasks differ by seed alone: no interval over tasks is left"
    )
    assert seeds_markdown(rows).count("| 1.0 min | 0.5 min |") == 2


def test_differences_are_paired_by_task_and_by_seed():
    own = [row(bleu=(1.5, 2.5, 3.5)), row(seed=1, bleu=(9.0, 9.0, 9.0))]
    rows = [row("maml", bleu=(1.0, 2.0, 3.0)), row("plain", bleu=(0.0, 2.0, 1.0)), *own]
    text = paired_markdown(rows, {"cmaml": ["maml", "absent"]})
    assert "| CMAML minus MAML | 0 |  | +0.5000 ± 0.0000 |  |  |" in text
    assert text.count(" minus ") == 1, (
        "methods that are set against none, and others that are not asked for, have no line"
    )
    both = paired_markdown([*rows, row("maml", seed=1, bleu=(8.0, 8.0, 8.0))], {"cmaml": ["maml"]})
    assert "| CMAML minus MAML | 0, 1 |  | +0.7500 ± 0.0000 |  |  |" in both
    assert paired_markdown(rows, {"cmaml": ["absent"]}) == paired_markdown(rows[:2], {"cmaml": ["maml"]}) == ""
    assert paired_markdown([row("maml", seed=5), *own], {"cmaml": ["maml"]}) == ""


def test_a_metric_that_is_not_finite_is_left_empty():
    assert "| CMAML | 1 |  |" in markdown(
        [row(bleu=(1.0,)) | {"metrics": {"perplexity": {"mean": None, "ci95": None}}}]
    )
