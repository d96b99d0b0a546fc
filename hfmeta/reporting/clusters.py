"""PNG plots of what a task gate makes of groups of tasks: cluster assignments, mean gates, and embeddings in a plane."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hfmeta.reporting.plots import COLOURS, new_figure, save_figure

Array = NDArray[np.float64]


def cluster_plot(groups: Mapping[str, Sequence[Array]], path: str | Path) -> Path:
    """Draw how much of each group's tasks is in each cluster: one panel a level, groups down, clusters across.

    Args:
        groups: label of a group -> by level, `[tasks, clusters]`.
        path: the PNG to write.

    Returns:
        the path written.
    """
    panels = []
    for level in range(len(next(iter(groups.values())))):
        table = np.array([shares[level].mean(0) for shares in groups.values()])
        names = [f"{level + 1}.{place + 1}" for place in range(table.shape[1])]
        panels.append((f"Mean assignment, level {level + 1}", table, names))
    return _tables(panels, list(groups), "cluster", path)


def task_gate_plot(groups: Mapping[str, Mapping[str, Array]], path: str | Path) -> Path:
    """Draw the mean gate of each adapted tensor for each group of tasks.

    Args:
        groups: label of a group -> tensor name -> mean gate of each task, `[tasks]`.
        path: the PNG to write.

    Returns:
        the path written.
    """
    names = list(next(iter(groups.values())))
    table = np.array([[values[name].mean() for name in names] for values in groups.values()])
    return _tables([("Mean gate", table, names)], list(groups), "", path)


def embedding_plot(groups: Mapping[str, Array], path: str | Path) -> Path:
    """Draw tasks' embeddings on the plane of their two largest principal components.

    Args:
        groups: label of a group -> `[tasks, d]`.
        path: the PNG to write.

    Returns:
        the path written.
    """
    places, shares = principal_plane(np.concatenate(list(groups.values())))
    figure, axis = new_figure()
    first = 0
    for place, (label, points) in enumerate(groups.items()):
        own = places[first : first + len(points)]
        first += len(points)
        axis.scatter(*own.T, s=7, alpha=0.45, linewidths=0, color=COLOURS[place % len(COLOURS)], label=label)
    axis.set(
        xlabel=f"first principal component ({100 * shares[0]:.0f} % of the variance)",
        ylabel=f"second ({100 * shares[1]:.0f} %)",
        title="Task embeddings",
    )
    axis.legend(loc="best", fontsize=8)
    return save_figure(figure, path)


def principal_plane(points: Array) -> tuple[Array, Array]:
    """Points on their two largest principal components.

    Args:
        points: `[N, d]`, N and d at least 1.

    Returns:
        `[N, 2]`, and the share of the variance along each of the two, `[2]`; zeros where there is no second component.
    """
    centred = points - points.mean(0)
    _, lengths, axes = np.linalg.svd(centred, full_matrices=False)
    kept = axes[:2]
    places, shares = np.zeros((len(points), 2)), np.zeros(2)
    places[:, : len(kept)] = centred @ kept.T
    total = float((lengths**2).sum())
    shares[: len(kept)] = lengths[:2] ** 2 / total if total else 0.0
    return places, shares


def _tables(panels: Sequence[tuple[str, Array, list[str]]], rows: list[str], xlabel: str, path: str | Path) -> Path:
    """Panels side by side, each a table as colours with its numbers written in."""
    figure, _ = new_figure()
    figure.clear()
    widths = [max(table.shape[1], 2) for _, table, _ in panels]
    axes: Any = figure.subplots(1, len(panels), squeeze=False, width_ratios=widths)[0]
    top = max(1.0, max(float(table.max()) for _, table, _ in panels))
    for axis, (title, table, columns) in zip(axes, panels, strict=True):
        axis.imshow(table, vmin=0.0, vmax=top, cmap="Blues", aspect="auto")
        for (row, column), value in np.ndenumerate(table):
            dark = value > 0.6 * top
            axis.text(
                column, row, f"{value:.2f}", ha="center", va="center", color="white" if dark else "black", fontsize=8
            )
        turn = 30 if max(map(len, columns)) > 6 else 0
        axis.set_xticks(range(len(columns)), columns, rotation=turn, ha="right" if turn else "center", fontsize=8)
        axis.set_yticks(range(len(rows)), rows if axis is axes[0] else [""] * len(rows), fontsize=8)
        axis.set(title=title, xlabel=xlabel)
    return save_figure(figure, path)
