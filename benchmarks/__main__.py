"""Meta-gradients of hfmeta beside learn2learn, higher and torchopt: compared in double first, then time, then memory.

    python -m benchmarks --json benchmarks/results/meta_gradient.json      # everything: 15 minutes of one core and 5 GB
    python -m benchmarks --workloads A B --parts time --rounds 3           # some of it; other figures in the JSON file stay

Peers that are not installed are named and left out. A gradient of hfmeta that is not that of a plain unroll ends the run with status 1
before anything is timed.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from datetime import date
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

from benchmarks.common import header, write_report
from benchmarks.meta_gradient.cells import contenders
from benchmarks.meta_gradient.comparison import compare
from benchmarks.meta_gradient.memory import CELLS, memory_of
from benchmarks.meta_gradient.outer_loop import cost_of_the_trainer
from benchmarks.meta_gradient.tables import tables, write_into
from benchmarks.meta_gradient.timing import time_side_by_side
from benchmarks.meta_gradient.ways import HOW_TO_INSTALL, absent
from benchmarks.meta_gradient.workloads import WORKLOADS

PARTS = ("time", "memory", "trainer")
Rows = list[dict[str, Any]]


def arguments() -> argparse.Namespace:
    """What the command line says."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--workloads", nargs="*", choices=list(WORKLOADS), default=list(WORKLOADS), metavar="NAME")
    parser.add_argument("--parts", nargs="*", choices=PARTS, default=list(PARTS), metavar="PART", help=", ".join(PARTS))
    parser.add_argument("--rounds", type=int, default=9, help="of each timing; a third as many of large workloads")
    parser.add_argument("--json", type=Path, help="the report; what it has of other workloads and parts stays")
    parser.add_argument("--readme", type=Path, help="a README with the two marks between which the tables go")
    return parser.parse_args()


def say(sentence: str) -> None:
    """Progress, on the error stream: the tables have the other to themselves."""
    print(sentence, file=sys.stderr, flush=True)


def compared(names: list[str]) -> Rows:
    """How far every contender's gradient is from the reference, on every workload at every number of inner steps."""
    rows: Rows = []
    for name in names:
        for steps in WORKLOADS[name].steps:
            for way in contenders(WORKLOADS[name], steps):
                rows += compare(WORKLOADS[name], steps, [way])
                say("compared: {workload}, K={steps}, {gradient}, {way}: {distance:.1e}".format(**rows[-1]))
    return rows


def timed(name: str, rounds: int, comparison: Rows) -> Rows:
    """Times of every contender whose gradient is right."""
    right = {(row["workload"], row["steps"], row["gradient"], row["way"]) for row in comparison if row["right"]}
    workload, rows = WORKLOADS[name], []
    for steps in workload.steps:
        ways = [way for way in contenders(workload, steps) if (name, steps, way.gradient, way.name) in right]
        rows += time_side_by_side(workload, steps, ways, workload.rounds(rounds))
    return rows


class Report:
    """The figures so far: those of an earlier run, replaced workload by workload and part by part, written after each.

    Args:
        options: of the command line.
    """

    def __init__(self, options: argparse.Namespace):
        self.path, self.rounds = options.json, options.rounds
        self.found: dict[str, Any] = {"measured": [], "comparison": [], "times": [], "memory": [], "trainer": {}}
        self.read()

    def read(self) -> None:
        """Take the file's state: another run may measure other parts at the same time."""
        if self.path is not None and self.path.exists():
            self.found = json.loads(self.path.read_text(encoding="utf-8"))

    def replace(self, part: str, workload: str, fresh: Any) -> None:
        """Put new figures in the place of old ones, and write the file."""
        self.read()
        if isinstance(fresh, list):
            fresh = [row for row in self.found[part] if row["workload"] != workload] + fresh
        when = {
            "part": part,
            "workload": workload,
            "date": date.today().isoformat(),
            "load": round(os.getloadavg()[0], 1),
        }
        stayed = [row for row in self.found["measured"] if (row["part"], row["workload"]) != (part, workload)]
        missing = absent()
        self.found = {
            **header("python -m benchmarks --json benchmarks/results/meta_gradient.json --readme benchmarks/README.md"),
            "processor": processor(),
            "threads": 1,
            "versions": {n: version(n) for n in ("transformers", "peft", *HOW_TO_INSTALL) if n not in missing},
            "absent": list(missing),
            **{name: self.found[name] for name in ("comparison", "times", "memory", "trainer")},
            "measured": [*stayed, when],
            part: fresh,
        }
        write_report(self.found, self.path)


def measure(report: Report, names: list[str], parts: list[str]) -> bool:
    """Everything that was asked for; False, before anything is timed, where a gradient of hfmeta is wrong."""
    torch.set_num_threads(1)
    for name, how in absent().items():
        say(f"{name} is not installed and left out; to install it: {how}")
    if "time" in parts:
        comparison = compared(names)
        wrong = [row for row in comparison if row["ours"] and not row["right"]]
        for row in wrong:
            say("WRONG: {way}, {gradient} gradient on {workload} at K={steps} is {distance:.1e} off".format(**row))
        if wrong:
            return False
        for name in names:
            report.replace("times", name, timed(name, report.rounds, comparison))
            report.replace("comparison", name, [row for row in comparison if row["workload"] == name])
            say(f"timed: {name}")
    if "trainer" in parts and "A" in names:
        report.replace("trainer", "A", cost_of_the_trainer(3))
    for name in names if "memory" in parts else ():
        if name in CELLS:
            report.replace("memory", name, memory_of(name))
            say(f"memory: {name}")
    return True


def main() -> int:
    """Compare, time, measure memory, write, show; 1 where a gradient of hfmeta is wrong."""
    options = arguments()
    report = Report(options)
    if not measure(report, options.workloads, options.parts):
        return 1
    if options.readme is not None:
        write_into(options.readme, report.found)
    print(tables(report.found))
    return 0


def processor() -> str:
    """What the processor calls itself."""
    facts = Path("/proc/cpuinfo")
    lines = facts.read_text(encoding="utf-8").splitlines() if facts.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else "unknown processor"


if __name__ == "__main__":
    sys.exit(main())
