"""recipes/omniglot/table.py on made-up results: rows with and without a run, copies of runs, one hash of episodes."""

from __future__ import annotations

import json

import pytest

from hfmeta.inner.errors import HfmetaError
from recipes.scripts import script


def results(accuracy, sha="a", **algorithm):
    """What the table reads of a run."""
    return {
        "algorithm": {"inner_steps": 1, "test_inner_steps": None, "inner_batch_size": None, **algorithm},
        "hyper_parameters": {"training": {"per_device_train_batch_size": 8, "lr_scheduler_type": "cosine"}},
        "metrics": {"accuracy": {"mean": accuracy, "ci95": 0.01, "tasks": 600}},
        "episodes": {"sha256": sha},
        "iterations": 4000,
        "seconds": {"per_iteration": 0.25},
        "world_size": 2,
        "seed": 1,
        "device": "cpu",
    }


def test_rows_with_and_without_a_run(tmp_path):
    target, runs = tmp_path / "results", tmp_path / "runs"
    (runs / "reptile_5way_1shot_seed1").mkdir(parents=True)
    (runs / "something else").mkdir()
    own = results(0.95, inner_batch_size=10, test_inner_steps=50)
    (runs / "reptile_5way_1shot_seed1" / "results.json").write_text(json.dumps(own))
    target.mkdir()
    (target / "maml_5way_1shot_seed1.json").write_text(json.dumps(results(0.99)))
    (target / "maml_20way_1shot_seed1.json").write_text(json.dumps(results(0.9, sha="b")))
    script("omniglot/table.py").main(target, runs)
    assert (target / "reptile_5way_1shot_seed1.json").is_file()
    table = json.loads((target / "table.json").read_text())
    assert table["5way_1shot"][0]["accuracy"]["mean"] == 0.99
    assert table["5way_1shot"][0]["published"]["mean"] == 98.7
    assert table["5way_1shot"][0]["tasks_per_step"] == 16
    text = (target / "table.md").read_text()
    assert "| MAML | 1 / 1 | 16 | 4,000 | 99.0 ± 1.0 | 98.7 ± 0.4 | 0.25 |" in text
    assert "| Reptile | 1 / 50 passes of 10 rows | 16 | 4,000 | 95.0 ± 1.0 | 97.68 ± 0.04 | 0.25 |" in text
    assert "| implicit MAML |  |  | not run |  | 99.16 ± 0.35 |  |" in text
    assert "| MAML | 1 / 1 | 16 | 4,000 | 90.0 ± 1.0 | 95.8 ± 0.3 | 0.25 |" in text


def test_rows_without_meta_learning_stand_below(tmp_path):
    scored = {"mean": 0.9, "ci95": 0.01, "tasks": 600, "options": {}}
    baselines = {"frozen_ncm": scored, "frozen_logreg": scored, "fine_tuning": scored | {"options": {"steps": 50}}}
    training = {"images_per_step": 128, "steps": 4000, "seconds": 800, "seed": 1}
    ordinary = {"baselines": baselines, "training": training, "device": "cpu", "episodes": {"sha256": "a"}}
    (tmp_path / "ordinary_training_5way_1shot.json").write_text(json.dumps(ordinary))
    (tmp_path / "maml_5way_1shot_seed1.json").write_text(json.dumps(results(0.99)))
    script("omniglot/table.py").main(tmp_path, None)
    text = (tmp_path / "table.md").read_text()
    assert "| ordinary training, nearest class mean | — | 128 images | 4,000 | 90.0 ± 1.0 | — | 0.20 |" in text
    assert "| ordinary training, fine-tuning | — / 50 | 128 images | 4,000 | 90.0 ± 1.0 | — | 0.20 |" in text
    ordinary["episodes"]["sha256"] = "b"
    (tmp_path / "ordinary_training_5way_1shot.json").write_text(json.dumps(ordinary))
    with pytest.raises(HfmetaError, match="were not tested on the same episodes"):
        script("omniglot/table.py").main(tmp_path, None)


def test_other_episodes_are_refused(tmp_path):
    (tmp_path / "maml_5way_1shot_seed1.json").write_text(json.dumps(results(0.99)))
    (tmp_path / "anil_5way_1shot_seed1.json").write_text(json.dumps(results(0.9, sha="b")))
    with pytest.raises(HfmetaError, match="5way_1shot: the runs were not tested on the same episodes"):
        script("omniglot/table.py").main(tmp_path, None)
