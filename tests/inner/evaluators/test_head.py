"""A head on features computed once: the loop's losses and logits from one pass of the body."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from hfmeta.inner.errors import HfmetaError
from hfmeta.inner.evaluators import Head, Looped, head_features
from hfmeta.inner.types import stack_expanded
from tiny import ragged_batch, random_batch, seen_by, tiny_bert, tiny_gpt2, tiny_mlp, with_lora

PEFT = "base_model.model.classifier.modules_to_save.default"
MODELS = {
    "mlp": (tiny_mlp, "regression", "regression", "head"),
    "bert": (tiny_bert, "sequence-classification", "classification", "classifier"),
    "lora": (lambda **options: with_lora(tiny_bert(**options)), "sequence-classification", "classification", PEFT),
}


def made(name, leaves=("weight", "bias")):
    """A model, its evaluator, a batch of 3 tasks, and each task's own values of the named tensors of the head."""
    build, task_type, kind, place = MODELS[name]
    model, batch = build(dtype=torch.float64).eval(), random_batch(task_type, T=3, dtype=torch.float64)["support"]
    layer = model.get_submodule(place)
    with torch.no_grad():
        layer.bias.copy_(torch.linspace(0.5, 1.5, layer.bias.numel()))
    dice = torch.Generator().manual_seed(3)
    theta = {f"{place}.{leaf}": getattr(layer, leaf).detach() for leaf in leaves}
    params = {
        key: value + 0.1 * torch.randn(value.shape, generator=dice, dtype=value.dtype)
        for key, value in stack_expanded(theta, 3).items()
    }
    return model, Head(model, layer, f"{place}.weight", f"{place}.bias", [], kind), batch, params


@pytest.mark.parametrize("leaves", [("weight", "bias"), ("weight",), ("bias",)], ids="+".join)
@pytest.mark.parametrize("name", MODELS)
def test_losses_and_logits_are_those_of_the_loop(name, leaves):
    """Where the weight or the bias alone adapts, the head's own other tensor is used."""
    model, evaluator, batch, params = made(name, leaves)
    expected, found = Looped(model, []).bind(batch)(params), evaluator.bind(batch)(params)
    torch.testing.assert_close(found.losses, expected.losses, rtol=1e-10, atol=1e-12)
    torch.testing.assert_close(found.logits, expected.logits, rtol=1e-10, atol=1e-12)


def test_with_the_weight_alone_the_heads_own_bias_is_used_and_learns():
    model, evaluator, batch, params = made("bert", ("weight",))
    zero = {name: torch.zeros_like(value) for name, value in params.items()}
    found = evaluator.bind(batch)(zero)
    assert torch.equal(found.logits, model.classifier.bias.expand(3, 5, 5))
    (grad,) = torch.autograd.grad(found.losses.sum(), [model.classifier.bias])
    assert grad.abs().max() > 0


def test_a_head_without_bias_has_none():
    _, evaluator, batch, params = made("mlp", ("weight",))
    evaluator.head.bias, evaluator.bias = None, None
    bound = evaluator.bind(batch)
    expected = torch.bmm(bound.features, params[evaluator.weight].transpose(1, 2))
    assert torch.equal(bound(params).logits, expected)


def test_the_body_runs_once_however_often_the_head_is_evaluated():
    model, evaluator, batch, params = made("bert")
    calls = []
    handle = model.bert.register_forward_hook(lambda *_: calls.append(1))
    bound = evaluator.bind(batch)
    for _ in range(3):
        bound(params)
    handle.remove()
    assert len(calls) == 1
    assert bound.features.shape == (3, 5, 16)
    assert bound.shared[0] is bound.features
    assert not model.classifier._forward_pre_hooks


def test_a_head_that_is_fed_a_vector_per_token_is_refused():
    model, batch = tiny_gpt2(), random_batch("causal-lm", T=2)["support"]
    with pytest.raises(
        HfmetaError, match=r"inputs of shape \[\[10, 7, 16\]\] for 10 rows; features need one vector a row"
    ):
        head_features(model, model.lm_head, batch)
    assert not model.lm_head._forward_pre_hooks


@pytest.mark.parametrize(("calls", "shapes"), [(0, r"\[\]"), (2, r"\[\[10, 1\], \[10, 1\]\]")])
def test_a_head_that_is_not_called_exactly_once_is_refused(calls, shapes):
    class Odd(nn.Module):
        def __init__(self):
            super().__init__()
            self.head = nn.Linear(1, 1)

        def forward(self, inputs):
            return [self.head(inputs) for _ in range(calls)]

    model = Odd()
    with pytest.raises(HfmetaError, match=f"inputs of shape {shapes} for 10 rows"):
        head_features(model, model.head, random_batch("regression", T=2)["support"])


def test_rows_of_like_length_pass_together_and_the_gradient_is_that_of_one_padded_pass():
    model, batch = tiny_bert(dtype=torch.float64).eval(), ragged_batch()
    inputs = {name: value.flatten(0, 1) for name, value in batch.items() if name != "labels"}
    expected = model.bert(**inputs).pooler_output
    passes = seen_by(model)
    found = head_features(model, model.classifier, batch)
    assert len(passes) == 2
    assert sum(rows for rows, _ in passes) == 36
    assert passes[0][1] < passes[1][1]
    torch.testing.assert_close(found.flatten(0, 1), expected, rtol=1e-10, atol=1e-12)
    words = model.get_input_embeddings().weight
    weights = torch.linspace(-1, 1, expected.numel(), dtype=torch.float64).view_as(expected)
    by_one, by_two = (
        torch.autograd.grad((value.reshape_as(weights) * weights).sum(), [words])[0] for value in (expected, found)
    )
    torch.testing.assert_close(by_two, by_one, rtol=1e-10, atol=1e-12)


def test_in_evaluation_a_row_that_several_tasks_have_passes_once():
    model, batch = tiny_bert(dtype=torch.float64).eval(), ragged_batch()
    expected = head_features(model, model.classifier, batch)
    passes = seen_by(model)
    with torch.no_grad():
        found = head_features(model, model.classifier, batch)
    assert sum(rows for rows, _ in passes) == 32
    torch.testing.assert_close(found, expected.detach(), rtol=1e-10, atol=1e-12)
