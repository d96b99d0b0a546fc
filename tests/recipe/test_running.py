"""Checks of hfmeta/recipe/running.py and writing.py: what a run leaves behind, refusals that leave nothing, going on."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
import torch
from huggingface_hub import ModelCard
from safetensors.torch import load_file

from hfmeta import EpisodeDataset, MetaLearner
from hfmeta.inner.errors import HfmetaError, NonFiniteLossError
from hfmeta.recipe import run_recipe
from hfmeta.recipe.parsing import parse_recipe
from tiny_recipes import save_tiny_bert, text_recipe, write_recipe, write_sentences

FILES = {
    *(
        "README.md",
        "adaptation_curve.png",
        "config.json",
        "hfmeta.safetensors",
        "hfmeta_config.json",
        "learning_curve.png",
    ),
    *("model.safetensors", "per_task.json", "recipe.yaml", "results.json", "trainer_state.json"),
}


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A finished sinusoid run: its folder and the results returned."""
    room = tmp_path_factory.mktemp("run")
    path = write_recipe(
        room,
        training={"eval_strategy": "steps", "eval_steps": 2, "logging_steps": 1},
        baselines=["no_adaptation", {"pretrained": {"inner_lr": [0.01, 0.1], "iterations": 5}}],
    )
    return room / "out", run_recipe(path, ["data.test_query=20"])


def test_a_run_leaves_checkpoint_results_and_plots(run):
    folder, _ = run
    assert {path.name for path in folder.iterdir()} == FILES


def test_results_have_what_the_design_promises(run):
    folder, returned = run
    results = json.loads((folder / "results.json").read_text(encoding="utf-8"))
    assert results == json.loads(json.dumps(returned))
    assert results["recipe"].endswith("recipe.yaml")
    assert results["command"].startswith("hfmeta train ")
    assert results["command"].endswith("data.test_query=20")
    assert results["seed"] == 42
    assert results["versions"]["hfmeta"] == "0.1.0"
    assert results["episodes"]["count"] == 8
    assert len(results["episodes"]["sha256"]) == 64
    assert results["meta_gradient"] == "exact"
    for entry in [*results["metrics"].values(), *results["baselines"].values()]:
        assert {"mean", "ci95", "tasks"} <= set(entry)
        assert entry["tasks"] == 8
    assert list(results["metrics"]) == ["mse", "mse_before", "mse_gain"]
    assert list(results["baselines"]) == list(results["paired"]) == ["no_adaptation", "pretrained"]
    assert results["baselines"]["pretrained"]["options"]["inner_lr"] in (0.01, 0.1)
    curve = results["adaptation_curve"]["mse"]
    assert len(curve["mean"]) == len(curve["ci95"]) == 3
    assert curve["mean"][-1] == results["metrics"]["mse"]["mean"]
    assert curve["mean"][0] == results["metrics"]["mse_before"]["mean"]
    assert results["iterations"] == 4
    assert results["world_size"] == 1
    assert results["device"] == ("cpu" if not torch.cuda.is_available() else torch.cuda.get_device_name())
    assert 0 < results["seconds"]["per_iteration"] < results["seconds"]["train"] <= results["seconds"]["total"]
    assert results["hyper_parameters"]["training"]["learning_rate"] == 0.01
    assert results["algorithm"]["inner_lr"] == 0.02


def test_per_task_scores_give_the_results(run):
    folder, results = run
    scores = json.loads((folder / "per_task.json").read_text(encoding="utf-8"))
    assert scores["episodes"] == results["episodes"]
    ours = np.array(scores["scores"]["loss"])
    assert ours.shape == (8, 3)
    assert ours[:, -1].mean() == pytest.approx(results["metrics"]["mse"]["mean"])
    theirs = np.array(scores["baselines"]["pretrained"])
    assert theirs.shape == (8, 3)
    difference = ours[:, -1] - theirs[:, -1]
    assert results["paired"]["pretrained"]["mean"] == pytest.approx(difference.mean())
    assert np.array(scores["baselines"]["no_adaptation"]).shape == (8,)


def test_the_checkpoint_opens_and_scores_the_same(run):
    folder, results = run
    learner = MetaLearner.from_pretrained(folder)
    from hfmeta.recipe.data import build_episodes
    from hfmeta.recipe.results import score_episodes

    recipe = parse_recipe(folder / "recipe.yaml")
    test = build_episodes(recipe.data, "regression", None, 0).test
    assert test.sha256 == results["episodes"]["sha256"]
    assert score_episodes(learner, test, 3)["loss"][:, -1].mean() == pytest.approx(
        results["metrics"]["mse"]["mean"], rel=1e-5
    )


def test_the_readme_tells_the_results(run):
    folder, results = run
    text = (folder / "README.md").read_text(encoding="utf-8")
    assert text.count("## Results") == 1
    assert "| | mse |" in text
    assert "| pretrained | " in text
    assert "| maml | **" in text
    assert "this learner minus" in text
    assert results["episodes"]["sha256"] in text
    assert "hfmeta train" in text
    assert str(folder.parent) not in text  # a card tells nobody's folders
    found = ModelCard(text).data.eval_results
    assert found[0].metric_value == pytest.approx(results["metrics"]["mse"]["mean"], rel=1e-4)
    assert text.startswith("---\n")


def test_the_written_recipe_runs_again_with_the_same_result(run, tmp_path):
    folder, results = run
    again = run_recipe(folder / "recipe.yaml", [f"training.output_dir={tmp_path / 'again'}"])
    assert again["metrics"] == results["metrics"]
    assert again["paired"] == results["paired"]
    one, two = (load_file(path / "model.safetensors") for path in (folder, tmp_path / "again"))
    assert all(torch.equal(one[name], two[name]) for name in one)


