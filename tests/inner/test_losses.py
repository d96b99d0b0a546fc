"""Per-task losses equal the stock losses of transformers, task by task."""

from __future__ import annotations

import pytest
import torch

from hfmeta.inner import HfmetaError
from hfmeta.inner.losses import task_accuracies, task_losses
from tiny import random_batch, tiny_bert, tiny_gpt2, tiny_mlp, tiny_t5

CASES = [
    ("classification", tiny_bert, "sequence-classification"),
    ("regression", tiny_mlp, "regression"),
    ("causal-lm", tiny_gpt2, "causal-lm"),
    ("tokens", tiny_t5, "seq2seq-lm"),
]


@pytest.mark.parametrize(("kind", "build", "task_type"), CASES)
def test_losses_equal_the_stock_losses_of_each_task(kind, build, task_type):
    model, support = build().eval(), random_batch(task_type, T=3)["support"]
    if kind == "classification":
        support["labels"][0, 0] = -100
    with torch.no_grad():
        outputs = [model(**{name: rows[t] for name, rows in support.items()}) for t in range(3)]
    expected = torch.stack([output.loss for output in outputs])
    found = task_losses(kind, torch.stack([output.logits for output in outputs]), support["labels"])
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-6)


def test_accuracy_does_not_count_padding():
    logits = torch.tensor([[[1.0, 0.0], [0.0, 1.0], [1.0, 0.0]]])
    assert task_accuracies(logits, torch.tensor([[0, 0, -100]])).tolist() == [0.5]


def test_an_unknown_kind_is_refused():
    with pytest.raises(HfmetaError, match="no per-task loss of kind 'ranking'; there are classification"):
        task_losses("ranking", torch.zeros(1, 2, 3), torch.zeros(1, 2))
