"""kill -9 while a learner, an export and a bank are saved over and over: the last good state always opens, to the bit."""

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
from safetensors.torch import load_file

from hfmeta import MetaLearner
from hfmeta.adapters.bank import AdapterBank
from hfmeta.adapters.checksums import first_difference
from hfmeta.adapters.private_folder import ABOUT

ACTS = ("alone", "beside", "export", "bank")


def version_in(folder: Path, act: str) -> int | None:
    """The version that a folder opens at, every value of it; None where nothing was saved yet."""
    if act == "bank":
        with AdapterBank.open(folder / act) as bank:
            found = list(bank.get("user").values()) if "user" in bank else []
    elif (
        not (folder / act / ("adapter_config.json" if act == "export" else "hfmeta_config.json")).is_file()
        and not (folder / act / ".incoming").is_dir()
    ):
        return None
    elif act == "export":
        assert first_difference(folder / act, json.loads((folder / act / ABOUT).read_text())["files"]) is None
        found = list(load_file(folder / act / "adapter_model.safetensors").values())
    else:
        learner = MetaLearner.from_pretrained(folder / act)
        found = [value.detach() for value in learner.model.parameters()]
    values = torch.cat([tensor.reshape(-1) for tensor in found if tensor.is_floating_point()]).unique()
    number = int(values[0])
    exact = torch.tensor([number + place / 1000 for place in range(200)])
    assert torch.isin(values, exact).all(), (act, number, values)
    return number


def one_saver(process, seed, delay):
    """Let a saver run, kill it, and give the acts that it began, with whether it ended them."""
    process.stdin.write(f"{seed}\n")
    process.stdin.flush()
    pid = int(process.stdout.readline().removeprefix("pid "))
    time.sleep(delay)
    os.kill(pid, signal.SIGKILL)
    begun = []
    while (line := process.stdout.readline().strip()) != "dead":
        assert line, "the process that forks the savers died"
        if line == "done":
            begun[-1][2] = True
        else:
            _, act, number = line.split(" ")
            begun.append([act, int(number), False])
    return begun


@pytest.mark.parametrize("kills", [5, pytest.param(20, marks=pytest.mark.long)])
def test_a_kill_while_saving_leaves_the_last_good_state(tmp_path, kills):
    draw = random.Random(kills)
    counts = {"kills": 0, "saves": 0, "cut short": 0, "took effect though cut short": 0}
    (tmp_path / "beside" / "checkpoint-1").mkdir(parents=True)
    (tmp_path / "beside" / "checkpoint-1" / "notes").write_text("stays")
    script = Path(__file__).parents[1] / "saver.py"
    with subprocess.Popen(
        [sys.executable, str(script), str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        process.stdin.write("0\n")
        process.stdin.flush()
        assert process.stdout.readline() == "dead\n"
        state = {act: version_in(tmp_path, act) for act in ACTS}
        assert set(state.values()) == {1}
        for seed in range(1, kills + 1):
            begun = one_saver(process, seed, draw.uniform(0.1, 0.6))
            counts["kills"] += 1
            counts["saves"] += len(begun)
            state |= {act: number for act, number, done in begun if done}
            for act in ACTS:
                found = version_in(tmp_path, act)
                if begun and not begun[-1][2] and begun[-1][0] == act:
                    counts["cut short"] += 1
                    assert found in (state[act], begun[-1][1]), (seed, begun[-1], state, found)
                    counts["took effect though cut short"] += found == begun[-1][1]
                    state[act] = found
                assert found == state[act], (seed, act, found, state)
        process.stdin.close()
    print(json.dumps(counts))
    assert (tmp_path / "beside" / "checkpoint-1" / "notes").read_text() == "stays"
    assert counts["kills"] == kills
    assert counts["cut short"] >= kills // 2
    left = [path.name.split(".")[1] for path in tmp_path.iterdir() if path.name.endswith(".tmp")]
    assert len(left) == len(set(left)), "the next save removes what a killed one left"