def test_a_text_run_saves_its_split_and_tokenizer(tmp_path):
    model = save_tiny_bert(tmp_path / "bert")
    path = write_recipe(
        tmp_path, text_recipe(model, write_sentences(tmp_path / "rows.jsonl")), baselines=["frozen_ncm"]
    )
    results = run_recipe(path)
    folder = tmp_path / "out"
    split = json.loads((folder / "split.json").read_text(encoding="utf-8"))
    assert split["sha256"] == results["split"]["sha256"]
    assert (folder / "tokenizer.json").is_file()
    assert list(results["adaptation_curve"]) == ["accuracy", "loss"]
    assert 0 <= results["metrics"]["accuracy"]["mean"] <= 1
    assert "relative_error_reduction" in results["paired"]["frozen_ncm"]
    assert "points" in (folder / "README.md").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("algorithm.inner_lr=abc", "expected a number"),
        ("algorithm.adapt=no_such_tensor", "matches no trainable tensor"),
        ("algorithm.rates=sometimes", "rates must be one of"),
        ("training.fp16=true", "fp16=True overflows|fp16"),
    ],
)
def test_a_refused_run_writes_nothing(tmp_path, override, message):
    path = write_recipe(tmp_path)
    with pytest.raises(HfmetaError, match=message):
        run_recipe(path, [override, f"training.output_dir={tmp_path / 'deep' / 'out'}"])
    assert [p.name for p in tmp_path.iterdir()] == ["recipe.yaml"]


def test_a_loss_that_is_not_finite_stops_the_run_or_is_counted(tmp_path):
    path = write_recipe(tmp_path, algorithm={"inner_lr": 1e30, "inner_steps": 3})
    with pytest.raises(NonFiniteLossError, match="is not finite"):
        run_recipe(path)
    assert not (tmp_path / "out").exists()


def test_an_old_run_is_not_mixed_with_a_new_one(tmp_path):
    path = write_recipe(tmp_path, training={"save_strategy": "steps", "save_steps": 2})
    with pytest.raises(HfmetaError, match="--resume: there is no checkpoint in"):
        run_recipe(path, resume=True)
    run_recipe(path)
    assert (tmp_path / "out" / "checkpoint-4").is_dir()
    before = (tmp_path / "out" / "results.json").read_bytes()
    with pytest.raises(HfmetaError, match="holds checkpoints of an earlier run"):
        run_recipe(path)
    assert (tmp_path / "out" / "results.json").read_bytes() == before


@pytest.mark.parametrize("rates", ["fixed", "element"])
def test_a_resumed_run_equals_an_uninterrupted_one(tmp_path, rates):
    path = write_recipe(tmp_path, algorithm={"rates": rates}, training={"save_strategy": "steps", "save_steps": 2})
    results = run_recipe(path)
    whole = {name: load_file(tmp_path / "out" / f"{name}.safetensors") for name in ("model", "hfmeta")}
    for left in ("README.md", "results.json", "model.safetensors", "hfmeta.safetensors"):
        (tmp_path / "out" / left).unlink()
    shutil.rmtree(tmp_path / "out" / "checkpoint-4")
    resumed = run_recipe(path, resume=True)
    for name, tensors in whole.items():
        now = load_file(tmp_path / "out" / f"{name}.safetensors")
        assert all(torch.equal(tensors[key], now[key]) for key in tensors)
    assert resumed["metrics"] == results["metrics"]
    assert resumed["command"].endswith("--resume")
    # A run that has ended already is tested again and gets no further step.
    ended = run_recipe(path, resume=True)
    assert ended["metrics"] == results["metrics"]
    assert ended["iterations"] == 4
    assert ended["seconds"]["per_iteration"] is None


def test_a_finished_run_with_the_best_model_keeps_it(tmp_path):
    path = write_recipe(
        tmp_path,
        training={
            **{"save_strategy": "steps", "save_steps": 1, "eval_strategy": "steps", "eval_steps": 1},
            **{"load_best_model_at_end": True, "metric_for_best_model": "loss", "learning_rate": 0.5},
        },
    )
    results = run_recipe(path)
    assert run_recipe(path, resume=True)["metrics"] == results["metrics"]


def test_epochs_instead_of_steps(tmp_path):
    path = write_recipe(tmp_path, training={"max_steps": -1, "num_train_epochs": 2}, baselines=["pretrained"])
    results = run_recipe(path)
    assert results["iterations"] == 8
    assert results["baselines"]["pretrained"]["options"]["iterations"] is None


def test_only_the_first_process_writes(tmp_path, monkeypatch):
    from hfmeta.trainer import MetaTrainer

    monkeypatch.setattr(MetaTrainer, "is_world_process_zero", lambda self: False)
    path = write_recipe(tmp_path)
    assert run_recipe(path) == {}
    assert not (tmp_path / "out" / "results.json").exists()


def test_training_episodes_follow_the_training_seed_and_tests_do_not(tmp_path, monkeypatch):
    seeds = []
    true = EpisodeDataset.episodes

    def spy(self, keys, seed=None):
        seeds.append(self.seed if seed is None else seed)
        return true(self, keys, seed)

    monkeypatch.setattr(EpisodeDataset, "episodes", spy)
    first = run_recipe(write_recipe(tmp_path), ["training.seed=7"])
    assert {7, 0} <= set(seeds)
    assert 42 not in seeds
    second = run_recipe(write_recipe(tmp_path), ["training.seed=8"])
    assert first["episodes"] == second["episodes"]
    assert first["metrics"] != second["metrics"]
