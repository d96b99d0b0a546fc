"""Checks of hfmeta/adapters/lora.py."""

from __future__ import annotations

import pytest
import torch
from peft import PeftModel

from hfmeta.adapters import attach_lora
from hfmeta.inner.errors import HfmetaError
from tiny import random_batch, tiny_bert, tiny_gpt2, tiny_t5, tiny_vit

MODELS = [
    (tiny_bert, "sequence-classification", ["query", "value"], "classifier"),
    (tiny_gpt2, "causal-lm", ["c_attn"], None),
    (tiny_t5, "seq2seq-lm", ["q", "v"], None),
    (tiny_vit, "image-classification", ["q_proj", "v_proj"], "classifier"),
]


def trainable(model) -> dict[str, torch.Tensor]:
    return {name: value for name, value in model.named_parameters() if value.requires_grad}


@pytest.mark.parametrize(("build", "task", "targets", "head"), MODELS, ids=[task for _, task, _, _ in MODELS])
def test_a_fresh_lora_changes_nothing_and_trains_alone(build, task, targets, head):
    batch = {name: value[0] for name, value in random_batch(task)["support"].items()}
    before = build().eval()(**batch).logits
    model = attach_lora(build(), task, r=3, target_modules=targets, head=head).eval()
    assert isinstance(model, PeftModel)
    torch.testing.assert_close(model(**batch).logits, before)
    names = trainable(model)
    assert all("lora_" in name or (head is not None and head in name) for name in names)
    assert any(head in name for name in names) if head else True
    assert all(value.shape[0] == 3 for name, value in names.items() if "lora_A" in name)


def test_it_is_drawn_from_its_seed_and_leaves_the_global_generator():
    before = torch.get_rng_state()
    one, two, other = (trainable(attach_lora(tiny_bert(), "sequence-classification", seed=s)) for s in (1, 1, 2))
    assert torch.equal(before, torch.get_rng_state())
    assert all(torch.equal(one[name], two[name]) for name in one)
    assert any(not torch.equal(one[name], other[name]) for name in one)


def test_scale_and_head_are_options():
    model = attach_lora(tiny_bert(), "sequence-classification", r=4, target_modules=["query"])
    assert model.peft_config["default"].lora_alpha == 8
    assert not any("classifier" in name for name in trainable(model))
    model = attach_lora(tiny_bert(), "sequence-classification", r=4, alpha=2, target_modules=["query"])
    assert model.peft_config["default"].lora_alpha == 2


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"r": 0}, "rank of at least 1"),
        ({"dropout": 1.0}, r"dropout in \[0, 1\)"),
        (
            {"target_modules": ["no_such_module"]},
            "no LoRA fits BertForSequenceClassification at target_modules = no_such_module",
        ),
    ],
)
def test_refusals(options, message):
    with pytest.raises(HfmetaError, match=message):
        attach_lora(tiny_bert(), "sequence-classification", **options)
