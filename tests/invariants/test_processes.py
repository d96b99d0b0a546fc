"""Two processes learn what one process learns from the same batches of tasks, and count together."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import torch

from invariants.runs import tensors, trainer


def test_two_processes_equal_one(tmp_path):
    script = Path(__file__).with_name("runs.py")
    launch = ["-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2"]
    path = os.pathsep.join([str(script.parents[2]), os.environ.get("PYTHONPATH", "")])
    done = subprocess.run(
        [sys.executable, *launch, str(script), "rank", str(tmp_path)],
        env={**os.environ, "PYTHONPATH": path, "ACCELERATE_USE_CPU": "true"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    first, second = (torch.load(tmp_path / f"rank{rank}.pt") for rank in (0, 1))
    assert [name for name, value in first.items() if not torch.equal(value, second[name])] == []
    run = trainer(tmp_path / "one", save_strategy="no", max_steps=2)
    run.train()
    alone = tensors(run)
    for name, value in first.items():
        torch.testing.assert_close(value, alone[name], rtol=1e-5, atol=1e-5)
