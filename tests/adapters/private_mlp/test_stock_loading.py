"""Private MLPs through the ways in of PEFT's and transformers' own classes."""

from __future__ import annotations

import pytest
import torch
from peft import AutoPeftModelForSequenceClassification, PeftModel, get_peft_model_state_dict
from transformers import AutoModelForSequenceClassification

from hfmeta.adapters import PrivateMlpConfig
from private import MODELS, add, logits, private, rows_of
from tiny import tiny_bert

ALL = pytest.mark.parametrize("name", list(MODELS))


@ALL
def test_save_and_load_from_a_subfolder(name, tmp_path):
    build, rows = MODELS[name][0], rows_of(name)
    model = add(private(build(), adapter="anna"), "ben", hidden_sizes=[5, 7], gate="full", last="tanh")
    model.save_pretrained(tmp_path)
    for adapter in ("anna", "ben"):
        model.set_adapter(adapter)
        for options in ({}, {"low_cpu_mem_usage": True}):
            again = PeftModel.from_pretrained(build().eval(), str(tmp_path), subfolder=adapter, **options)
            assert torch.equal(logits(again, rows), logits(model, rows)), adapter
        again.load_adapter(str(tmp_path / adapter), adapter_name="twin")
        again.set_adapter("twin")
        assert torch.equal(logits(again, rows), logits(model, rows)), adapter
    stored = get_peft_model_state_dict(model, adapter_name="ben")
    assert all("private_mlp_adapter." in key and "ben" not in key for key in stored)


def test_transformers_own_adapters(tmp_path):
    rows = rows_of("bert")
    made = private(tiny_bert())
    made.save_pretrained(tmp_path)
    model = tiny_bert().eval()
    model.load_adapter(str(tmp_path), adapter_name="anna")
    assert torch.equal(logits(model, rows), logits(made, rows))
    with pytest.warns(UserWarning, match="multiple adapters"):
        model.add_adapter(PrivateMlpConfig(init_weights=False), adapter_name="ben")
    assert not torch.equal(logits(model, rows), logits(made, rows))
    model.set_adapter("anna")
    assert torch.equal(logits(model, rows), logits(made, rows))
    model.save_pretrained(tmp_path / "again")
    again = tiny_bert().eval()
    again.load_adapter(str(tmp_path / "again"))
    assert torch.equal(logits(again, rows), logits(made, rows))
    model.disable_adapters()
    assert torch.equal(logits(model, rows), logits(tiny_bert().eval().requires_grad_(False), rows))
    model.enable_adapters()
    model.delete_adapter("ben")
    assert torch.equal(logits(model, rows), logits(made, rows))


@pytest.mark.parametrize("name", ["gpt2", "t5", "seq2spg"])
def test_transformers_load_adapter_on_the_other_shapes(name, tmp_path):
    made = private(MODELS[name][0]())
    made.save_pretrained(tmp_path)
    model = MODELS[name][0]().eval()
    model.load_adapter(str(tmp_path))
    assert torch.equal(logits(model, rows_of(name)), logits(made, rows_of(name)))


def test_auto_classes_and_a_head_that_is_saved_whole(tmp_path):
    rows = rows_of("bert")
    tiny_bert().save_pretrained(tmp_path / "base")
    base = AutoModelForSequenceClassification.from_pretrained(tmp_path / "base")
    model = private(base, task_type="SEQ_CLS")
    with torch.no_grad():
        model.base_model.model.classifier.modules_to_save["default"].weight.add_(1.0)
    model.save_pretrained(tmp_path / "adapter")
    for again in (
        AutoPeftModelForSequenceClassification.from_pretrained(str(tmp_path / "adapter"), num_labels=5),
        AutoModelForSequenceClassification.from_pretrained(str(tmp_path / "adapter"), num_labels=5),
    ):
        assert torch.equal(logits(again.eval(), rows), logits(model, rows))
