"""The ready additive mask gives the numbers of the models' own masks."""

from __future__ import annotations

import pytest
import torch

from hfmeta.inner.attention import additive_mask, twice_differentiable
from tiny import random_batch, tiny_bert, tiny_gpt2


@pytest.mark.parametrize("attention", ["sdpa", "eager"])
@pytest.mark.parametrize(
    ("build", "task_type", "causal"),
    [(tiny_bert, "sequence-classification", False), (tiny_gpt2, "causal-lm", True)],
)
def test_the_mask_equals_the_models_own(build, task_type, causal, attention):
    model = build(attn_implementation=attention).eval()
    rows = {name: value[0] for name, value in random_batch(task_type)["support"].items()}
    ready = {**rows, "attention_mask": additive_mask(rows["attention_mask"], causal, torch.float32)}
    with torch.no_grad():
        torch.testing.assert_close(model(**ready).loss, model(**rows).loss, rtol=1e-5, atol=1e-6)


def test_only_the_mathematical_kernel_has_a_second_derivative():
    x = torch.randn(1, 2, 3, 4, requires_grad=True)
    with twice_differentiable(True):
        y = torch.nn.functional.scaled_dot_product_attention(x, x, x).square().sum()
    (g,) = torch.autograd.grad(y, x, create_graph=True)
    (second,) = torch.autograd.grad(g.square().sum(), x)
    assert second.abs().sum() > 0
