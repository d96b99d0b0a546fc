"""Several checkpoints tested together: the best on validation tasks, and the mean of their logits."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest

from hfmeta.inner.errors import HfmetaError
from hfmeta.recipe import evaluate_checkpoint, run_recipe
from hfmeta.recipe.ensemble import best_checkpoints
from tiny_recipes import save_tiny_bert, text_recipe, write_recipe, write_sentences


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run with a checkpoint and a validation at each of its three steps."""
    room = tmp_path_factory.mktemp("run")
    sections = text_recipe(save_tiny_bert(room / "bert"), write_sentences(room / "rows.jsonl"))
    sections["training"] |= {
        "max_steps": 3,
        "learning_rate": 0.05,
        "eval_strategy": "steps",
        "eval_steps": 1,
        "save_strategy": "steps",
        "save_steps": 1,
    }
    run_recipe(write_recipe(room, sections))
    return room / "out"


def test_the_best_on_validation_tasks_come_first(run):
    found = best_checkpoints(run, 2)
    log = json.loads((run / "trainer_state.json").read_text(encoding="utf-8"))["log_history"]
    scores = sorted((entry["eval_accuracy"] for entry in log if "eval_accuracy" in entry), reverse=True)
    assert [accuracy for _, accuracy in found] == scores[:2]
    assert len({folder for folder, _ in found}) == 2


def test_one_of_one_is_that_checkpoint_and_of_several_it_is_none_of_them(run):
    ((best, _),) = best_checkpoints(run, 1)
    alone, same = evaluate_checkpoint(str(best)), evaluate_checkpoint(str(run), ensemble=1)
    assert same["ensemble"] == {best.name: pytest.approx(best_checkpoints(run, 1)[0][1])}
    assert same["command"].endswith(f"{run} --ensemble 1")
    for name in ("accuracy", "loss"):
        assert same["metrics"][name]["mean"] == pytest.approx(alone["metrics"][name]["mean"], rel=1e-5)
    three = evaluate_checkpoint(str(run), ensemble=3)
    singles = [evaluate_checkpoint(str(run / name))["metrics"]["loss"]["mean"] for name in three["ensemble"]]
    # The loss of a mean of logits is at most the mean of the losses, task by task.
    assert three["metrics"]["loss"]["mean"] < np.mean(singles)
    assert all(abs(three["metrics"]["loss"]["mean"] - single) > 1e-6 for single in singles)
    assert three["episodes"] == alone["episodes"]
    assert "accuracy_before" not in three["metrics"]


def test_refusals(run, tmp_path):
    with pytest.raises(
        HfmetaError, match=r"--ensemble 4 needs 4 checkpoints .* has 3. Train with training.save_total_limit=null"
    ):
        evaluate_checkpoint(str(run), ensemble=4)
    with pytest.raises(HfmetaError, match="has no readable trainer_state.json"):
        best_checkpoints(tmp_path, 1)
    copy = tmp_path / "copy"
    shutil.copytree(run, copy)
    shutil.rmtree(copy / "checkpoint-2")
    assert len(best_checkpoints(copy, 2)) == 2
    with pytest.raises(HfmetaError, match="or ask for 2"):
        best_checkpoints(copy, 3)
