"""A recipe whose rule has gates: their course in results.json, the plot, and the same again from the checkpoint."""

from __future__ import annotations

import json

from hfmeta.recipe import run_recipe
from hfmeta.recipe.evaluating import evaluate_checkpoint
from tiny_recipes import write_recipe


def test_a_run_whose_rule_has_gates_leaves_their_course_and_a_plot(tmp_path):
    path = write_recipe(tmp_path, algorithm={"name": "lstm", "inner_steps": 2, "test_inner_steps": 3, "inner_lr": 0.01})
    results = run_recipe(path)
    gates = results["gates"]
    assert gates["tasks"] == 8
    assert len(gates["input"]["mean"]) == len(gates["forget"]["tensors"]["layers.0.weight"]) == 3
    assert json.loads((tmp_path / "out" / "results.json").read_text(encoding="utf-8"))["gates"] == gates
    assert (tmp_path / "out" / "gates.png").stat().st_size > 1000
    assert "(gates.png)" in (tmp_path / "out" / "README.md").read_text(encoding="utf-8")
    assert evaluate_checkpoint(str(tmp_path / "out"))["gates"] == gates


def test_a_run_without_gates_has_no_word_of_them(tmp_path):
    assert "gates" not in run_recipe(write_recipe(tmp_path))
    assert not (tmp_path / "out" / "gates.png").exists()
    assert "gates.png" not in (tmp_path / "out" / "README.md").read_text(encoding="utf-8")
