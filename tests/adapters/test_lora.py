"""`attach_lora`: an unchanged model at first, drawn from a seed, with the head where it is named."""

from __future__ import annotations

import pytest
import torch
from peft import PeftModel

from hfmeta.adapters import adapter_names, attach_lora
from hfmeta.inner.errors import HfmetaError
from saving import CAUSAL, SEQ2SEQ, TEXT, answers, support_of
from tiny import tiny_bert, tiny_gpt2, tiny_t5


@pytest.mark.parametrize(("build", "task"), [(tiny_bert, TEXT), (tiny_gpt2, CAUSAL), (tiny_t5, SEQ2SEQ)])
def test_the_output_is_unchanged_at_first(build, task):
    rows = support_of(task)
    model = attach_lora(build(), task, r=2)
    assert isinstance(model, PeftModel)
    assert torch.equal(answers(model.eval(), rows), answers(build().eval(), rows))
    trainable = [name for name, value in model.named_parameters() if value.requires_grad]
    assert trainable == adapter_names(model)


def test_the_seed_draws_and_nothing_else_moves():
    state = torch.get_rng_state()
    first, again, other = (attach_lora(tiny_bert(), TEXT, r=2, seed=seed) for seed in (1, 1, 2))
    assert torch.equal(torch.get_rng_state(), state)
    name = adapter_names(first)[0]
    values = [dict(model.named_parameters())[name] for model in (first, again, other)]
    assert torch.equal(values[0], values[1])
    assert not torch.equal(values[0], values[2])


def test_options_reach_peft():
    model = attach_lora(tiny_bert(), TEXT, r=3, alpha=5.0, target_modules=["query"], dropout=0.25, head="classifier")
    config = model.peft_config["default"]
    assert (config.r, config.lora_alpha, config.lora_dropout) == (3, 5.0, 0.25)
    assert len(adapter_names(model)) == 4
    trainable = {name for name, value in model.named_parameters() if value.requires_grad}
    assert {name.split(".")[-1] for name in trainable - set(adapter_names(model))} == {"weight", "bias"}
    assert attach_lora(tiny_bert(), TEXT, r=3).peft_config["default"].lora_alpha == 6


def test_refusals():
    for options in ({"r": 0}, {"dropout": 1.0}, {"dropout": -0.1}):
        with pytest.raises(HfmetaError, match=r"rank of at least 1 and a dropout in \[0, 1\); received"):
            attach_lora(tiny_bert(), TEXT, **options)
    with pytest.raises(HfmetaError, match="no LoRA fits BertForSequenceClassification at target_modules = wings"):
        attach_lora(tiny_bert(), TEXT, target_modules=["wings"])
