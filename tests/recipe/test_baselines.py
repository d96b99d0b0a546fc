"""Checks of hfmeta/recipe/baselines.py and of the defaults it has for the baselines room."""

from __future__ import annotations

import inspect
import math

import numpy as np
import pytest

from hfmeta import baselines
from hfmeta.corpora import Sinusoid
from hfmeta.episodes import EpisodeDataset, FixedEpisodes
from hfmeta.recipe.baselines import BASELINES, Bench, choices, run_baseline
from hfmeta.recipe.building import build
from hfmeta.recipe.parsing import parse_recipe
from hfmeta.recipe.running import run_baselines
from tiny import tiny_mlp
from tiny_recipes import save_tiny_bert, text_recipe, write_recipe, write_sentences


def bench(adapted_loss=None, valid=True) -> Bench:
    train = EpisodeDataset(Sinusoid(4, 4), length=20)
    return Bench(
        new_model=tiny_mlp,
        train=train,
        valid=FixedEpisodes(train, 3, seed=1) if valid else None,
        test=FixedEpisodes(train, 5),
        adapted_loss=adapted_loss or (lambda model, episodes, rate: np.full((len(episodes), 3), rate)),
        iterations=4,
        learning_rate=0.01,
        tasks_per_batch=2,
    )


def test_every_combination_of_lists_is_a_choice():
    assert list(choices({"a": [1, 2], "b": 3, "c": ["x"]})) == [{"a": 1, "b": 3, "c": "x"}, {"a": 2, "b": 3, "c": "x"}]


def test_listed_options_are_chosen_on_validation_tasks():
    seen = []

    def adapted_loss(model, episodes, rate):
        seen.append((len(episodes), rate))
        on_valid = {0.1: 2.0, 0.2: 1.0, 0.3: math.nan}[rate]
        return np.full((len(episodes), 3), on_valid if len(episodes) == 3 else rate)

    found = run_baseline("pretrained", {"inner_lr": [0.1, 0.2, 0.3]}, bench(adapted_loss), higher_is_better=False)
    assert found.options["inner_lr"] == 0.2
    assert seen == [(3, 0.1), (3, 0.2), (3, 0.3), (5, 0.2)]
    assert found.scores.shape == (5, 3)
    assert found.final.shape == (5,)
    found = run_baseline("pretrained", {"inner_lr": [0.1, 0.2]}, bench(adapted_loss), higher_is_better=True)
    assert found.options["inner_lr"] == 0.1


def test_one_value_needs_no_validation_tasks():
    assert run_baseline("pretrained", {"inner_lr": 0.1}, bench(valid=False), False).options["inner_lr"] == 0.1


def test_tasks_takes_the_first_ones():
    whole = run_baseline("no_adaptation", {}, bench(), higher_is_better=False)
    first = run_baseline("no_adaptation", {"tasks": 2}, bench(), higher_is_better=False)
    assert np.array_equal(first.scores, whole.scores[:2])
    assert "tasks" not in first.options
    assert len(run_baseline("no_adaptation", {"tasks": 99}, bench(), False).scores) == 5


def test_fine_tuning_of_numbers_reduces_their_loss():
    options = {"steps": 30, "lr": 0.02, "optimizer": "adamw"}
    tuned = run_baseline("fine_tuning", options, bench(), higher_is_better=False)
    assert tuned.scores.mean() < run_baseline("no_adaptation", {}, bench(), False).scores.mean()


def test_classifiers_run_on_a_recipe_and_share_features(tmp_path, monkeypatch):
    model = save_tiny_bert(tmp_path / "bert")
    path = write_recipe(tmp_path, text_recipe(model, write_sentences(tmp_path / "rows.jsonl")))
    ncm = "{frozen_ncm: {metric: [euclidean, cosine]}}"
    named = f"baselines=[{ncm}, frozen_logreg, {{fine_tuning: {{steps: 1, tasks: 2}}}}, no_adaptation]"
    built = build(parse_recipe(path, [named]))
    calls, true = [], baselines.frozen_features
    monkeypatch.setattr(baselines, "frozen_features", lambda *a: calls.append(1) or true(*a))
    found = run_baselines(built, built.learner.model.device)
    assert list(found) == ["frozen_ncm", "frozen_logreg", "fine_tuning", "no_adaptation"]
    assert [len(one.scores) for one in found.values()] == [4, 4, 2, 4]
    assert all(((one.scores >= 0) & (one.scores <= 1)).all() for one in found.values())
    assert found["frozen_ncm"].options["metric"] in ("euclidean", "cosine")
    assert len(calls) == 2, "features of validation and test episodes, once each"


@pytest.mark.parametrize(
    ("name", "function", "given"),
    [
        ("frozen_ncm", baselines.nearest_class_mean, {"features"}),
        ("frozen_logreg", baselines.logistic_regression, {"features"}),
        ("fine_tuning", baselines.fine_tuning, {"model", "episodes"}),
        ("no_adaptation", baselines.no_adaptation, {"model", "episodes"}),
    ],
)
def test_options_are_those_of_the_function(name, function, given):
    accepted = set(inspect.signature(function).parameters) - given
    assert set(BASELINES[name].options) - {"tasks"} == accepted
