"""Time the bank of private adapters: opening, adding, reading, replacing, deleting and switching, as the number of users grows.

    python -m benchmarks.bank --users 10000 --folder /tmp/bank-benchmark --json benchmarks/results/bank.json

The adapter is a private MLP of 51,616 scalars, 30 % of its weights kept; the folder takes about 0.8 GB at 10,000 users and is
removed at the end. The last row has 100 users with the paper's private network (981,800 scalars). Every user is written durably, so
most of adding, replacing and deleting is the disk's flush, which is timed alone for comparison. One thread; times in milliseconds:
median and 99th percentile of the wall clock, and the median of the processor's time, which other load on the machine does not stretch.
"""

from __future__ import annotations

import argparse
import shutil
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor

from benchmarks.common import header, seconds_of, write_report
from hfmeta.adapters.bank import AdapterBank, LiveSlot
from hfmeta.adapters.durable import write_new
from hfmeta.models.private_mlp import PrivateMlp

SIZES = (128, 128, 128, 96, 64)
PAPER = (600, 600, 500, 400, 300)
KEPT = 0.3
SEED = 0
VERSIONS = 32
"""Different adapters; users share them, which makes no difference to a bank."""


def timed(calls: Iterable[Callable[[], object]]) -> dict[str, float]:
    """Median and 99th percentile of the calls' times, and the median of their processor time."""
    wall, cpu = [], []
    for call in calls:
        seconds, of_the_processor = seconds_of(call)
        wall.append(1000 * seconds)
        cpu.append(1000 * of_the_processor)
    return {
        "median_ms": round(float(np.median(wall)), 3),
        "p99_ms": round(float(np.percentile(wall, 99)), 3),
        "cpu_median_ms": round(float(np.median(cpu)), 3),
        "calls": len(wall),
    }


def adapters(sizes: tuple[int, ...]) -> list[tuple[dict[str, Tensor], dict[str, Tensor]]]:
    """Values and masks of a few adapters; biases have no mask."""
    generator = torch.Generator().manual_seed(SEED)
    template = PrivateMlp(sizes).state_dict()
    weights = [name for name, value in template.items() if value.dim() == 2]
    found = []
    for _ in range(VERSIONS):
        values = {name: torch.randn(value.shape, generator=generator) for name, value in template.items()}
        masks = {name: torch.rand(template[name].shape, generator=generator) < KEPT for name in weights}
        found.append((values, masks))
    return found


def flush_times(folder: Path) -> dict[str, float]:
    """The disk's flush: writing a new file of 4 kB and waiting until it is durable."""
    names = [folder / f"flush-{n}" for n in range(100)]
    result = timed((lambda name=name: write_new(name, bytes(4096))) for name in names)
    for name in names:
        name.unlink()
    return result


def size_on_disk(folder: Path) -> dict[str, float]:
    """Megabytes of content, and as the disk allots it."""
    stats = [path.stat() for path in folder.rglob("*")]
    files = [path.stat() for path in folder.rglob("*") if path.is_file()]
    return {
        "content_mb": sum(s.st_size for s in files) / 1e6,
        "allotted_mb": sum(512 * s.st_blocks for s in stats) / 1e6,
    }


def measure(folder: Path, users: int, sizes: tuple[int, ...], versions: list) -> dict[str, Any]:
    """One row: every operation on a bank that has this many users, on users drawn at random."""
    drawn = [f"user {n}" for n in np.random.default_rng([SEED, users]).integers(users, size=500)]

    def open_and_get(task: str) -> None:
        AdapterBank.open(folder).get(task)

    with AdapterBank.open(folder, "r+") as bank:
        slot, model = LiveSlot(bank), PrivateMlp(sizes)
        row: dict[str, Any] = {
            "users": users,
            "scalars": sum(value.numel() for value in versions[0][0].values()),
            "size": size_on_disk(folder),
            "flush_of_the_disk": flush_times(folder),
            "open": timed((lambda: AdapterBank.open(folder)) for _ in range(200)),
            "open_and_get": timed((lambda task=task: open_and_get(task)) for task in drawn),
            "get": timed((lambda task=task: bank.get(task)) for task in drawn),
            "attach": timed([lambda: slot.attach(model)]),
            "switch": timed((lambda task=task: slot.switch(task)) for task in drawn),
            "add": timed((lambda n=n: bank.put(f"new {n}", *versions[n % VERSIONS])) for n in range(200)),
            "replace": timed((lambda n=n: bank.put(f"new {n}", *versions[-n % VERSIONS])) for n in range(200)),
            "delete": timed((lambda n=n: bank.delete(f"new {n}")) for n in range(200)),
            "list_ids": timed([bank.ids]),
            "count": timed([lambda: len(bank)]),
        }
    return row


def grow(folder: Path, sizes: tuple[int, ...], steps: list[int]) -> list[dict[str, Any]]:
    """Fill a new bank step by step and measure at each; the folder is removed at the end."""
    rows, users, versions = [], 0, adapters(sizes)
    AdapterBank.create(folder, versions[0][0], learner_id="benchmark").close()
    try:
        for step in steps:
            start = time.perf_counter()
            with AdapterBank.open(folder, "r+") as bank:
                for user in range(users, step):
                    bank.put(f"user {user}", *versions[user % VERSIONS])
            filled = 1000 * (time.perf_counter() - start) / (step - users)
            users = step
            rows.append(measure(folder, users, sizes, versions) | {"fill_ms_per_user": round(filled, 3)})
            print(f"{users} users of {rows[-1]['scalars']} scalars measured", flush=True)
    finally:
        shutil.rmtree(folder)
    return rows


def main() -> None:
    """Measure, write the results, and show them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--users", type=int, default=10_000)
    parser.add_argument("--folder", type=Path, required=True, help="new; removed at the end")
    parser.add_argument("--json", type=Path, help="where the results go")
    options = parser.parse_args()
    torch.set_num_threads(1)
    steps = sorted({step for step in (100, 1000, options.users) if step <= options.users})
    rows = grow(options.folder, SIZES, steps) + grow(options.folder, PAPER, [100])
    command = f"python -m benchmarks.bank --users {options.users} --folder FOLDER --json benchmarks/results/bank.json"
    write_report({**header(command), "seed": SEED, "kept": KEPT, "rows": rows}, options.json)
    show(rows)


def show(rows: list[dict[str, Any]]) -> None:
    """Print the results as a table."""
    columns = ["open", "get", "open_and_get", "switch", "add", "replace", "delete", "list_ids", "flush_of_the_disk"]
    table = Table(title="bank: median ms (99th percentile; processor)")
    for name in ("users", "scalars", "MB", *columns):
        table.add_column(name.replace("_of_the_disk", ""), justify="right", no_wrap=True)
    for row in rows:
        cells = [row[name] for name in columns]
        times = [f"{c['median_ms']:.2f} ({c['p99_ms']:.1f}; {c['cpu_median_ms']:.2f})" for c in cells]
        table.add_row(f"{row['users']:,}", f"{row['scalars']:,}", f"{row['size']['allotted_mb']:.0f}", *times)
    Console(width=240).print(table)


if __name__ == "__main__":
    main()
