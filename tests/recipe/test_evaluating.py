"""Checks of hfmeta/recipe/evaluating.py: a checkpoint is tested on its own."""

from __future__ import annotations

import json
import shutil

import pytest
import torch

from hfmeta import Cmaml, Maml, MetaLearner
from hfmeta.inner.errors import HfmetaError
from hfmeta.recipe import evaluate_checkpoint, run_recipe
from hfmeta.recipe.errors import RecipeError
from hfmeta.recipe.evaluating import take_test_options, with_steps
from tiny import random_batch, tiny_lstm, tiny_mlp
from tiny_recipes import save_tiny_bert, text_recipe, write_recipe, write_sentences


@pytest.fixture(scope="module")
def sinusoid(tmp_path_factory):
    room = tmp_path_factory.mktemp("sinusoid")
    return str(room / "out"), run_recipe(write_recipe(room))


@pytest.fixture(scope="module")
def text(tmp_path_factory):
    room = tmp_path_factory.mktemp("text")
    sections = text_recipe(save_tiny_bert(room / "bert"), write_sentences(room / "rows.jsonl"))
    return str(room / "out"), run_recipe(write_recipe(room, sections)), room


def test_it_repeats_the_test_of_the_run(sinusoid, text):
    for folder, results, *_ in (sinusoid, text):
        found = evaluate_checkpoint(folder)
        assert found["checkpoint"] == folder
        assert found["episodes"] == results["episodes"]
        for name, entry in results["metrics"].items():
            assert found["metrics"][name]["mean"] == pytest.approx(entry["mean"], rel=1e-5, abs=1e-6)
        assert found["seconds"]["test"] > 0
        assert found["baselines"] == {}


def test_episodes_seed_and_steps_can_be_chosen(sinusoid):
    folder, results = sinusoid
    found = evaluate_checkpoint(folder, ["algorithm.test_inner_steps=5", "data.test_support=3"], episodes=6, seed=2)
    assert found["episodes"]["count"] == 6
    assert found["episodes"]["seed"] == 2
    assert found["episodes"]["sha256"] != results["episodes"]["sha256"]
    assert len(found["adaptation_curve"]["mse"]["mean"]) == 6
    again = evaluate_checkpoint(folder, ["algorithm.test_inner_steps=5", "data.test_support=3"], episodes=6, seed=2)
    assert again["metrics"] == found["metrics"]


def test_baselines_and_metrics_can_be_asked_for(text):
    folder, *_ = text
    found = evaluate_checkpoint(folder, ["baselines=[frozen_ncm]", "metrics=[loss]", "data.test_query=1"])
    assert list(found["metrics"]) == ["loss", "loss_before", "loss_gain"]
    assert found["baselines"]["frozen_ncm"]["metric"] == "accuracy"


def test_what_was_learned_cannot_be_changed(sinusoid):
    folder, _ = sinusoid
    with pytest.raises(RecipeError) as caught:
        evaluate_checkpoint(folder, ["algorithm.inner_lr=1", "model.name=x", "~adapter", "training.max_steps=3"])
    assert len(caught.value.problems) == 4
    assert all("a trained learner is tested as it is" in problem for problem in caught.value.problems)
    with pytest.raises(RecipeError, match="data.test_taks: unknown key"):
        evaluate_checkpoint(folder, ["data.test_taks=1"])


def test_other_data_may_be_named_but_the_same_must_not_be_split_otherwise(text, tmp_path):
    folder, _, room = text
    other = write_sentences(tmp_path / "other.jsonl", classes=12)
    assert evaluate_checkpoint(folder, [f"data.path={other}"], episodes=2)["episodes"]["count"] == 2
    assert evaluate_checkpoint(folder, ["data.split_seed=9"], episodes=2)["episodes"]["count"] == 2
    kept = (room / "rows.jsonl").read_bytes()
    try:
        write_sentences(room / "rows.jsonl", classes=11)
        with pytest.raises(HfmetaError, match="are split otherwise now"):
            evaluate_checkpoint(folder)
    finally:
        (room / "rows.jsonl").write_bytes(kept)


def test_a_learner_without_recipe_is_refused(tmp_path):
    MetaLearner(tiny_mlp(), Maml()).save_pretrained(tmp_path / "plain")
    with pytest.raises(HfmetaError, match="was saved without a recipe"):
        evaluate_checkpoint(str(tmp_path / "plain"))
    (tmp_path / "empty").mkdir()
    with pytest.raises(HfmetaError, match="hfmeta_config"):
        evaluate_checkpoint(str(tmp_path / "empty"))


