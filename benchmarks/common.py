"""What every benchmark has in common: the facts at the head of a report, one row of times, and writing the report."""

from __future__ import annotations

import json
import os
import platform
import resource
import time
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

import torch

from hfmeta import __version__


def header(command: str) -> dict[str, Any]:
    """What a figure depends on besides the code that it measures: versions, cores, and what else the machine was doing.

    Args:
        command: what makes the report anew.
    """
    return {
        "command": command,
        "date": date.today().isoformat(),
        "hfmeta": __version__,
        "torch": torch.__version__,
        "python": platform.python_version(),
        "cores": os.cpu_count(),
        "load_of_the_machine": round(os.getloadavg()[0], 2),
    }


def seconds_of(call: Callable[[], object]) -> tuple[float, float]:
    """Seconds of the wall clock and of the processor; the latter is not stretched by what else the machine does."""
    start, started = time.perf_counter(), time.process_time()
    call()
    return time.perf_counter() - start, time.process_time() - started


def peak_mb() -> float:
    """Most resident memory of this process so far, in megabytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def write_report(report: dict[str, Any], path: Path | None) -> None:
    """Write a report as JSON, unless there is nowhere to write it."""
    if path is not None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(report, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
