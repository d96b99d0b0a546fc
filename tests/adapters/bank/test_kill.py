"""kill -9 during writes, fifty times: whatever a writer said was done is there, and nobody else's adapter changed."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from bank_writer import SHAPES, TASKS, masks, version
from hfmeta.adapters.bank import AdapterBank

KILLS = 50


def holds(bank, task, number):
    """Whether a task is at a version, exactly; None stands for absent."""
    if number is None or task not in bank:
        return number is None and task not in bank
    record, expected, kept = bank.read(task), version(task, number), masks(number)
    return record.masks.keys() == kept.keys() and all(
        torch.equal(record.values[name], value * kept[name] if name in kept else value)
        for name, value in expected.items()
    )


def one_writer(process, seed, delay):
    """Let a writer run, kill it, and give the acts it began with whether it ended them."""
    process.stdin.write(f"{seed}\n")
    process.stdin.flush()
    pid = int(process.stdout.readline().removeprefix("pid "))
    time.sleep(delay)
    os.kill(pid, signal.SIGKILL)
    acts = []
    while (line := process.stdout.readline().strip()) != "dead":
        assert line, "the process that forks the writers died"
        if line == "done":
            acts[-1][2] = True
        else:
            _, act, *task, number = line.split(" ")
            acts.append([" ".join(task), None if act == "delete" else int(number), False])
    return acts


@pytest.mark.long
def test_fifty_kills_lose_nothing(tmp_path):
    folder, draw = tmp_path / "bank", random.Random(0)
    quiet = {f"quiet {n}": n for n in range(1000, 1100)}
    with AdapterBank.create(folder, {name: torch.zeros(shape) for name, shape in SHAPES.items()}) as bank:
        for task, number in quiet.items():
            bank.put(task, version(task, number), masks(number))
    state = dict.fromkeys(TASKS)
    counts = {"kills": 0, "acts": 0, "cut short": 0, "took effect though cut short": 0, "left to sweep": 0}
    script = Path(__file__).parents[2] / "bank_writer.py"
    with subprocess.Popen(
        [sys.executable, str(script), str(folder)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        for seed in range(1, KILLS + 1):
            acts = one_writer(process, seed, draw.uniform(0.05, 0.4))
            counts["kills"] += 1
            counts["acts"] += len(acts)
            for task, number, done in acts:
                if done:
                    state[task] = number
            with AdapterBank.open(folder) as reader:  # as the crash left it
                if acts and not acts[-1][2]:
                    task, number, _ = acts[-1]
                    counts["cut short"] += 1
                    assert holds(reader, task, number) or holds(reader, task, state[task]), (seed, acts[-1])
                    if holds(reader, task, number):
                        counts["took effect though cut short"] += 1
                        state[task] = number
                counts["left to sweep"] += len(list((folder / "pending").iterdir()))
                assert all(holds(reader, task, number) for task, number in state.items()), seed
                assert (
                    set(reader.ids()) == {task for task, number in state.items() if number is not None} | quiet.keys()
                )
            with AdapterBank.open(folder, "r+") as bank:
                assert list((folder / "pending").iterdir()) == []
                assert bank.verify() == {}
        process.stdin.close()
    with AdapterBank.open(folder) as reader:
        assert all(holds(reader, task, number) for task, number in quiet.items())
    print(json.dumps(counts))
    assert counts["kills"] == KILLS
    assert counts["cut short"] >= KILLS // 2
