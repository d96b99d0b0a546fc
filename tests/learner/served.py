"""Tiny learners whose tasks own private tensors alone, of every kind that can be served; for the tests of serving and publishing."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from hfmeta import Cmaml, MetaLearner
from private import MODELS, private
from tiny import random_batch, tiny_bert, tiny_gpt2, tiny_lstm, tiny_t5, with_lora

KINDS: dict[str, tuple[Any, str]] = {
    "seq2spg": (tiny_lstm, "seq2seq-lm"),
    "bert-lora": (lambda: with_lora(tiny_bert(), r=4), "sequence-classification"),
    "gpt2-lora": (lambda: with_lora(tiny_gpt2(), r=4), "causal-lm"),
    "t5-lora": (lambda: with_lora(tiny_t5(), r=4), "seq2seq-lm"),
    "bert-mlp": (lambda: private(tiny_bert(), hidden_sizes=[24, 24]), "sequence-classification"),
    "gpt2-mlp": (lambda: private(tiny_gpt2(), hidden_sizes=[24, 24]), "causal-lm"),
    "t5-mlp": (lambda: private(tiny_t5(), hidden_sizes=[24, 24]), "seq2seq-lm"),
    "seq2spg-mlp": (lambda: private(tiny_lstm()), "seq2seq-lm"),
}
USERS = ["anna ✿", "../bob", "cleo"]
"""Ids with spaces, symbols and slashes."""


def served_learner(name: str, **options: Any) -> MetaLearner:
    """A pruned learner of that kind, with `adapt="private"`; half of every thinnable layer, or of the ranks, stays."""
    choices = {"adapt": "private", "keep_ratio": 0.5, "inner_lr": 0.5, "prune_steps": 2, "inner_batch_size": 2}
    learner = MetaLearner(KINDS[name][0](), Cmaml(**{**choices, **options}))
    assert learner.private is not None
    learner.private.begin([])
    learner.private.finish()
    return learner.eval()


def rows_of_user(name: str, user: str, count: int = 4) -> dict[str, Tensor]:
    """A user's support rows, `[count, ...]`, of three tokens at least; other users have others."""
    batch = random_batch(KINDS[name][1], T=1, S=count, Q=1, seed=sum(map(ord, user)))
    rows = {key: value[0] for key, value in batch["support"].items()}
    rows["input_ids"][:, :3] += 5 * (1 - rows["attention_mask"][:, :3])
    rows["attention_mask"][:, :3] = 1
    if KINDS[name][1] == "causal-lm":
        rows["labels"] = rows["input_ids"].masked_fill(rows["attention_mask"] == 0, -100)
    return rows


def questions(name: str, count: int = 6, seed: int = 9) -> dict[str, Tensor]:
    """Inputs `[count, ...]` without labels (seq2seq: with the decoder's)."""
    rows = rows_of_user(name, "x" * seed, count)
    labels = rows.pop("labels")
    if KINDS[name][1] == "seq2seq-lm":
        rows["decoder_input_ids"] = labels.clamp_min(1)
    return rows


def base_of(name: str) -> Any:
    """The model that a published adapter is loaded on, without any adapter."""
    return MODELS[name.split("-")[0]][0]().eval()


def answers(model: Any, rows: dict[str, Tensor]) -> Tensor:
    """Logits, without a gradient."""
    with torch.no_grad():
        return model(**rows).logits
