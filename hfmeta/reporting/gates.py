"""A PNG plot of a learned rule's gates over inner steps; the numbers come ready-made (`hfmeta.learner.gates`)."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from hfmeta.reporting.plots import COLOURS, save_figure


def gate_plot(gates: Mapping[str, Any], path: str | Path, name: str | None = None) -> Path:
    """Draw input and forget gates side by side against the inner step: mean, the middle four fifths, and each tensor's mean.

    Args:
        gates: `input` and `forget`, each with `mean`, `low` and `high` (K numbers) and `tensors` (name -> K numbers); what
            `hfmeta.learner.gates.gates_over_steps` gives.
        path: the PNG to write.
        name: of the run, for the title; None: no title.

    Returns:
        the path written.
    """
    figure = Figure(figsize=(9.0, 4.2), dpi=120, layout="constrained")
    FigureCanvasAgg(figure)
    if name is not None:
        figure.suptitle(name)
    for axis, gate, colour in zip(figure.subplots(1, 2), ("input", "forget"), COLOURS, strict=False):
        course = gates[gate]
        steps = list(range(1, len(course["mean"]) + 1))
        for number, curve in enumerate(course["tensors"].values()):
            label = None if number else "one adapted tensor"
            axis.plot(steps, curve, color="#888888", linewidth=0.7, alpha=0.6, label=label)
        axis.fill_between(
            steps, course["low"], course["high"], color=colour, alpha=0.2, linewidth=0, label="10 to 90 %"
        )
        axis.plot(steps, course["mean"], color=colour, marker="o", markersize=3, label="mean over scalars")
        axis.set(xlabel="inner step", ylabel=f"{gate} gate", title=f"{gate.capitalize()} gate")
        axis.xaxis.set_major_locator(MaxNLocator(integer=True))
        axis.grid(alpha=0.25)
        axis.legend(loc="best", fontsize=8)
    return save_figure(figure, path)
