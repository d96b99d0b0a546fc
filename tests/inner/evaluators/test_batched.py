"""Rows of all tasks in one pass: the loop's losses and logits, what it cannot adapt, and that no hook stays behind."""

from __future__ import annotations

import re

import pytest
import torch
from torch import nn

from hfmeta.inner.errors import HfmetaError
from hfmeta.inner.evaluators import Batched, Looped, unsupported
from hfmeta.inner.evaluators.batched import own_values, owners
from hfmeta.inner.types import stack_expanded
from tiny import random_batch, tiny_bert, tiny_gpt2, tiny_mlp, with_lora

MODELS = {
    "mlp": (tiny_mlp, "regression", "regression", ""),
    "bert": (tiny_bert, "sequence-classification", "classification", "LayerNorm|query|classifier"),
    "weight": (tiny_bert, "sequence-classification", "classification", r"(LayerNorm|value|classifier)\.weight"),
    "bias": (tiny_bert, "sequence-classification", "classification", r"(LayerNorm|value|classifier)\.bias"),
    "lora": (lambda **options: with_lora(tiny_bert(**options)), "sequence-classification", "classification", ""),
}


def perturbed(model, names, tasks):
    """The named tensors, changed a little and differently for every task."""
    dice = torch.Generator().manual_seed(3)
    named = {name: value.detach() for name, value in model.named_parameters() if name in names}
    return {
        name: value + 0.1 * torch.randn(value.shape, generator=dice, dtype=value.dtype)
        for name, value in stack_expanded(named, tasks).items()
    }


def hooks(model):
    return sum(len(module._forward_hooks) for module in model.modules())


@pytest.mark.parametrize("name", MODELS)
def test_losses_and_logits_are_those_of_the_loop(name):
    build, task_type, kind, adapt = MODELS[name]
    model, batch = build(dtype=torch.float64).eval(), random_batch(task_type, T=3, dtype=torch.float64)["support"]
    names = [key for key, value in model.named_parameters() if value.requires_grad and re.search(adapt, key)]
    params, before = perturbed(model, names, 3), hooks(model)
    expected = Looped(model, []).bind(batch)(params)
    found = Batched(model, names, [], kind).bind(batch)(params)
    torch.testing.assert_close(found.losses, expected.losses, rtol=1e-10, atol=1e-12)
    torch.testing.assert_close(found.logits, expected.logits, rtol=1e-10, atol=1e-12)
    assert hooks(model) == before


def test_unsupported_names_layer_and_type():
    model = tiny_bert()
    names = ["bert.embeddings.word_embeddings.weight", "classifier.weight", "bert.embeddings.LayerNorm.bias"]
    assert unsupported(model, names) == ["bert.embeddings.word_embeddings.weight (Embedding)"]
    assert unsupported(model, names[1:]) == []


def test_a_tensor_of_a_linear_layer_that_is_neither_weight_nor_bias_is_unsupported():
    layer = nn.Sequential(nn.Linear(2, 2))
    layer[0].scale = nn.Parameter(torch.ones(2))
    assert unsupported(layer, ["0.scale"]) == ["0.scale (Linear)"]


def test_the_conv1d_of_gpt2_is_refused():
    model = tiny_gpt2()
    names = [name for name, _ in model.named_parameters() if "c_attn" in name]
    with pytest.raises(HfmetaError) as caught:
        Batched(model, names, [], "causal-lm")
    assert str(caught.value) == (
        "evaluator='batched' adapts linear layers and layer norms (a LoRA, a head); it cannot adapt "
        "transformer.h.0.attn.c_attn.weight (Conv1D), transformer.h.0.attn.c_attn.bias (Conv1D), "
        'transformer.h.1.attn.c_attn.weight (Conv1D). Use evaluator="looped" or "vectorised", or adapt less.'
    )


def test_own_values_takes_its_hooks_away_also_when_the_body_raises():
    model = tiny_mlp()
    names = [name for name, _ in model.named_parameters()]
    params = perturbed(model, names, 2)
    within = []

    def fails():
        with own_values(owners(model, names), params, 2):
            within.append(hooks(model))
            raise RuntimeError("midway")

    before = hooks(model)
    with pytest.raises(RuntimeError, match="midway"):
        fails()
    assert within == [before + len(owners(model, names))]
    assert hooks(model) == before


def test_rows_that_do_not_divide_among_the_tasks_are_refused():
    layer = nn.Sequential(nn.Linear(3, 2))
    params = perturbed(layer, ["0.weight"], 2)
    sentence = "layer 0 was given 5 rows for 2 tasks: its rows do not belong to tasks.*looped"
    with pytest.raises(HfmetaError, match=sentence), own_values(owners(layer, ["0.weight"]), params, 2):
        layer(torch.ones(5, 3))


def test_inputs_are_prepared_once_with_their_labels():
    model, seen = tiny_mlp(), []

    def prepare(inputs):
        seen.append({name: tuple(value.shape) for name, value in inputs.items()})
        return {"inputs": inputs["inputs"]}

    names = [name for name, _ in model.named_parameters()]
    bound = Batched(model, names, [], "regression", prepare).bind(random_batch("regression")["support"])
    params = perturbed(model, names, 2)
    assert torch.equal(bound(params).losses, bound(params).losses)
    assert seen == [{"inputs": (10, 1), "labels": (10, 1)}]
