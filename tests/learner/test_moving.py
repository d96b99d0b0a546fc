"""What moves: the option `adapt` against the names of a model, and its refusals."""

from __future__ import annotations

import pytest

from hfmeta.inner.errors import HfmetaError
from hfmeta.learner.moving import linear_head, what_moves
from tiny import tiny_bert, tiny_conv4, tiny_gpt2, tiny_mlp, with_lora

TEXT = "sequence-classification"


def test_all_are_the_trainable_tensors_in_their_order():
    model = tiny_bert()
    model.bert.embeddings.requires_grad_(False)
    moving = what_moves(model, "all", TEXT)
    assert moving.names == [name for name, value in model.named_parameters() if value.requires_grad]
    assert list(moving.theta(model)) == moving.names
    assert moving.others(model) == []
    assert not moving.only_head


def test_head_and_what_is_left():
    model = tiny_bert()
    moving = what_moves(model, "head", TEXT)
    assert moving.names == ["classifier.weight", "classifier.bias"]
    assert moving.only_head
    assert len(moving.others(model)) == len(list(model.parameters())) - 2


def test_adapter_leaves_the_head_out():
    model = with_lora(tiny_bert())
    names = what_moves(model, "adapter", TEXT).names
    assert names
    assert all("lora_" in name for name in names)
    assert len(what_moves(model, "all", TEXT).names) == len(names) + 2


def test_a_regular_expression():
    names = what_moves(tiny_bert(), r"layer\.1\.|classifier", TEXT).names
    assert {name.split(".")[0] for name in names} == {"bert", "classifier"}
    assert not [name for name in names if "layer.0" in name]


@pytest.mark.parametrize(
    ("model", "task", "module"),
    [
        (tiny_bert, TEXT, "classifier"),
        (lambda: with_lora(tiny_bert()), TEXT, "base_model.model.classifier.modules_to_save.default"),
        (tiny_conv4, "image-classification", "classifier"),
        (tiny_mlp, "regression", None),
        (tiny_gpt2, "causal-lm", None),
    ],
)
def test_linear_heads(model, task, module):
    built = model()
    head = linear_head(built, task)
    if task == "causal-lm":
        assert head is None
        return
    assert head is not None
    assert module is None or head.module == module
    assert {head.weight, head.bias} <= {name for name, _ in built.named_parameters()}


def test_refusals():
    frozen = tiny_bert()
    frozen.requires_grad_(False)
    for adapt in ("all", "head"):
        with pytest.raises(HfmetaError, match="BertForSequenceClassification has no trainable tensor"):
            what_moves(frozen, adapt, TEXT)
    frozen.bert.requires_grad_(True)
    with pytest.raises(HfmetaError, match="the head classifier is frozen"):
        what_moves(frozen, "head", TEXT)
    with pytest.raises(HfmetaError, match="GPT2LMHeadModel has none"):
        what_moves(tiny_gpt2(), "head", "causal-lm")
    with pytest.raises(HfmetaError, match=r"matches no trainable tensor. The first of \d+: bert"):
        what_moves(tiny_bert(), "decoder", TEXT)
    with pytest.raises(HfmetaError, match="neither all, head, adapter, private nor a regular expression"):
        what_moves(tiny_bert(), "(", TEXT)
    with pytest.raises(HfmetaError, match='adapt="adapter" needs a PEFT model'):
        what_moves(tiny_bert(), "adapter", TEXT)
