"""Tiny models with private adapters, their inputs, and two folders of adapters; for the tests of private adapters."""

from __future__ import annotations

from typing import Any

import torch
from peft import get_peft_model
from torch import Tensor

from hfmeta.adapters.private_mlp import PrivateMlpConfig
from tiny import random_batch, seeded, tiny_bert, tiny_gpt2, tiny_lstm, tiny_t5, tiny_vit

MODELS: dict[str, tuple[Any, str]] = {
    "bert": (tiny_bert, "sequence-classification"),
    "gpt2": (tiny_gpt2, "causal-lm"),
    "t5": (tiny_t5, "seq2seq-lm"),
    "vit": (tiny_vit, "image-classification"),
    "seq2spg": (tiny_lstm, "seq2seq-lm"),
}


def rows_of(name: str, seed: int = 0, count: int = 6, dtype: torch.dtype = torch.float32) -> dict[str, Tensor]:
    """`count` rows that a model of `MODELS` reads, with labels."""
    batch = random_batch(MODELS[name][1], T=1, S=count, Q=1, dtype=dtype, seed=seed)
    return {key: value[0] for key, value in batch["support"].items()}


def private(model: Any, seed: int = 0, adapter: str = "default", **options: Any) -> Any:
    """A model with a private adapter that starts random, unless told otherwise."""
    config = PrivateMlpConfig(**{"init_weights": False, "hidden_sizes": [8], **options})
    return seeded(
        lambda: get_peft_model(model, config, adapter_name=adapter), seed, next(model.parameters()).dtype
    ).eval()


def add(model: Any, adapter: str, seed: int = 1, **options: Any) -> Any:
    """Another random adapter on the same model."""
    config = PrivateMlpConfig(**{"init_weights": False, "hidden_sizes": [8], **options})
    return seeded(lambda: (model.add_adapter(adapter, config), model)[1], seed, next(model.parameters()).dtype).eval()


def logits(model: Any, rows: dict[str, Tensor], **options: Any) -> Tensor:
    """A model's answer, without a gradient."""
    with torch.no_grad():
        return model(**rows, **options).logits


def prune(model: Any, seed: int = 0, keep: float = 0.2) -> None:
    """Set most entries of every private weight to zero (of either sign), as masks on values do."""
    dice = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, value in model.named_parameters():
            if ".mlp.layers." in name and value.dim() == 2:
                value.mul_(torch.rand(value.shape, generator=dice) < keep)
