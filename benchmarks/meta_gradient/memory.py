"""Peak memory of one outer step, above that of one bare query pass: a process for each contender and number of inner steps."""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import torch

from benchmarks.common import peak_mb
from benchmarks.meta_gradient.cells import RECOMPUTE, contenders
from benchmarks.meta_gradient.workloads import WORKLOADS

ROOT = Path(__file__).resolve().parents[2]

ALLOCATOR = {"MALLOC_MMAP_THRESHOLD_": "65536", "MALLOC_TRIM_THRESHOLD_": "65536"}
"""What is freed goes back at once, so that a peak is of what was in use; the same for everybody."""

CELLS = {"C1": (5, 10), "C2": (5, 10), "D": (5, 10), "C2-LoRA": (3, 13), "D-LoRA": (3, 13)}
"""Numbers of inner steps; the slope is between them."""


def measured(name: str, steps: int, way: str) -> float:
    """Megabytes at the peak of one outer step, over the peak of a query pass forward and backward, in this process."""
    torch.set_num_threads(1)
    workload = WORKLOADS[name]
    model, batch = workload.build(), workload.batch()
    model(**{key: value[0] for key, value in batch["query"].items()}).loss.backward()
    model.zero_grad(set_to_none=True)
    chosen = next(one for one in contenders(workload) if one.name == way and one.gradient == "exact")
    step = chosen.prepare(model, workload, steps)
    before = peak_mb()
    step(batch)
    return peak_mb() - before


def memory_of(name: str) -> list[dict[str, Any]]:
    """The memory of the contenders on a workload, each in a new process.

    Returns:
        a row each: workload, steps, way, `mb`, and `adapted_mb`, what the adapted values of all tasks take once.
    """
    workload = WORKLOADS[name]
    ways = {way.name for way in contenders(workload, max(workload.steps)) if way.gradient == "exact"}
    # Left to itself hfmeta keeps graphs below ten inner steps and recomputes from there on; of the adapters a slope is asked for.
    ways &= {RECOMPUTE} if workload.frozen else {RECOMPUTE, "learn2learn"}
    moving = sum(value.numel() * value.element_size() for value in workload.build().parameters() if value.requires_grad)
    rows = []
    for way in sorted(ways):
        for steps in CELLS[name]:
            command = [sys.executable, "-m", "benchmarks.meta_gradient.memory", name, str(steps), way]
            done = subprocess.run(
                command, capture_output=True, text=True, cwd=ROOT, env={**os.environ, **ALLOCATOR}, check=False
            )
            if done.returncode:
                raise RuntimeError(f"measuring the memory of {way} on {name} failed:\n{done.stderr[-2000:]}")
            row = {
                "workload": name,
                "steps": steps,
                "way": way,
                "mb": round(json.loads(done.stdout.splitlines()[-1]), 1),
            }
            rows.append({**row, "adapted_mb": round(workload.tasks * moving / 2**20, 2)})
    return rows


def main() -> None:
    """Print one figure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("workload", choices=list(CELLS))
    parser.add_argument("steps", type=int)
    parser.add_argument("way")
    options = parser.parse_args()
    print(json.dumps(measured(options.workload, options.steps, options.way)))


if __name__ == "__main__":
    main()
