"""Rows `name -> mean, 95 % interval, tasks` as a rich table and as Markdown; what the rows mean is decided by the caller."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rich.table import Table

# Fractions are shown in per cent, other numbers as they are.
PERCENT = ("accuracy", "exact_match", "f1")
LARGE = 1e6
"""From here on a mean, of runs that diverge, is written with its power of ten."""


@dataclass(frozen=True)
class Row:
    """One line of a table of results.

    Args:
        name: what was measured, such as `maml` or `frozen_ncm`.
        metric: the metric's name; fractions such as `accuracy` are shown in per cent.
        mean: mean over tasks, in the metric's own unit.
        ci95: half width of the 95 % interval of the mean over tasks; None where there is none.
        tasks: number of tasks (T).
    """

    name: str
    metric: str
    mean: float
    ci95: float | None
    tasks: int

    @property
    def value(self) -> str:
        """`88.5 ± 0.6 %` for a fraction, `0.672 ± 0.031` otherwise."""
        percent = is_fraction(self.metric)
        scale, digits = (100.0, 1) if percent else (1.0, 3)
        kind = f".{digits}f" if not math.isfinite(self.mean) or abs(self.mean) < LARGE else ".3g"
        text = f"{self.mean * scale:{kind}}" if math.isfinite(self.mean) else str(self.mean)
        if self.ci95 is not None:
            text += f" ± {self.ci95 * scale:{kind}}" if math.isfinite(self.ci95) else " ± ?"
        return text + (" %" if percent else "")


def is_fraction(metric: str) -> bool:
    """Whether values of this metric lie in [0, 1] and are shown in per cent.

    Args:
        metric: a metric's name, with or without a suffix such as `_before`.
    """
    return any(metric == name or metric.startswith(name + "_") for name in PERCENT)


def rows_of_results(results: Mapping[str, Any], label: str | None = None) -> list[Row]:
    """The rows of one run: its metric before adaptation, its baselines, and its metric after adaptation last.

    Args:
        results: the content of a results.json.
        label: what to call the trained learner; its algorithm's name when None.

    Returns:
        rows of the run's primary metric, all over the same tasks.
    """
    primary = results["primary_metric"]
    label = label or results["algorithm"]["name"]
    metrics = results["metrics"]
    rows = []
    if f"{primary}_before" in metrics:
        # Prototypes are made from the support set, so what comes before the first inner step has seen the task already.
        made = results["algorithm"].get("head") == "prototype"
        name = f"{label}, class means alone" if made else "before adaptation"
        rows.append(_row(name, primary, metrics[f"{primary}_before"]))
    rows += [_row(name.replace("_", " "), primary, entry) for name, entry in results.get("baselines", {}).items()]
    return [*rows, _row(label, primary, metrics[primary])]


def rich_table(rows: Sequence[Row], title: str | None = None) -> Table:
    """A table for the terminal.

    Args:
        rows: one line each.
        title: shown above it.
    """
    table = Table(title=title, title_justify="left")
    for heading, justify in (("", "left"), ("metric", "left"), ("mean ± 95 % interval", "right"), ("tasks", "right")):
        table.add_column(heading, justify=justify)  # type: ignore[arg-type]
    for row in rows:
        table.add_row(row.name, row.metric, row.value, f"{row.tasks:,}")
    return table


def markdown_table(rows: Sequence[Row]) -> str:
    """The same table in Markdown, ending with a line feed.

    Args:
        rows: one line each.
    """
    lines = ["| | metric | mean ± 95 % interval | tasks |", "|---|---|---:|---:|"]
    lines += [f"| {row.name.replace('|', '/')} | {row.metric} | {row.value} | {row.tasks:,} |" for row in rows]
    return "\n".join(lines) + "\n"


def _row(name: str, metric: str, entry: Mapping[str, Any]) -> Row:
    mean = math.nan if entry["mean"] is None else float(entry["mean"])  # null: no task had a finite score
    return Row(name, metric, mean, entry.get("ci95"), int(entry["tasks"]))
