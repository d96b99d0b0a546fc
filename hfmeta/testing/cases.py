"""The tiny random models of the conformance kit, the batches they read, and learners that all start alike.

Not here: what is promised (promises.py).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from transformers import BertConfig, BertForSequenceClassification, GPT2Config, GPT2LMHeadModel

from hfmeta.algorithms import Algorithm
from hfmeta.inner.errors import HfmetaError
from hfmeta.learner import MetaLearner
from hfmeta.models import MlpConfig, MlpForRegression

MODELS = ("mlp", "bert", "gpt2", "bert-lora")
"""A regression MLP, BERT sequence classification, a GPT-2 language model, and the BERT with a LoRA."""

Batch = dict[str, Any]
TASKS, SUPPORT, QUERY, LENGTH, CLASSES, VOCABULARY = 3, 6, 4, 5, 3, 20
GPT2_OPTIONS: dict[str, Any] = {
    "vocab_size": VOCABULARY,
    "n_embd": 8,
    "n_layer": 1,
    "n_head": 2,
    "n_positions": 8,
    "resid_pdrop": 0.0,
    "embd_pdrop": 0.0,
    "attn_pdrop": 0.0,
    "initializer_range": 0.3,
    "bos_token_id": 1,
    "eos_token_id": 1,
}
BERT_OPTIONS: dict[str, Any] = {
    "vocab_size": VOCABULARY,
    "hidden_size": 8,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "intermediate_size": 8,
    "max_position_embeddings": 8,
    "hidden_dropout_prob": 0.0,
    "attention_probs_dropout_prob": 0.0,
    "initializer_range": 0.3,
    "num_labels": CLASSES,
}


class Case:
    """One model of the kit with an algorithm: learners that start alike, and batches for them.

    Args:
        name: one of `MODELS`.
        algorithm: its options; `learner` may change some.

    Raises:
        HfmetaError: no such model.
    """

    def __init__(self, name: str, algorithm: Algorithm):
        if name not in MODELS:
            raise HfmetaError(f"the conformance kit has no model {name!r}; choose from {', '.join(MODELS)}.")
        self.name, self.algorithm = name, algorithm

    @property
    def double(self) -> bool:
        """Whether the loss is computed in double; transformers computes that of a causal language model in single."""
        return self.name != "gpt2"

    @property
    def tolerance(self) -> float:
        """By how much figures may differ, relative to the largest, that mathematics says are equal."""
        return 1e-9 if self.double else 1e-5

    def __str__(self) -> str:
        return f"{type(self.algorithm).__name__} on {self.name}"

    def learner(self, **changes: Any) -> MetaLearner:
        """A new learner in double precision; every call gives the same weights."""
        with _seeded():
            model = _model(self.name).double()
            return MetaLearner(model, dataclasses.replace(self.algorithm, **changes)).train()

    def batch(self, seed: int = 0) -> Batch:
        """T tasks; token rows of unequal length, each class in every support set."""
        dice = torch.Generator().manual_seed(seed)
        return {
            "support": _rows(self.name, SUPPORT, dice),
            "query": _rows(self.name, QUERY, dice),
            "task": torch.arange(TASKS),
        }


@contextmanager
def _seeded(seed: int = 0) -> Iterator[None]:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        yield


def _model(name: str) -> Any:
    if name == "mlp":
        return MlpForRegression(MlpConfig(hidden_sizes=[6, 6], init_std=0.5))
    if name == "gpt2":
        return GPT2LMHeadModel(GPT2Config(**GPT2_OPTIONS))
    model = BertForSequenceClassification(BertConfig(**BERT_OPTIONS))
    if name == "bert-lora":
        from peft import LoraConfig, get_peft_model

        # B starts random: at zero, the first gradient of A would be zero and prove nothing.
        lora = LoraConfig(
            r=2, target_modules=["query", "value"], modules_to_save=["classifier"], init_lora_weights=False
        )
        return get_peft_model(model, lora)
    for weight_name, weight in model.named_parameters():
        # The bias of a key adds the same to every score of a row, which a softmax does not see: its gradient is zero.
        weight.requires_grad_(not weight_name.endswith("key.bias"))
    return model


def _rows(name: str, rows: int, dice: torch.Generator) -> dict[str, Tensor]:
    if name == "mlp":
        inputs = torch.randn(TASKS, rows, 1, generator=dice, dtype=torch.float64)
        phases = 3 * torch.rand(TASKS, 1, 1, generator=dice, dtype=torch.float64)
        return {"inputs": inputs, "labels": torch.sin(2 * inputs + phases)}
    lengths = torch.randint(2, LENGTH + 1, (TASKS, rows), generator=dice)
    lengths[0, 0] = LENGTH
    mask = (torch.arange(LENGTH) < lengths.unsqueeze(-1)).long()
    ids = torch.randint(2, VOCABULARY, (TASKS, rows, LENGTH), generator=dice) * mask
    if name == "gpt2":
        labels = ids.masked_fill(mask == 0, -100)
    else:
        labels = torch.stack([torch.randperm(rows, generator=dice) % CLASSES for _ in range(TASKS)])
    return {"input_ids": ids, "attention_mask": mask, "labels": labels}
