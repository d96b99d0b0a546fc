"""PNG plots of a run: the learning curve over outer steps, the adaptation curve over inner steps, pairs of tasks; headless.

Numbers come ready-made (the Trainer's log history, means with 95 % intervals); nothing is computed from models here.
"""

from __future__ import annotations

import io
import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from hfmeta.reporting.files import write_bytes
from hfmeta.reporting.tables import Row, is_fraction

# Okabe-Ito colours: told apart with every kind of colour vision.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")


def axis_label(metric: str) -> str:
    """A metric's name with its unit, for an axis.

    Args:
        metric: `accuracy`, `loss`, `mse` or any other name.
    """
    name = metric.replace("_", " ")
    if is_fraction(metric):
        return f"{name} (%)"
    return {"loss": "query loss", "mse": "mean squared error"}.get(metric, name)


def learning_curve(log_history: Iterable[Mapping[str, Any]], metric: str, path: str | Path, unit: str = "nats") -> Path:
    """Draw training loss and validation metric against the outer step; a fraction gets an axis of its own on the right.

    Args:
        log_history: `trainer.state.log_history`: dicts with `step` and `loss`, or `eval_<metric>`.
        metric: the validation metric, such as `accuracy` or `query_loss`.
        path: the PNG to write.
        unit: unit of the loss.

    Returns:
        the path written.
    """
    history = list(log_history)
    figure, left = new_figure()
    left.set(xlabel="outer step", ylabel=f"query loss ({unit})", title="Learning curve")
    training = [(entry["step"], entry["loss"]) for entry in history if "loss" in entry and "step" in entry]
    if training:
        left.plot(*zip(*training, strict=True), color=COLOURS[0], label="training loss (query set, after adaptation)")
        if min(value for _, value in training) > 0:
            left.set_yscale("log")
    key, axes = f"eval_{metric}", [left]
    validation = [entry for entry in history if key in entry and "step" in entry]
    if validation:
        if is_fraction(metric):
            axes.append(left.twinx())
            axes[-1].set_ylabel(f"validation {axis_label(metric)}")
        scale = 100.0 if is_fraction(metric) else 1.0
        steps = [entry["step"] for entry in validation]
        values = [entry[key] * scale for entry in validation]
        intervals = [entry.get(f"{key}_ci95", 0.0) * scale for entry in validation]
        label = f"validation {metric.replace('_', ' ')} (95 % interval)"
        _band(axes[-1], steps, values, intervals, COLOURS[1], label, marker="o")
    lines = [line for axis in axes for line in axis.get_lines()]
    if lines:
        axes[-1].legend(lines, [str(line.get_label()) for line in lines], loc="best", fontsize=8)
    return save_figure(figure, path)


