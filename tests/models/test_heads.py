"""Checks of hfmeta/models/heads.py."""

from __future__ import annotations

import pytest
from torch import nn
from transformers import RobertaConfig, RobertaForSequenceClassification

from hfmeta.inner.errors import HfmetaError
from hfmeta.models import head_of
from tiny import seeded, tiny_bert, tiny_conv4, tiny_mlp, tiny_vit, with_lora


def tiny_roberta():
    config = RobertaConfig(
        vocab_size=40, hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=24, num_labels=5
    )
    return seeded(lambda: RobertaForSequenceClassification(config))


@pytest.mark.parametrize(
    ("build", "name"),
    [
        (tiny_bert, "classifier"),
        (tiny_vit, "classifier"),
        (tiny_conv4, "classifier"),
        (tiny_mlp, "head"),
        (tiny_roberta, "classifier.out_proj"),
    ],
)
def test_the_head_is_found_by_structure(build, name):
    model = build()
    found, head = head_of(model)
    assert found == name
    assert head is model.get_submodule(name)


def test_a_peft_model_gives_the_copy_that_trains():
    name, head = head_of(with_lora(tiny_bert()))
    assert "modules_to_save" in name
    assert head.weight.requires_grad


def test_a_model_without_a_linear_layer_is_refused():
    with pytest.raises(HfmetaError, match="Embedding has no linear layer, so it has no head"):
        head_of(nn.Embedding(2, 3))
