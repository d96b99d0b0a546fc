"""Contenders side by side: all in one process, one after the other in every round, so that each ratio is of neighbours in time."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from benchmarks.common import seconds_of
from benchmarks.meta_gradient.ways import Way
from benchmarks.meta_gradient.workloads import Workload

SAMPLE = 0.2
"""Seconds of the processor that one measurement takes at least, by repeating short steps."""

Timed = dict[str, Any]


def time_side_by_side(workload: Workload, steps: int, ways: list[Way], rounds: int) -> list[Timed]:
    """Times of one outer step, support and query passes and the backward pass, in float32.

    Args:
        workload: gives model and tasks.
        steps: K.
        ways: the first one decides how often short steps are repeated.
        rounds: how often each is measured; the one that begins changes from round to round.

    Returns:
        a row each: workload, steps, tasks, gradient, way, and in milliseconds a step `cpu_ms` and `wall_ms`, one entry a round.
    """
    batch, small = workload.batch(), workload.batch(small=True)
    models = [workload.build() for _ in ways]
    calls = [way.prepare(model, workload, steps) for way, model in zip(ways, models, strict=True)]

    def measure(which: int, repeats: int) -> tuple[float, float]:
        def run() -> None:
            for _ in range(repeats):
                models[which].zero_grad(set_to_none=True)
                calls[which](batch)

        return seconds_of(run)

    for call in calls:  # what is done once: hfmeta's check of its evaluator, the warming up of torch
        call(small)
    repeats = 1 if workload.large else min(20, math.ceil(SAMPLE / measure(0, 1)[1]))
    samples: list[list[tuple[float, float]]] = [[] for _ in ways]
    for number in range(rounds):
        for which in range(len(ways)):
            turn = (which + number) % len(ways)
            samples[turn].append(measure(turn, repeats))
    rows = []
    for way, found in zip(ways, samples, strict=True):
        wall, cpu = (1000 * np.array(found) / repeats).T
        row = {
            "workload": workload.name,
            "steps": steps,
            "tasks": workload.tasks,
            "gradient": way.gradient,
            "way": way.name,
        }
        rows.append({**row, "cpu_ms": [round(v, 3) for v in cpu], "wall_ms": [round(v, 3) for v in wall]})
    return rows


def ratios(row: Timed, other: Timed, clock: str = "cpu_ms") -> tuple[float, float, float]:
    """Median and quartiles of the ratio of two contenders, round by round."""
    found = np.array(row[clock]) / np.array(other[clock])
    low, middle, high = np.percentile(found, [25, 50, 75])
    return float(middle), float(low), float(high)


def row_of(rows: list[Timed], workload: str, steps: int, way: str, gradient: str = "exact") -> Timed | None:
    """The times of one contender; None where it was not timed."""
    wanted = (workload, steps, way, gradient)
    return next((row for row in rows if (row["workload"], row["steps"], row["way"], row["gradient"]) == wanted), None)