def adaptation_curve(
    curves: Mapping[str, Mapping[str, Sequence[float]]],
    metric: str,
    path: str | Path,
    baselines: Mapping[str, Mapping[str, Any]] | None = None,
) -> Path:
    """Draw a metric against the number of inner steps, with its 95 % band, and baselines as level lines.

    Args:
        curves: name -> `{"mean": [K + 1 numbers], "ci95": [K + 1 numbers]}`; entry k is after k inner steps.
        metric: the metric's name, for the axis.
        path: the PNG to write.
        baselines: name -> `{"mean", "ci95"}`; one with a `curve` of its own is drawn as a curve.

    Returns:
        the path written.
    """
    figure, axis = new_figure()
    scale, named = 100.0 if is_fraction(metric) else 1.0, len(curves) + len(baselines or {})
    figure.set_figheight(max(figure.get_figheight(), 1.4 + 0.2 * named))  # room for the legend
    colours = iter(COLOURS * (1 + named // len(COLOURS)))
    for name, curve in curves.items():
        mean, ci95 = [m * scale for m in curve["mean"]], _halves(curve["ci95"], scale)
        _band(axis, list(range(len(mean))), mean, ci95, next(colours), name, marker="o")
    for name, entry in (baselines or {}).items():
        colour, label = next(colours), name.replace("_", " ")
        if "curve" in entry:
            mean, ci95 = [m * scale for m in entry["curve"]["mean"]], _halves(entry["curve"]["ci95"], scale)
            _band(axis, list(range(len(mean))), mean, ci95, colour, label, marker="s")
        else:
            level, half = entry["mean"] * scale, (entry.get("ci95") or 0.0) * scale
            axis.axhline(level, color=colour, linestyle="--", label=label)
            axis.axhspan(level - half, level + half, color=colour, alpha=0.12, linewidth=0)
    axis.set(
        xlabel="inner steps", ylabel=f"test {axis_label(metric)}", title="Adaptation curve (95 % interval over tasks)"
    )
    axis.xaxis.set_major_locator(MaxNLocator(integer=True))
    axis.legend(loc="best", fontsize=8)
    return save_figure(figure, path)


def interval_plot(rows: Sequence[Row], path: str | Path) -> Path:
    """Draw rows of one metric below each other, each as its mean with its 95 % interval.

    Args:
        rows: at least one, of one metric; means that are not finite are left out.
        path: the PNG to write.

    Returns:
        the path written.
    """
    metric = rows[0].metric
    scale = 100.0 if is_fraction(metric) else 1.0
    shown = [row for row in rows if math.isfinite(row.mean)]
    figure, axis = new_figure()
    figure.set_size_inches(8.0, 1.4 + 0.26 * max(len(shown), 1))
    for place, row in enumerate(reversed(shown)):
        half = row.ci95 if row.ci95 is not None and math.isfinite(row.ci95) else 0.0
        axis.errorbar(row.mean * scale, place, xerr=half * scale, fmt="o", markersize=4, capsize=3, color=COLOURS[0])
    axis.set_yticks(range(len(shown)), [row.name for row in reversed(shown)], fontsize=8)
    axis.set_ylim(-0.6, len(shown) - 0.4)
    axis.set(xlabel=f"test {axis_label(metric)}", title="Mean and 95 % interval over tasks")
    return save_figure(figure, path)


def pair_plot(
    points: Mapping[str, tuple[Sequence[float], Sequence[float]]], xlabel: str, ylabel: str, path: str | Path
) -> Path:
    """Draw groups of points, with the mean of each fifth of a group along x as a line: what a rank correlation is about.

    Args:
        points: label of a group -> x and y of its points, equally many.
        xlabel: name of x, with its unit.
        ylabel: name of y, with its unit.
        path: the PNG to write.

    Returns:
        the path written.
    """
    figure, axis = new_figure()
    for (label, (x, y)), colour in zip(points.items(), COLOURS * (1 + len(points) // len(COLOURS)), strict=False):
        axis.scatter(x, y, s=6, alpha=0.3, color=colour, linewidths=0)
        order = sorted(range(len(x)), key=lambda place: x[place])
        cuts = [order[len(order) * part // 5 : len(order) * (part + 1) // 5] for part in range(5)]
        means = [(sum(x[i] for i in cut) / len(cut), sum(y[i] for i in cut) / len(cut)) for cut in cuts if cut]
        if means:
            axis.plot(*zip(*means, strict=True), color=colour, marker="o", markersize=4, label=label)
    axis.set(xlabel=xlabel, ylabel=ylabel)
    if points:
        axis.legend(loc="best", fontsize=8)
    return save_figure(figure, path)


def _halves(ci95: Sequence[float | None], scale: float) -> list[float]:
    """Half widths to draw; a single task has no interval."""
    return [0.0 if half is None else half * scale for half in ci95]


def new_figure() -> tuple[Figure, Any]:
    """An empty figure of the usual size, and its axis."""
    # No pyplot: no global state, no display, nothing to close.
    figure = Figure(figsize=(7.0, 4.2), dpi=120, layout="constrained")
    FigureCanvasAgg(figure)
    axis = figure.add_subplot()
    axis.grid(alpha=0.25)
    return figure, axis


def _band(axis: Any, x: list[int], mean: list[float], ci95: list[float], colour: str, label: str, marker: str) -> None:
    axis.plot(x, mean, color=colour, marker=marker, markersize=3, label=label)
    low = [m - c for m, c in zip(mean, ci95, strict=True)]
    high = [m + c for m, c in zip(mean, ci95, strict=True)]
    axis.fill_between(x, low, high, color=colour, alpha=0.2, linewidth=0)


def save_figure(figure: Figure, path: str | Path) -> Path:
    """Write a figure as a PNG, whole or not at all.

    Args:
        figure: drawn.
        path: the file.
    """
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png")
    return write_bytes(path, buffer.getvalue())
