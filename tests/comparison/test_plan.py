"""Where runs lie, what they start from, and what is refused; training itself is in tests/recipes/test_table.py."""

from __future__ import annotations

import pytest

from hfmeta.comparison import Method, Plan, make_row
from hfmeta.inner.errors import HfmetaError
from tiny_recipes import write_recipe

MAML = Method("maml", "MAML", "maml", overrides=("algorithm.inner_lr=0.5",), start="pooled")


def plan_of(tmp_path, **options) -> Plan:
    return Plan(tmp_path, tmp_path / "out", **options)


def test_a_run_starts_from_the_last_checkpoint_of_its_start(tmp_path):
    plan = plan_of(tmp_path, overrides=("data.seed=3",))
    for step in (20, 100):
        (plan.folder("pooled", 4) / f"checkpoint-{step}").mkdir(parents=True)
    words = plan.words(MAML, 4)
    assert words == [
        *("data.seed=3", "algorithm.inner_lr=0.5", "training.seed=4"),
        f"model.name={tmp_path / 'out' / 'models' / 'pooled_seed4' / 'checkpoint-100'}",
    ]


def test_without_a_checkpoint_there_is_no_start(tmp_path):
    with pytest.raises(HfmetaError, match="no checkpoint to start from"):
        plan_of(tmp_path).words(MAML, 0)


def test_from_scratch_takes_the_network_of_the_start(tmp_path):
    write_recipe(tmp_path, name="pooled.yaml")
    plan = plan_of(tmp_path, from_scratch=True)
    write_recipe(tmp_path, name="maml.yaml", model={"name": "out/pooled/checkpoint-3"})
    assert "model.name=hfmeta-mlp" in plan.words(MAML, 0)
    (tmp_path / "pooled.yaml").unlink()
    write_recipe(tmp_path, name="maml.yaml")
    assert "model.name=hfmeta-mlp" in plan.words(MAML, 0), "a recipe that names its network needs no other"


def test_steps_also_set_where_the_start_is_saved(tmp_path):
    words = plan_of(tmp_path, steps=10).words(Method("pooled", "Pooled", "pooled"), 0)
    assert {"training.max_steps=10", "training.save_steps=10"} <= set(words)


def test_a_plan_is_kept_and_held_to(tmp_path):
    plan_of(tmp_path, overrides=("data.root=here", "data.seed=1")).settle()
    plan_of(tmp_path, overrides=("data.root=there", "data.seed=1")).settle()
    with pytest.raises(HfmetaError, match=r"from_scratch False \(now True\)"):
        plan_of(tmp_path, overrides=("data.seed=1",), from_scratch=True).settle()


def test_an_unknown_setting_is_named(tmp_path):
    with pytest.raises(HfmetaError, match="unknown setting 'alike'; known: main, long, whole"):
        make_row(plan_of(tmp_path), MAML, setting="alike")
