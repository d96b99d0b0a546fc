"""A run that was stopped or killed and resumed equals the uninterrupted one, bit for bit, learned rates included."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from transformers.trainer_utils import get_last_checkpoint

from invariants.runs import StopAt, tensors, trainer


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory):
    run = trainer(tmp_path_factory.mktemp("whole"))
    start = tensors(run)
    run.train()
    learned = tensors(run)
    assert any("alpha" in name and not torch.equal(value, start[name]) for name, value in learned.items())
    return learned


def assert_equal(found, expected):
    assert found.keys() == expected.keys()
    assert [name for name, value in found.items() if not torch.equal(value, expected[name])] == []


def test_stopped_and_resumed_equals_uninterrupted(tmp_path, uninterrupted):
    trainer(tmp_path, StopAt(3, "stop"), save_steps=3).train()
    again = trainer(tmp_path, save_steps=3)
    again.train(resume_from_checkpoint=str(tmp_path / "checkpoint-3"))
    assert_equal(tensors(again), uninterrupted)


def test_killed_and_resumed_equals_uninterrupted(tmp_path, uninterrupted):
    tests = Path(__file__).parents[1]
    path = os.pathsep.join([str(tests), str(tests.parent), os.environ.get("PYTHONPATH", "")])
    command = [sys.executable, str(Path(__file__).with_name("runs.py")), "hang", str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env={**os.environ, "PYTHONPATH": path}) as run:
        assert run.stdout is not None
        assert any(line.strip() == "reached" for line in run.stdout)
        run.kill()
    assert run.returncode == -signal.SIGKILL
    last = get_last_checkpoint(str(tmp_path))
    assert last is not None
    assert last.endswith("checkpoint-4")
    again = trainer(tmp_path)
    again.train(resume_from_checkpoint=last)
    assert_equal(tensors(again), uninterrupted)
