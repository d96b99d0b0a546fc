"""The three phases of CMAML as one run: resumed from any of them it equals the uninterrupted run, and two processes equal one."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from transformers.trainer_utils import get_last_checkpoint

from hfmeta.corpora import Sinusoid
from hfmeta.episodes import EpisodeDataset
from hfmeta.inner.errors import HfmetaError
from hfmeta.learner import MetaLearner
from invariants.cmaml_runs import USERS, learned, rows, trainer

PROGRAM = str(Path(__file__).with_name("cmaml_runs.py"))


def environment():
    tests = Path(__file__).parents[1]
    path = os.pathsep.join([str(tests), str(tests.parent), os.environ.get("PYTHONPATH", "")])
    return {**os.environ, "PYTHONPATH": path}


def assert_equal(found, expected):
    assert found.keys() == expected.keys()
    assert [name for name, value in found.items() if not torch.equal(value, expected[name])] == []


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory):
    folder = tmp_path_factory.mktemp("whole")
    run = trainer(folder, algorithm={"tasks_per_pass": 2})
    run.train()
    return folder, learned(run)


def test_the_run_passes_through_its_phases(uninterrupted):
    folder, found = uninterrupted
    assert not (folder / "checkpoint-2" / "masks.safetensors").exists()
    assert (folder / "checkpoint-4" / "masks.safetensors").exists()
    private = MetaLearner.from_pretrained(folder / "checkpoint-8").private
    assert private is not None
    assert private.ready
    assert private.store.tasks("train") == list(USERS)
    masks = found["mask of decoder.private.layers.1.weight"]
    assert 0.3 < masks.double().mean() < 0.7
    assert not torch.equal(masks[0], masks[1]), "users have structures of their own"


@pytest.mark.parametrize("step", [2, 4, 6])
def test_resumed_from_any_phase_equals_uninterrupted(tmp_path, uninterrupted, step):
    folder, expected = uninterrupted
    again = trainer(tmp_path, algorithm={"tasks_per_pass": 2})
    again.train(resume_from_checkpoint=str(folder / f"checkpoint-{step}"))
    assert_equal(learned(again), expected)


@pytest.mark.parametrize(("phase", "last"), [("pretrain", 2), ("prune", 2), ("joint", 6)])
def test_killed_in_any_phase_and_resumed_equals_uninterrupted(tmp_path, uninterrupted, phase, last):
    command = [sys.executable, PROGRAM, str(tmp_path), phase]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment()) as run:
        assert run.stdout is not None
        assert any(line.strip() == "reached" for line in run.stdout)
        run.kill()
    assert run.returncode == -signal.SIGKILL
    checkpoint = get_last_checkpoint(str(tmp_path))
    assert checkpoint is not None
    assert checkpoint.endswith(f"checkpoint-{last}")
    again = trainer(tmp_path, algorithm={"tasks_per_pass": 2})
    again.train(resume_from_checkpoint=checkpoint)
    assert_equal(learned(again), uninterrupted[1])


def test_two_processes_equal_one(tmp_path):
    """Users are pruned in parallel; both ranks end with all structures and equal values."""
    launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2"]
    result = subprocess.run(
        [*launch, PROGRAM, str(tmp_path), "rank"],
        env={**environment(), "ACCELERATE_USE_CPU": "true", "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert result.returncode == 0, result.stderr[-3000:]
    ranks = [torch.load(tmp_path / f"rank{rank}.pt", weights_only=True) for rank in range(2)]
    assert_equal(ranks[0], ranks[1])
    alone = trainer(tmp_path / "one", save_strategy="no")
    alone.train()
    expected = learned(alone)
    assert ranks[0].keys() == expected.keys()
    for name, value in expected.items():
        torch.testing.assert_close(ranks[0][name].double(), value.double(), rtol=1e-4, atol=1e-6, msg=name)


def test_abandoned_edges_rest(uninterrupted):
    """An edge that nobody kept does not drift on the optimiser's momentum: it is as it was when the users were pruned."""
    folder, found = uninterrupted
    before = MetaLearner.from_pretrained(folder / "checkpoint-4").model.state_dict()
    name = "decoder.private.layers.1.weight"
    nobody = ~found[f"mask of {name}"].any(0)
    assert nobody.any()
    assert torch.equal(found[f"model.{name}"][nobody], before[name][nobody])


def test_other_users_than_the_checkpoints_are_refused(tmp_path, uninterrupted):
    folder, _ = uninterrupted
    again = trainer(tmp_path, algorithm={"tasks_per_pass": 2})
    others = rows().map(lambda row: {"user": row["user"] + "!"})
    again.train_dataset = type(again.train_dataset)(
        others,
        task_column="user",
        input_column="said",
        target_column="reply",
        support=3,
        query=2,
        processing_class=again.processing_class,
        task_type="seq2seq-lm",
    )
    with pytest.raises(HfmetaError, match="structures of 4 training tasks, among them 'anna ✿'"):
        again.train(resume_from_checkpoint=str(folder / "checkpoint-4"))


def test_tasks_without_a_fixed_list_are_refused_before_anything_is_trained(tmp_path):
    run = trainer(tmp_path)
    run.train_dataset = EpisodeDataset(Sinusoid(3, 2), length=8)
    start = learned(run)
    with pytest.raises(HfmetaError, match="needs a fixed list of tasks.*not an endless family"):
        run.train()
    assert_equal(learned(run), start)
