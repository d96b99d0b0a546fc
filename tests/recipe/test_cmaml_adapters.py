"""CMAML by recipe on stock transformers, with either adapter: one step in each phase, then a saved learner that serves its users."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from hfmeta import MetaLearner
from hfmeta.recipe.running import run_recipe
from tiny import WORDS, tiny_bert, tiny_gpt2, tiny_t5, tiny_tokenizer
from tiny_recipes import SINUSOID, write_recipe

MODELS = {
    "t5": ("seq2seq-lm", lambda: tiny_t5(num_layers=1, num_decoder_layers=1)),
    "gpt2": ("causal-lm", lambda: tiny_gpt2(n_layer=1)),
    "bert": ("sequence-classification", lambda: tiny_bert(2)),
}
ADAPTERS = {
    "lora": {"type": "lora", "r": 4},
    "private_mlp": {"type": "private_mlp", "hidden_sizes": [8, 8], "gate": "full"},
}


def write_users(path: Path, classification: bool) -> Path:
    """A .jsonl of ten users with eight rows each, who answer in words of their own, or choose one of two labels."""
    rows = [
        {
            "user": f"user/{user}",
            "said": f"{WORDS[(user + i) % len(WORDS)]} my {i}",
            "reply": ("yes", "no")[(i + user) % 2] if classification else f"{WORDS[(3 * user + i) % len(WORDS)]} good",
        }
        for user in range(10)
        for i in range(8)
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


@pytest.mark.parametrize("adapt", ["all", "private"])
@pytest.mark.parametrize("adapter", ADAPTERS)
@pytest.mark.parametrize("name", MODELS)
def test_one_step_in_each_phase(tmp_path, name, adapter, adapt):
    task, build = MODELS[name]
    build().save_pretrained(tmp_path / "base")
    tiny_tokenizer().save_pretrained(tmp_path / "base")
    sections = {
        "model": {"name": str(tmp_path / "base"), "task": task},
        "adapter": ADAPTERS[adapter],
        "algorithm": {
            **{"name": "cmaml", "inner_lr": 0.1, "inner_batch_size": 2, "adapt": adapt, "keep_ratio": 0.5},
            **{"pretrain_until": 0.5, "prune_steps": 1, "test_prune_steps": 1},
        },
        "data": {
            **{"path": str(write_users(tmp_path / "rows.jsonl", name == "bert")), "task_column": "user"},
            **{"input_column": "said", "target_column": "reply", "support": 4, "query": 2},
            **{"valid_tasks": 0, "test_tasks": 2, "shares": {"train": 0.6, "valid": 0.2, "test": 0.2}},
        },
        "training": {**SINUSOID["training"], "max_steps": 2, "per_device_train_batch_size": 2, "learning_rate": 1e-2},
        "metrics": ["loss"],
    }
    results = run_recipe(write_recipe(tmp_path, sections))
    assert results["iterations"] == 2
    learned = results["learned"]
    assert 0 < learned["structure_overlap"] <= 1
    learner = MetaLearner.from_pretrained(tmp_path / "out")
    assert learner.private is not None
    assert learner.private.ready
    assert len(learner.private.store) == 7
    assert learner.private.granularity == ("rank" if adapter == "lora" else "edge")
    rows = [json.loads(line) for line in (tmp_path / "rows.jsonl").read_text(encoding="utf-8").splitlines()][-4:]
    anna = learner.adapt(rows)
    assert any(not value.all() for key, value in anna.named_parameters() if key in learner.private.thinnable)
    if adapt == "private":
        with learner.serve(tmp_path / "bank") as users:
            users.add("anna", rows)
            inputs = {key: value for key, value in learner.encoder.encode(rows).items() if value.dim()}
            with torch.no_grad():
                expected = anna(**inputs).logits
                found = users(["anna"] * len(rows), **inputs).logits
            torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)
