"""A report as Markdown: what must be reached and what was, times, memory, and how far apart the gradients were."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.meta_gradient.targets import NOT_MEASURED, TARGETS, slope
from benchmarks.meta_gradient.timing import ratios, row_of
from benchmarks.meta_gradient.workloads import WORKLOADS

Report = Mapping[str, Any]

START, END = "<!-- figures: written by `python -m benchmarks` -->", "<!-- end of figures -->"
GRADIENTS = {"exact": "exact", "first_order": "first order", "reptile": "Reptile"}


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def tables(report: Report) -> str:
    """All tables of a report."""
    parts = [_machine(report), _targets(report)]
    if report["times"]:
        parts += [
            "Milliseconds of the processor for an outer step, and its ratio to learn2learn:",
            _times(report),
        ]
    if report["memory"]:
        parts += [
            "Memory of an outer step above that of one query pass, MB; what an inner step adds, over the adapted values:",
            _memory(report),
        ]
    parts += [
        "Relative distance of the meta-gradient in double from a plain unroll; what is not the same is not timed:",
        _distances(report),
    ]
    return "\n\n".join(parts) + "\n"


def _machine(report: Report) -> str:
    versions = ", ".join(
        f"{name} {version}" for name, version in {"torch": report["torch"], **report["versions"]}.items()
    )
    loads = [row["load"] for row in report["measured"]]
    rounds = sorted({len(row["cpu_ms"]) for row in report["times"]})
    gone = "".join(f" {name} was not installed." for name in report["absent"])
    return (
        f"{report['date']}, {report['processor']}, {report['cores']} cores that were not idle otherwise (load {min(loads):.0f} to "
        f"{max(loads):.0f}), one thread; medians of the processor's time over {' or '.join(map(str, rounds))} rounds, with quartiles. "
        f"{versions}.{gone}"
    )


def _targets(report: Report) -> str:
    rows = []
    for target in TARGETS:
        found = target.measured(report)
        if found is not None:
            middle, low, high = found
            spread = f" ({low:.2f} to {high:.2f})" if low < high else ""
            rows.append(
                (
                    target.sentence,
                    f"{target.must:.2f}",
                    f"{middle:.3f}{spread}",
                    "yes" if middle <= target.must else "**no**",
                )
            )
    gone = dict.fromkeys(f"{t.workload} {t.what}" for t in TARGETS if t.measured(report) is None)
    rows += [(what, "", "not measured", reason) for what, reason in NOT_MEASURED.items()]
    missing = f"\n\nNot in this report: {', '.join(gone)}." if gone else ""
    return table(("ratio", "must be at most", "measured", "reached"), rows) + missing


def _times(report: Report) -> str:
    rows = []
    for name in WORKLOADS:
        mine = [row for row in report["times"] if row["workload"] == name]
        counts = sorted({row["steps"] for row in mine})
        for gradient, way in dict.fromkeys((row["gradient"], row["way"]) for row in mine):
            cells = [_cell(report, name, steps, way, gradient) for steps in counts]
            rows.append(
                (
                    name,
                    GRADIENTS[gradient],
                    way,
                    *(f"K={k}: {cell}" for k, cell in zip(counts, cells, strict=True)),
                    *[""] * (2 - len(counts)),
                )
            )
    return table(("workload", "gradient", "who", "", ""), rows)


def _cell(report: Report, workload: str, steps: int, way: str, gradient: str) -> str:
    row = row_of(report["times"], workload, steps, way, gradient)
    if row is None:
        return "-"
    taken = f"{np.median(row['cpu_ms']):.3g}" if np.median(row["cpu_ms"]) < 100 else f"{np.median(row['cpu_ms']):.0f}"
    other = row_of(report["times"], workload, steps, "learn2learn", gradient)
    if other is None or other is row:
        return taken
    middle, low, high = ratios(row, other)
    return f"{taken}, {middle:.2f} ({low:.2f} to {high:.2f})"


def _memory(report: Report) -> str:
    rows = []
    pairs = {(row["workload"], row["way"]) for row in report["memory"]}
    for name, way in sorted(pairs, key=lambda pair: (list(WORKLOADS).index(pair[0]), pair[1])):
        mine = [row for row in report["memory"] if (row["workload"], row["way"]) == (name, way)]
        found = slope(report, name, way)
        rows.append(
            (
                name,
                way,
                *(f"K={row['steps']}: {row['mb']:.0f}" for row in mine),
                "-" if found is None else f"{found:.2f}",
            )
        )
    return table(("workload", "who", "", "", "an inner step"), rows)


def _distances(report: Report) -> str:
    rows = []
    for gradient, way in dict.fromkeys((row["gradient"], row["way"]) for row in report["comparison"]):
        mine = [row for row in report["comparison"] if (row["gradient"], row["way"]) == (gradient, way)]
        worst = {
            name: max(row["distance"] for row in mine if row["workload"] == name)
            for name in {row["workload"] for row in mine}
        }
        cells = [f"{worst[name]:.0e}" if name in worst else "-" for name in WORKLOADS]
        wrong = {row["workload"] for row in mine if not row["right"]}
        rows.append(
            (
                GRADIENTS[gradient],
                way,
                *(f"**{c}**" if n in wrong else c for n, c in zip(WORKLOADS, cells, strict=True)),
            )
        )
    return table(("gradient", "who", *WORKLOADS), rows)


def write_into(readme: Path, report: Report) -> None:
    """Put the tables between the two marks of a README."""
    text = readme.read_text(encoding="utf-8")
    before, _, rest = text.partition(START)
    after = rest.partition(END)[2]
    readme.write_text(f"{before}{START}\n\n{tables(report)}\n{END}{after}", encoding="utf-8")
