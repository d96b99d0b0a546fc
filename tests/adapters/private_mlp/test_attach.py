"""`attach_private_mlp`: an unchanged model at first, drawn from a seed, with the head where it is named."""

from __future__ import annotations

import pytest
import torch

from hfmeta.adapters import adapter_names, attach_private_mlp
from hfmeta.inner.errors import HfmetaError
from private import MODELS, logits, rows_of
from tiny import tiny_bert


@pytest.mark.parametrize("name", list(MODELS))
def test_the_output_is_unchanged_at_first(name):
    build, task = MODELS[name]
    rows = rows_of(name)
    model = attach_private_mlp(build(), task).eval()
    assert torch.equal(logits(model, rows), logits(build().eval().requires_grad_(False), rows))
    assert [key for key, value in model.named_parameters() if value.requires_grad] == adapter_names(model)


def test_the_seed_draws_and_nothing_else_moves():
    state = torch.get_rng_state()
    task = MODELS["bert"][1]
    first, again, other = (attach_private_mlp(tiny_bert(), task, seed=seed) for seed in (1, 1, 2))
    assert torch.equal(torch.get_rng_state(), state)
    name = next(name for name in adapter_names(first) if name.endswith("layers.0.weight"))
    values = [dict(model.named_parameters())[name] for model in (first, again, other)]
    assert torch.equal(values[0], values[1])
    assert not torch.equal(values[0], values[2])


def test_options_and_head():
    model = attach_private_mlp(tiny_bert(), MODELS["bert"][1], head="classifier", hidden_sizes=[5], gate="full")
    assert model.peft_config["default"].gate == "full"
    trainable = {name for name, value in model.named_parameters() if value.requires_grad} - set(adapter_names(model))
    assert {name.split(".")[-1] for name in trainable} == {"weight", "bias"}


def test_refusals():
    with pytest.raises(
        HfmetaError, match="no private adapter fits BertForSequenceClassification with {'target_modules': "
    ):
        attach_private_mlp(tiny_bert(), MODELS["bert"][1], target_modules=["wings"])
    with pytest.raises(HfmetaError, match="no private adapter fits .* unexpected keyword argument 'wings'"):
        attach_private_mlp(tiny_bert(), MODELS["bert"][1], wings=2)
