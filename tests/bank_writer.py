"""A process that writes to a bank until it is killed: for every line it reads it forks a writer, and tells when that is dead.

    python bank_writer.py FOLDER
    in:  a seed              out: `pid N`, `start ACT TASK VERSION`, `done`, ..., `dead`

The writer's own process is forked, so that fifty kills need the imports once.
"""

from __future__ import annotations

import os
import random
import sys

import torch

from hfmeta.adapters.bank import AdapterBank

SHAPES = {"w": (120, 100), "b": (120,)}
TASKS = [f"user {n}" for n in range(12)]


def version(task: str, number: int) -> dict[str, torch.Tensor]:
    """The values that a task has at a version: a function of both."""
    generator = torch.Generator().manual_seed(1000 * int(task.split()[-1]) + number)
    return {name: torch.randn(shape, generator=generator) for name, shape in SHAPES.items()}


def masks(number: int) -> dict[str, torch.Tensor]:
    """Odd versions are sparse."""
    return {"w": (torch.arange(12_000) % 3 == number % 3).view(120, 100)} if number % 2 else {}


def say(line: str) -> None:
    """One line, at once."""
    os.write(1, f"{line}\n".encode())


def write(folder: str, seed: int) -> None:
    """Put, replace and delete until killed."""
    draw = random.Random(seed)
    with AdapterBank.open(folder, "r+") as bank:
        number = 1000 * seed
        while True:
            number += 1
            task = draw.choice(TASKS)
            if draw.random() < 0.3 and task in bank:
                say(f"start delete {task} 0")
                bank.delete(task)
            else:
                values, kept = version(task, number), masks(number)
                say(f"start put {task} {number}")
                bank.put(task, values, kept)
            say("done")


def main() -> None:
    """Fork a writer for each line."""
    torch.set_num_threads(1)
    for line in sys.stdin:
        child = os.fork()
        if child == 0:
            say(f"pid {os.getpid()}")
            write(sys.argv[1], int(line))
        os.waitpid(child, 0)
        say("dead")


if __name__ == "__main__":
    main()
