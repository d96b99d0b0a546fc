"""The navigation script: its settings file, a tiny run of all four methods, that training helps, and every refusal."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
import yaml
from safetensors.torch import load_file

from hfmeta.inner import HfmetaError
from recipes.scripts import RECIPES, script

navigation = script("navigation/train.py")
TINY = [
    *("iterations=2", "tasks_per_batch=3", "trajectories=3", "test_goals=5", "test_trajectories=4", "valid_goals=3"),
    *("hidden_sizes=[6]", "baseline_rates=[0.1, 0.3]"),
]


def test_the_settings_file_has_every_key_and_no_other():
    tree = yaml.safe_load((RECIPES / "navigation" / "settings.yml").read_text(encoding="utf-8"))
    assert list(tree) == [field.name for field in dataclasses.fields(navigation.Settings)]
    assert navigation.read_settings([]) == navigation.Settings()


def test_a_tiny_run_of_all_methods(tmp_path: Path):
    said: list[str] = []
    results = navigation.main([*TINY, f"output_dir={tmp_path}"], said.append)
    assert json.loads((tmp_path / "results.json").read_text()) == results
    assert (tmp_path / "returns.png").read_bytes().startswith(b"\x89PNG")
    assert list(results["returns"]) == list(navigation.METHODS)
    assert len(said) == 4
    for found in results["returns"].values():
        assert len(found["mean"]) == len(found["ci95"]) == 4
        assert all(np.isfinite(found["mean"]))
    assert [len(results["training_curve"][name]) for name in ("maml_exact", "maml_first_order", "pretrained")] == [
        2,
        2,
        2,
    ]
    assert [len(step) for step in results["training_curve"]["maml_exact"]] == [2, 2]
    assert set(results["returns"]["random"]["validation"]) == {"0.1", "0.3"}
    assert results["returns"]["random"]["inner_lr"] in (0.1, 0.3)
    assert set(results["above_pretrained"]) == {"maml_exact", "maml_first_order"}
    assert "weights.0" in load_file(tmp_path / "maml_exact.safetensors")
    assert results["command"].startswith("python recipes/navigation/train.py iterations=2")


def test_training_is_reproducible_and_moves_the_policy_towards_returns():
    settings = dataclasses.replace(
        navigation.Settings(), iterations=25, tasks_per_batch=8, trajectories=8, hidden_sizes=[16], learning_rate=0.01
    )
    policy, curve = navigation.train(settings, [0.1], 2)
    again, repeated = navigation.train(dataclasses.replace(settings, iterations=2), [0.1], 2)
    assert np.mean(curve[-5:], axis=0)[1] > np.mean(curve[:5], axis=0)[1] + 10
    assert repeated[0] == curve[0]
    before = navigation.GaussianPolicy(hidden_sizes=[16], seed=0)
    returns = [navigation.act(settings, one, navigation.TEST, 10, [0.1])[0].mean(0) for one in (before, policy)]
    assert (returns[1] > returns[0]).all()


@pytest.mark.parametrize(
    ("words", "match"),
    [
        (["iteration=3"], r"settings.iteration: unknown key \(did you mean iterations"),
        (
            ["iterations=many", "updates=0"],
            "settings.iterations: expected a whole number, received 'many'; settings.updates",
        ),
        (["baseline_rates=[]"], "inner_lr, learning_rate and baseline_rates must be positive numbers"),
        (["inner_lr=-1"], "inner_lr, learning_rate and baseline_rates must be positive numbers"),
        (["nowhere.yml"], "expected one settings file and key=value, received 'nowhere.yml'"),
    ],
)
def test_refusals(words, match):
    with pytest.raises(HfmetaError, match=match):
        navigation.read_settings(words)