def test_the_base_need_not_be_there(text, tmp_path):
    folder, results, room = text
    moved = tmp_path / "moved"
    shutil.move(room / "bert", moved)
    try:
        found = evaluate_checkpoint(folder)
        assert found["metrics"]["accuracy"]["mean"] == pytest.approx(results["metrics"]["accuracy"]["mean"])
    finally:
        shutil.move(moved, room / "bert")


def test_the_number_of_steps_is_checked():
    learner = MetaLearner(tiny_mlp(), Maml(inner_steps=2))
    with_steps(learner, 7)
    assert learner.algorithm == Maml(inner_steps=2, test_inner_steps=7)
    with pytest.raises(HfmetaError, match="test_inner_steps must be a whole number"):
        with_steps(learner, -1)


def test_only_test_options_are_taken_over():
    learner = MetaLearner(tiny_mlp(), Maml(inner_steps=2, inner_lr=0.3))
    take_test_options(learner, Maml(inner_steps=1, inner_lr=0.1, test_inner_steps=9, tasks_per_pass=2))
    assert learner.algorithm == Maml(inner_steps=2, inner_lr=0.3, test_inner_steps=9, tasks_per_pass=2)


def test_passes_before_pruning_can_be_chosen():
    """A learner that has pruned cuts new tasks out after as many passes as its options now say."""
    learner = MetaLearner(tiny_lstm(), Cmaml(inner_lr=0.1, keep_ratio=0.5, prune_lr=0.1, test_prune_steps=1))
    assert learner.private is not None
    learner.private.ready = True
    rows = random_batch("seq2seq-lm", 1, 4)["support"]
    rows = {name: value[0] for name, value in rows.items()}
    few = learner.adapt(rows)
    take_test_options(learner, Cmaml(test_prune_steps=5))
    many = learner.adapt(rows)
    assert any(not torch.equal(a, b) for a, b in zip(few.parameters(), many.parameters(), strict=True))
    take_test_options(learner, Cmaml(test_prune_steps=1))
    again = learner.adapt(rows)
    assert all(torch.equal(a, b) for a, b in zip(few.parameters(), again.parameters(), strict=True))


def test_the_checkpoint_carries_its_recipe(text):
    folder, *_ = text
    with open(f"{folder}/hfmeta_config.json", encoding="utf-8") as file:
        info = json.load(file)["info"]
    assert info["data"]["label_column"] == "label"
    assert info["metrics"] == ["accuracy", "loss"]


def test_trained_on_more_ways_than_are_tested(tmp_path):
    """The head has a row for each way of training; in a test, rows without a class are never answered."""
    sections = text_recipe(save_tiny_bert(tmp_path / "bert"), write_sentences(tmp_path / "rows.jsonl", classes=12))
    sections["data"] |= {"n_way": 2, "train_n_way": 4, "train_k_shot": 1}
    run = run_recipe(write_recipe(tmp_path, sections))
    folder = str(tmp_path / "out")
    learner = MetaLearner.from_pretrained(folder)
    assert learner.config.num_labels == 4
    repeated = evaluate_checkpoint(folder)
    assert repeated["metrics"]["accuracy"] == run["metrics"]["accuracy"]
    assert run["metrics"]["loss"]["mean"] < 3, "a phantom class would cost more than a wrong answer between two"
    assert evaluate_checkpoint(folder, ["data.n_way=3"])["metrics"]["accuracy"]["tasks"] == 4
    more = write_sentences(tmp_path / "more.jsonl", classes=30)
    with pytest.raises(HfmetaError, match="data.n_way=5 is more than the 4 classes"):
        evaluate_checkpoint(folder, ["data.n_way=5", "data.train_n_way=5", "data.path=" + str(more)])


def test_more_ways_in_training_need_heads_made_by_each_task(tmp_path):
    sections = text_recipe(save_tiny_bert(tmp_path / "bert"), write_sentences(tmp_path / "rows.jsonl", classes=12))
    sections["data"] |= {"n_way": 2, "train_n_way": 4}
    sections["algorithm"] |= {"head": "shared"}
    with pytest.raises(HfmetaError, match='train_n_way=4 with n_way=2.*not "shared"'):
        run_recipe(write_recipe(tmp_path, sections))
