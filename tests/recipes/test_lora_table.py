"""Runs recipes/persona/lora_table.py and choose_lora_rates.py on small files, from a T5 that is drawn to Markdown."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from recipes.scripts import script
from tiny_dialogues import write_synthetic

ROOT = Path(__file__).resolve().parents[2]
NAMES = ["t5", "t5_lora", "t5_lora_f", "maml_t5_lora", "cmaml_t5_lora"]


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """The folder of a quick table, and its words."""
    room = tmp_path_factory.mktemp("persona")
    write_synthetic(room / "synthetic_persona_chat", users=24, rounds=4, turns=4)
    sizes = ["data.max_support_rows=4", "data.max_query_rows=2", "data.valid_tasks=2", "data.too_small=drop"]
    shares = "data.shares={train: 0.5, valid: 0.25, test: 0.25}"
    quiet = ["training.report_to=none", "training.disable_tqdm=true", "training.warmup_steps=0"]
    words = ["--output", str(room / "out"), "--set", f"data.root={room}", shares, "data.query=1", *sizes, *quiet]
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(ROOT)  # recipes name the T5's folder from there
        small = ["--steps", "2", "--test-tasks", "4", "--beams", "2", "--max-new-tokens", "3"]
        page = script("persona/lora_table.py").main([*words, *small])
    return room / "out", words, page.read_text(encoding="utf-8")


def test_every_row_has_its_recipe(monkeypatch):
    methods = script("persona/lora_table.py").METHODS
    assert [method.name for method in methods] == NAMES
    for method in methods:
        assert (ROOT / "recipes" / "persona" / f"{method.recipe}.yaml").is_file()
        assert set(method.against) <= set(NAMES)


def test_the_table_has_all_rows_and_their_differences(made):
    output, _, text = made
    rows = {name: json.loads((output / "rows" / "main" / f"{name}_seed0.json").read_text()) for name in NAMES}
    assert len({row["episodes"]["sha256"] for row in rows.values()}) == 1
    assert "CMAML-T5-LoRA, adapt=private minus MAML-T5-LoRA" in text
    assert "MAML-T5-LoRA minus T5-LoRA-F" in text
    assert "T5-LoRA-F minus T5-LoRA" in text
    assert "published" not in text
    assert "with lora (target_modules ['q', 'v'], r 16" in text
    assert "overlap" in rows["cmaml_t5_lora"]["metrics"]
    assert rows["t5"]["metrics"]["diff"]["mean"] == rows["t5_lora"]["metrics"]["diff"]["mean"] == 0
    assert rows["t5_lora_f"]["metrics"]["delta"]["mean"] > 0
    assert rows["maml_t5_lora"]["sizes"]["model"]["name"] == "models/t5_seed0/checkpoint-2"


def test_choices_are_tried_on_validation_personas_alone(made, monkeypatch, capsys):
    output, words, _ = made
    monkeypatch.chdir(ROOT)
    monkeypatch.syspath_prepend(str(ROOT / "recipes" / "persona"))
    tries = ["--try", "algorithm.inner_lr=0.1", "--try", "algorithm.inner_lr=1e-6", "algorithm.prune_lr=0.1"]
    chosen = [
        "--method",
        "cmaml_t5_lora",
        "--learner",
        "maml_t5_lora",
        "--passes",
        "2",
        "--test-tasks",
        "4",
        "--steps",
        "2",
        *tries,
    ]
    found = script("persona/choose_lora_rates.py").main([*words[:2], *chosen, *words[2:]])
    assert found["learner"] == "maml_t5_lora"
    assert [one["choice"] for one in found["tried"]] == [[tries[1]], tries[3:]]
    assert all(one["episodes"]["count"] == 4 and len(one["loss"]) == 3 for one in found["tried"])
    assert all(0 < one["overlap"] <= 1 for one in found["tried"])
    assert found["best"]["loss"] == min(value for one in found["tried"] for value in one["loss"][1:])
    assert json.loads((output / "choice_cmaml_t5_lora.json").read_text())["best"] == found["best"]
    capsys.readouterr()
