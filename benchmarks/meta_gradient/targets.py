"""What hfmeta must reach, as ratios to other libraries, and what was measured of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from benchmarks.meta_gradient.cells import FEW_ROWS, RECOMPUTE
from benchmarks.meta_gradient.timing import ratios, row_of

Report = Mapping[str, Any]


@dataclass(frozen=True)
class Target:
    """One bound.

    Args:
        what: the quantity: `time`, `memory` (ratio to another library), `slope` (memory of an inner step over that of the adapted
            values of all tasks) or `trainer`.
        workload: its name.
        must: the largest ratio that is good enough.
        steps: K; for a slope the pair is that of memory.CELLS.
        gradient: `exact`, `first_order` or `reptile`.
        way: which of hfmeta.
        against: the other library.
    """

    what: str
    workload: str
    must: float
    steps: int = 0
    gradient: str = "exact"
    way: str = "hfmeta"
    against: str = "learn2learn"

    @property
    def sentence(self) -> str:
        """What the bound is on, for the table."""
        kind = {"exact": "", "first_order": ", first order", "reptile": ", Reptile"}[self.gradient]
        mode = self.way.removeprefix("hfmeta")
        if self.what == "time":
            return f"{self.workload}, K={self.steps}{kind}{mode}: time, to {self.against}"
        if self.what == "memory":
            return f"{self.workload}, K={self.steps}{mode}: memory, to {self.against}"
        if self.what == "slope":
            return f"{self.workload}{mode}: memory of an inner step, to the adapted values of all tasks"
        return "A: a step of the sinusoid recipe through the Trainer, to the bare step"

    def measured(self, report: Report) -> tuple[float, float, float] | None:
        """Median and quartiles (where there is one value, that value three times); None where it was not measured."""
        if self.what == "time":
            own = row_of(report["times"], self.workload, self.steps, self.way, self.gradient)
            other = row_of(report["times"], self.workload, self.steps, self.against, self.gradient)
            return None if own is None or other is None else ratios(own, other)
        if self.what == "trainer":
            value = report["trainer"].get("ratio")
        elif self.what == "memory":
            value = _ratio(
                _memory(report, self.workload, self.way, self.steps),
                _memory(report, self.workload, self.against, self.steps),
            )
        else:
            value = slope(report, self.workload, self.way)
        return None if value is None else (value, value, value)


def _ratio(own: float | None, other: float | None) -> float | None:
    return None if own is None or other is None else own / other


def _memory(report: Report, workload: str, way: str, steps: int) -> float | None:
    rows = report["memory"]
    return next((r["mb"] for r in rows if (r["workload"], r["way"], r["steps"]) == (workload, way, steps)), None)


def slope(report: Report, workload: str, way: str) -> float | None:
    """Memory of a further inner step over what the adapted values of all tasks take; None where it was not measured."""
    rows = sorted(
        (r for r in report["memory"] if (r["workload"], r["way"]) == (workload, way)), key=lambda r: r["steps"]
    )
    if len(rows) < 2:
        return None
    first, last = rows[0], rows[-1]
    return float((last["mb"] - first["mb"]) / (last["steps"] - first["steps"]) / first["adapted_mb"])


def _times(workload: str, must: float, steps: tuple[int, ...] = (1, 5), **others: Any) -> list[Target]:
    return [Target("time", workload, must, k, **others) for k in steps]


TARGETS = [
    *_times("A", 0.25),
    *_times("A", 0.2, against="higher"),
    *_times("A", 0.3, against="torchopt"),
    *_times("A", 0.25, gradient="first_order"),
    *_times("A", 0.20, gradient="reptile"),
    *_times("B", 1.00),
    *_times("B", 1.00, gradient="first_order"),
    *(row for way in ("hfmeta", FEW_ROWS) for row in _times("B", 1.00, gradient="reptile", way=way)),
    *(row for name in ("C1", "C2", "D") for row in _times(name, 1.00)),
    *(row for name in ("C1", "C2", "D") for row in _times(name, 1.35, way=RECOMPUTE)),
    *(row for name in ("C1", "C2") for row in _times(name, 1.00, gradient="first_order")),
    *(row for way in ("hfmeta", FEW_ROWS) for row in _times("C2", 1.00, gradient="reptile", way=way)),
    *(row for name in ("C2-LoRA", "D-LoRA") for row in _times(name, 0.80, (3,))),
    Target("memory", "C1", 0.40, 10, way=RECOMPUTE),
    Target("memory", "C2", 0.50, 5, way=RECOMPUTE),
    Target("memory", "C2", 0.40, 10, way=RECOMPUTE),
    Target("memory", "D", 0.40, 5, way=RECOMPUTE),
    Target("memory", "D", 0.25, 10, way=RECOMPUTE),
    *(Target("slope", name, 1.2, way=RECOMPUTE) for name in ("C1", "C2", "D", "C2-LoRA", "D-LoRA")),
    Target("trainer", "A", 4.0),
]

NOT_MEASURED = {
    "A, compiled: time, to learn2learn (must 0.05)": "hfmeta has no compiled inner loop",
    "C2-LoRA and D-LoRA on a GPU: time, to learn2learn (must 0.35)": "no GPU",
    "small convolutional networks on a GPU: time, to learn2learn (must 0.3)": "no GPU",
}
