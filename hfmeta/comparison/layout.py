"""Rows of a comparison as Markdown: one line a method, ours with 95 % intervals over tasks and the published figure in brackets."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from hfmeta.metrics import mean_ci95, paired_difference


@dataclass(frozen=True)
class Column:
    """A column: metric, heading, digits after the point, and what its figures are multiplied by."""

    metric: str
    heading: str
    digits: int
    scale: float = 1.0


COLUMNS = (
    Column("perplexity", "PPL", 2),
    Column("perplexity_micro", "PPL over tokens", 2),
    Column("bleu", "BLEU", 2),
    Column("bleu_corpus", "BLEU, corpus", 2),
    Column("dist1", "Dist-1", 4),
    Column("dist2", "Dist-2", 4),
    Column("c_score", "C score (proxy)", 3),
    Column("e_acc", "E-acc", 3),
    Column("e_acc_top5", "E-acc, top 5", 3),
    Column("diff", "Diff", 2),
    Column("delta", "Delta", 2),
    Column("overlap", "overlap", 3),
)
"""Metrics in the order of the table; those that no row has are left out. Dist-n is of all replies, Diff and Delta in 1e-10."""

COMPARED = ("loss", "bleu", "dist1_task", "c_score")


def markdown(rows: Sequence[Mapping[str, Any]], paper: Mapping[str, Mapping[str, float]] | None = None) -> str:
    """The table, one line a method; of several seeds the mean.

    Args:
        rows: what `make_row` gives, of one setting.
        paper: method -> metric -> published figure.
    """
    paper = paper or {}
    columns = [column for column in COLUMNS if any(column.metric in row["metrics"] for row in rows)]
    lines = [
        "| method | seeds | " + " | ".join(column.heading for column in columns) + " |",
        "|---|---:|" + "---:|" * len(columns),
    ]
    for same in _by_method(rows).values():
        first = same[0]
        cells = [_cell(same, column, paper.get(first["method"], {}).get(column.metric)) for column in columns]
        lines.append(f"| {first['label']} | {len(same)} | " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def paired_markdown(rows: Sequence[Mapping[str, Any]], against: Mapping[str, Sequence[str]]) -> str:
    """Methods minus others, task by task, over the seeds that both have; empty where there are none.

    Paired differences are far narrower than two intervals.

    Args:
        rows: what `make_row` gives, of one setting.
        against: method -> names of the methods that it is compared with.
    """
    groups = _by_method(rows)
    lines = []
    for method, own in groups.items():
        for other in (groups[name] for name in against.get(method, ()) if name in groups):
            common = sorted({row["seed"] for row in own} & {row["seed"] for row in other})
            before, after = ([row for row in side if row["seed"] in common] for side in (other, own))
            if common:
                cells = [_paired(before, after, metric) for metric in COMPARED]
                label = f"{own[0]['label']} minus {other[0]['label']}"
                lines.append(f"| {label} | {', '.join(map(str, common))} | " + " | ".join(cells) + " |")
    if not lines:
        return ""
    heads = ("loss (nats a token)", "BLEU", "Dist-1 within a task", "C score (proxy)")
    return "\n".join(["| | seeds | " + " | ".join(heads) + " |", "|---|---|" + "---:|" * len(heads), *lines]) + "\n"


def _paired(first: Sequence[Mapping[str, Any]], second: Sequence[Mapping[str, Any]], metric: str) -> str:
    """Second minus first over tasks, each the mean of its seeds; empty where there is no value for each task, or other tasks."""
    a, b = _task_means(first, metric), _task_means(second, metric)
    if a is None or b is None or len(a) != len(b):
        return ""
    found = paired_difference(a, b)
    return f"{found.mean:+.4f} ± {found.ci95:.4f}"


def seeds_markdown(rows: Sequence[Mapping[str, Any]]) -> str:
    """A line for every row, so for each seed, with what it cost.

    Args:
        rows: what `make_row` gives, of one setting.
    """
    columns = [column for column in COLUMNS if any(column.metric in row["metrics"] for row in rows)]
    lines = [
        "| method | seed | " + " | ".join(column.heading for column in columns) + " | training | test |",
        "|---|---:|" + "---:|" * (len(columns) + 2),
    ]
    for row in rows:
        cells = [_cell([row], column, None) for column in columns]
        seconds = [f"{row['seconds'][part] / 60:.1f} min" for part in ("train", "test")]
        lines.append(f"| {row['label']} | {row['seed']} | " + " | ".join([*cells, *seconds]) + " |")
    return "\n".join(lines) + "\n"


def _by_method(rows: Sequence[Mapping[str, Any]]) -> dict[str, list[Mapping[str, Any]]]:
    groups: dict[str, list[Mapping[str, Any]]] = {}
    for row in rows:
        groups.setdefault(row["method"], []).append(row)
    return groups


def _task_means(rows: Sequence[Mapping[str, Any]], metric: str) -> np.ndarray | None:
    """Per task the mean over seeds, `[T]`; None where the rows have no value for each task, or different tasks."""
    entries = [row["metrics"].get(metric, {}).get("per_task") for row in rows]
    if any(entry is None or None in entry for entry in entries) or len({tuple(row["tasks"]) for row in rows}) > 1:
        return None
    return np.array(entries, dtype=np.float64).mean(0)


def _cell(rows: Sequence[Mapping[str, Any]], column: Column, published: float | None) -> str:
    entries = [row["metrics"][column.metric] for row in rows if column.metric in row["metrics"]]
    means = [entry["mean"] for entry in entries if entry.get("mean") is not None]
    if not means:
        return "" if published is None else f"({published:g})"
    half = entries[0].get("ci95") if len(rows) == 1 else _half_of_seeds(rows, column.metric, means)
    text = f"{column.scale * float(np.mean(means)):.{column.digits}f}"
    if half is not None and math.isfinite(half):
        text += f" ± {column.scale * half:.{column.digits}f}"
    return text if published is None else f"{text} ({published:g})"


def _half_of_seeds(rows: Sequence[Mapping[str, Any]], metric: str, means: Sequence[float]) -> float | None:
    """Over tasks, each the mean of its seeds; over seeds for figures that no task has alone."""
    tasks = _task_means(rows, metric)
    if tasks is not None and len(tasks) > 1:
        return mean_ci95(tasks)[1]
    return mean_ci95(means)[1] if len(means) > 1 else None
