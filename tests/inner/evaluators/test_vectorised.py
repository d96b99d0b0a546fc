"""All tasks under vmap: the loop's losses and logits, with padding too."""

from __future__ import annotations

import pytest
import torch

from hfmeta.inner.evaluators import Looped, Vectorised
from hfmeta.inner.types import stack_expanded
from tiny import random_batch, tiny_bert, tiny_gpt2, tiny_mlp, tiny_t5, with_lora

MODELS = {
    "mlp": (tiny_mlp, "regression"),
    "bert": (tiny_bert, "sequence-classification"),
    "eager": (
        lambda **options: tiny_bert(attn_implementation="eager", **options),
        "sequence-classification",
    ),
    "lora": (lambda **options: with_lora(tiny_bert(**options)), "sequence-classification"),
}


def perturbed(model, tasks):
    """The trainable tensors, changed a little and differently for every task."""
    dice = torch.Generator().manual_seed(3)
    named = {name: value.detach() for name, value in model.named_parameters() if value.requires_grad}
    return {
        name: value + 0.1 * torch.randn(value.shape, generator=dice, dtype=value.dtype)
        for name, value in stack_expanded(named, tasks).items()
    }


@pytest.mark.parametrize("name", MODELS)
def test_losses_and_logits_are_those_of_the_loop(name):
    build, task_type = MODELS[name]
    model, batch = build(dtype=torch.float64).eval(), random_batch(task_type, T=3, dtype=torch.float64)["support"]
    params = perturbed(model, 3)
    expected, found = (way(model, []).bind(batch)(params) for way in (Looped, Vectorised))
    torch.testing.assert_close(found.losses, expected.losses, rtol=1e-10, atol=1e-12)
    torch.testing.assert_close(found.logits, expected.logits, rtol=1e-10, atol=1e-12)


def test_a_causal_model_with_padding_gives_the_loops_losses():
    model, batch = tiny_gpt2().eval(), random_batch("causal-lm", T=2)["support"]
    assert (batch["attention_mask"] == 0).any()
    params = perturbed(model, 2)
    expected = Looped(model, []).bind(batch)(params)
    found = Vectorised(model, [], causal=True).bind(batch)(params)
    torch.testing.assert_close(found.losses, expected.losses, rtol=1e-5, atol=1e-6)
    wrong = Vectorised(model, [], causal=False).bind(batch)(params)
    assert not torch.allclose(wrong.losses, expected.losses, rtol=1e-3)


def test_the_batch_that_was_given_keeps_its_mask():
    batch = random_batch("sequence-classification")["support"]
    mask = batch["attention_mask"].clone()
    bound = Vectorised(tiny_bert(), []).bind(batch)
    assert torch.equal(batch["attention_mask"], mask)
    assert bound.inputs["attention_mask"].dtype == torch.float32
    assert bound.inputs["attention_mask"].shape == (*mask.shape[:2], 1, 1, mask.shape[2])


def test_source_and_target_of_unlike_length_give_the_loops_losses():
    model = tiny_t5(dtype=torch.float64).eval()
    batch = random_batch("seq2seq-lm", T=2)["support"]
    params = perturbed(model, 2)
    for width in (3, 5):
        source = {name: batch[name][..., :width].contiguous() for name in ("input_ids", "attention_mask")}
        unlike = {**source, "labels": batch["labels"][..., :4].contiguous()}
        expected, found = (way(model, []).bind(unlike)(params) for way in (Looped, Vectorised))
        torch.testing.assert_close(found.losses, expected.losses, rtol=1e-10, atol=1e-12)
