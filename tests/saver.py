"""A process that saves until it is killed: for every line it reads it forks a saver, and tells when that is dead.

    python saver.py FOLDER
    in:  a seed              out: `pid N`, `start ACT VERSION`, `done`, ..., `dead`; for seed 0, which saves all once, `dead`

What it saves over and over, each under a name of its own in FOLDER: a learner in a folder of its own, a learner beside other files,
an exported private adapter, one user's values in a bank. Every value is a function of the version.
"""

from __future__ import annotations

import os
import random
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import nn

from hfmeta import MetaLearner
from learner.served import served_learner
from saving import make_learner

ACTS = ("alone", "beside", "export", "bank")


def number_of(model: nn.Module, number: int, names: list[str] | None = None) -> None:
    """Give a model the values of a version."""
    with torch.no_grad():
        for place, (name, value) in enumerate(model.named_parameters()):
            if names is None or name in names:
                value.fill_(number + place / 1000)


def acts(folder: Path, learner: MetaLearner, user: MetaLearner) -> dict[str, Callable[[int], Any]]:
    """What can be saved at a version."""
    names = user.private_names
    bank = user.serve(folder / "bank").bank

    def values(number: int) -> dict[str, torch.Tensor]:
        number_of(user.model, number, names)
        return {name: value.detach() for name, value in user.model.named_parameters() if name in names}

    def save(where: str) -> Callable[[int], Any]:
        def saves(number: int) -> None:
            number_of(learner, number)
            learner.save_pretrained(folder / where)

        return saves

    def export(number: int) -> None:
        values(number)
        user.save_private(user.model, folder / "export")

    return {
        "alone": save("alone"),
        "beside": save("beside"),
        "export": export,
        "bank": lambda number: bank.put("user", values(number)),
    }


def say(line: str) -> None:
    """One line, at once."""
    os.write(1, f"{line}\n".encode())


def write(folder: Path, seed: int, *learners: MetaLearner) -> None:
    """Save until killed."""
    draw, possible = random.Random(seed), acts(folder, *learners)
    if not seed:
        for act in ACTS:
            possible[act](1)
        return
    say(f"pid {os.getpid()}")
    number = 100 * seed
    while True:
        number += 1
        act = draw.choice(ACTS)
        say(f"start {act} {number}")
        possible[act](number)
        say("done")


def main() -> None:
    """Fork a saver for each line."""
    torch.set_num_threads(1)
    learners = make_learner("learned-rates"), served_learner("seq2spg")
    for line in sys.stdin:
        child = os.fork()
        if child == 0:
            write(Path(sys.argv[1]), int(line), *learners)
            os._exit(0)
        os.waitpid(child, 0)
        say("dead")


if __name__ == "__main__":
    main()
