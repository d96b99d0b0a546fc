"""Checks of hfmeta/recipe/listing.py."""

from __future__ import annotations

from pathlib import Path

from hfmeta.recipe.listing import inventory
from tiny_recipes import write_recipe


def test_everything_a_recipe_can_name(tmp_path):
    (tmp_path / "deep").mkdir()
    write_recipe(tmp_path / "deep")
    write_recipe(tmp_path, data={"corpus": None, "path": {"train": "a.csv", "test": "b.csv"}}, name="files.yaml")
    (tmp_path / "broken.yaml").write_text("a: [", encoding="utf-8")
    (tmp_path / "odd.yaml").write_text("algorithm: 3\n", encoding="utf-8")
    found = inventory(tmp_path)
    assert {"maml", "anil", "meta_sgd", "maml_plus_plus"} <= {entry["name"] for entry in found["algorithms"]}
    maml = next(entry for entry in found["algorithms"] if entry["name"] == "maml")
    assert maml["package"] == "hfmeta"
    assert maml["version"]
    assert maml["summary"].startswith("MAML")
    assert [
        (entry["name"].removeprefix(f"{tmp_path}/"), entry["algorithm"], entry["data"]) for entry in found["recipes"]
    ] == [
        ("broken.yaml", None, None),
        ("deep/recipe.yaml", "maml", "sinusoid"),
        ("files.yaml", "maml", "a.csv, b.csv"),
        ("odd.yaml", None, None),
    ]
    assert [entry["name"] for entry in found["metrics"]] == ["accuracy", "mse", "loss"]
    modules = {entry["name"]: entry["summary"] for entry in found["modules"]}
    assert {"task_perplexity", "dialogue_bleu", "distinct_n", "c_score", "e_acc", "task_accuracy"} <= set(modules)
    assert modules["task_perplexity"] == "Perplexity averaged over tasks (macro) and over tokens (micro)."
    assert all((Path(entry["path"]) / f"{entry['name']}.py").is_file() for entry in found["modules"])
    assert {"name", "summary", "options", "tasks"} == set(found["baselines"][0])


def test_no_folder_is_no_recipe(tmp_path):
    assert inventory(tmp_path / "nowhere")["recipes"] == []
