"""A run's end is the average of what it learned with what it started from, however the run came to its end."""

from __future__ import annotations

import json

import pytest
import torch
from safetensors.torch import load_file
from transformers import Trainer

from hfmeta import HfmetaError, MetaConfig
from hfmeta.recipe import run_recipe
from invariants import cmaml_runs, runs
from tiny_recipes import write_recipe


def trained(folder, weight, resume=None, **options):
    """A small run with learned rates: its trainer, and all tensors before and after."""
    run = runs.trainer(folder, start_weight=weight, **options)
    run.learner.model.layers[0].bias.requires_grad_(False)
    before = runs.tensors(run)
    run.train(resume_from_checkpoint=resume)
    return run, before, runs.tensors(run)


def test_the_models_tensors_are_averaged_and_learned_rates_are_not(tmp_path):
    _, start, learned = trained(tmp_path / "learned", 0.0)
    _, again, averaged = trained(tmp_path / "averaged", 0.25)
    assert all(torch.equal(start[name], again[name]) for name in start)
    moved = [name for name in start if not torch.equal(start[name], learned[name])]
    assert any(name.startswith("rule.") for name in moved)
    assert any(name.startswith("model.") for name in moved)
    for name in start:
        expected = learned[name]
        if name.startswith("model."):
            expected = 0.75 * learned[name] + 0.25 * start[name]
        torch.testing.assert_close(averaged[name], expected, rtol=1e-6, atol=1e-8)


def test_checkpoints_hold_what_was_learned_and_a_resumed_run_ends_in_the_same_average(tmp_path):
    _, _, learned = trained(tmp_path / "learned", 0.0)
    _, _, averaged = trained(tmp_path / "averaged", 0.25)
    last = load_file(tmp_path / "averaged" / "checkpoint-6" / "model.safetensors")
    assert all(torch.equal(value, learned[f"model.{name}"]) for name, value in last.items())
    checkpoint = str(tmp_path / "averaged" / "checkpoint-2")
    _, _, resumed = trained(tmp_path / "averaged", 0.25, resume=checkpoint)
    assert all(torch.equal(averaged[name], resumed[name]) for name in averaged)


def test_a_finished_recipe_is_averaged_again_from_its_best_checkpoint(tmp_path):
    options = {"save_strategy": "steps", "save_steps": 1, "eval_strategy": "steps", "eval_steps": 1}
    best = {"load_best_model_at_end": True, "metric_for_best_model": "loss", "learning_rate": 0.5}
    path = write_recipe(tmp_path, training={**options, **best, "start_weight": 0.5})
    results = run_recipe(path)
    saved = load_file(tmp_path / "out" / "model.safetensors")
    assert run_recipe(path, resume=True)["metrics"] == results["metrics"]
    again = load_file(tmp_path / "out" / "model.safetensors")
    assert all(torch.equal(saved[name], again[name]) for name in saved)
    best_step = json.loads((tmp_path / "out" / "trainer_state.json").read_text())["best_global_step"]
    learned = load_file(tmp_path / "out" / f"checkpoint-{best_step}" / "model.safetensors")
    assert not all(torch.equal(saved[name], learned[name]) for name in saved)


@pytest.mark.parametrize("weight", [-0.1, 1.0])
def test_what_is_no_weight_is_refused_before_anything_is_written(tmp_path, weight):
    path = write_recipe(tmp_path, training={"start_weight": weight})
    with pytest.raises(HfmetaError, match=f"start_weight={weight} is no weight of the start"):
        run_recipe(path)
    assert not (tmp_path / "out").exists()


def test_pruned_structures_are_not_averaged(tmp_path):
    with pytest.raises(HfmetaError, match="start_weight=0.5 would move weights that Cmaml prunes to zero"):
        cmaml_runs.trainer(tmp_path, start_weight=0.5)
    assert cmaml_runs.trainer(tmp_path).start.start == {}


def test_shards_are_not_averaged(tmp_path, monkeypatch):
    made = Trainer.create_accelerator_and_postprocess

    def sharded(self):
        made(self)
        self.is_fsdp_enabled = True

    monkeypatch.setattr(Trainer, "create_accelerator_and_postprocess", sharded)
    with pytest.raises(HfmetaError, match="start_weight averages whole tensors, and here each process has shards"):
        runs.trainer(tmp_path, start_weight=0.5)


def test_nothing_is_kept_where_nothing_is_averaged(tmp_path):
    assert runs.trainer(tmp_path).start.start == {}
    assert MetaConfig(output_dir=str(tmp_path)).start_weight == 0.0
