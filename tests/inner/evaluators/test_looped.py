"""The loop over tasks: what it returns is what plain calls of the model return, task by task."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from hfmeta.inner.evaluators import Looped
from hfmeta.inner.evaluators.looped import loss_and_logits
from hfmeta.inner.types import stack_expanded
from tiny import random_batch, tiny_bert, tiny_mlp, with_lora

MODELS = {
    "mlp": (tiny_mlp, "regression"),
    "bert": (tiny_bert, "sequence-classification"),
    "lora": (lambda **options: with_lora(tiny_bert(**options)), "sequence-classification"),
}


@pytest.mark.parametrize("name", MODELS)
def test_losses_and_logits_are_those_of_plain_calls(name):
    build, task_type = MODELS[name]
    model, batch = build(dtype=torch.float64).eval(), random_batch(task_type, T=3, dtype=torch.float64)["support"]
    found = Looped(model, []).bind(batch)(stack_expanded(dict(model.named_parameters()), 3))
    assert found.losses.shape == (3,)
    for t in range(3):
        plain = model(**{key: value[t] for key, value in batch.items()})
        torch.testing.assert_close(found.losses[t], plain.loss, rtol=1e-12, atol=1e-12)
        torch.testing.assert_close(found.logits[t], plain.logits, rtol=1e-12, atol=1e-12)


def test_each_task_uses_its_own_values_and_the_model_is_left_alone():
    model, batch = tiny_mlp(dtype=torch.float64), random_batch("regression", T=2, dtype=torch.float64)["support"]
    before = {name: value.clone() for name, value in model.named_parameters()}
    scale = torch.tensor([0.0, 1.0], dtype=torch.float64)
    params = {
        name: value * scale.view(-1, *[1] * (value.dim() - 1))
        for name, value in stack_expanded(dict(model.named_parameters()), 2).items()
    }
    found = Looped(model, []).bind(batch)(params)
    assert found.logits[0].abs().max() == 0
    torch.testing.assert_close(found.losses[1], model(**{key: value[1] for key, value in batch.items()}).loss)
    assert all(torch.equal(value, before[name]) for name, value in model.named_parameters())


def test_outputs_of_every_kind_are_read():
    class Output:
        loss = torch.tensor(1.0)

    loss, logits = torch.tensor(1.0), torch.zeros(2)
    assert loss_and_logits({"loss": loss, "logits": logits}) == (loss, logits)
    assert loss_and_logits({"loss": loss}) == (loss, None)
    assert loss_and_logits((loss, logits)) == (loss, logits)
    assert loss_and_logits((loss,)) == (loss, None)
    assert loss_and_logits(Output()) == (Output.loss, None)


def test_a_model_without_logits_has_none():
    class OnlyLoss(nn.Module):
        def __init__(self):
            super().__init__()
            self.weight = nn.Parameter(torch.ones(1))

        def forward(self, inputs, labels):
            return ((self.weight * inputs - labels).square().mean(),)

    found = Looped(OnlyLoss(), []).bind(random_batch("regression")["support"])({"weight": torch.ones(2, 1)})
    assert found.losses.shape == (2,)
    assert found.logits is None
