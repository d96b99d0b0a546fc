"""The comparison that precedes every timing: gradients in double against a plain unroll that shares no code with any contender."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor

from benchmarks.meta_gradient.ways import Way, unrolled
from benchmarks.meta_gradient.workloads import Workload

BOUND = 1e-10
"""Largest relative distance at which two gradients in double are the same."""


def gradient(way: Way, workload: Workload, steps: int) -> dict[str, Tensor]:
    """The outer gradient in double, by name, of the tasks that the workload compares."""
    model = workload.build(torch.float64)
    way.prepare(model, workload, steps)(workload.batch(small=True, dtype=torch.float64))
    return {name: value.grad for name, value in model.named_parameters() if value.grad is not None}


def distance(found: dict[str, Tensor], expected: dict[str, Tensor]) -> float:
    """Norm of the difference over the norm of what is expected; infinite where tensors are missing."""
    if set(found) != set(expected):
        return float("inf")
    gap = sum((found[name] - value).square().sum().item() for name, value in expected.items())
    return float((gap / sum(value.square().sum().item() for value in expected.values())) ** 0.5)


def compare(workload: Workload, steps: int, ways: Iterable[Way]) -> list[dict[str, Any]]:
    """How far each contender is from the reference.

    Returns:
        a row each: workload, steps, gradient, way, ours, `distance`, and whether that is `right`.
    """
    expected: dict[str, dict[str, Tensor]] = {}
    rows = []
    for way in ways:
        if way.gradient not in expected:
            expected[way.gradient] = gradient(unrolled(way.gradient), workload, steps)
        gap = distance(gradient(way, workload, steps), expected[way.gradient])
        row = {"workload": workload.name, "steps": steps, "gradient": way.gradient, "way": way.name, "ours": way.ours}
        rows.append({**row, "distance": gap, "right": gap <= BOUND})
    return rows
