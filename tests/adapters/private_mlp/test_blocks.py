"""Calls and answers of blocks in every form they come in, and their widths."""

from __future__ import annotations

import re
from collections import namedtuple

import pytest
import torch
from torch import nn
from transformers.modeling_outputs import BaseModelOutput
from transformers.pytorch_utils import Conv1D

from hfmeta.adapters.private_mlp.blocks import answer_of, input_of, rows_by_adapter, widths_of, with_answer
from hfmeta.adapters.private_mlp.config import PrivateMlpConfig
from hfmeta.adapters.private_mlp.layer import PrivateMlpLayer
from hfmeta.inner.errors import HfmetaError

Pair = namedtuple("Pair", ["hidden", "rest"])
FORMS = {
    "tensor": lambda x: x,
    "tuple": lambda x: (x, "rest"),
    "list": lambda x: [x, "rest"],
    "named tuple": lambda x: Pair(x, "rest"),
    "dict": lambda x: {"hidden": x, "rest": "rest"},
    "model output": lambda x: BaseModelOutput(last_hidden_state=x, attentions=("rest",)),
}


class Block(nn.Module):
    """A block of width 4 that answers in one of the forms."""

    def __init__(self, form):
        super().__init__()
        self.inner, self.outer, self.form = nn.Linear(4, 6), nn.Linear(6, 4), form
        self.attention_type = "full"

    def forward(self, hidden_states, mask=None):
        return FORMS[self.form](self.outer(torch.relu(self.inner(hidden_states))))


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("by_name", [False, True])
def test_the_formula_for_every_form(form, by_name):
    block = Block(form)
    layer = PrivateMlpLayer(block, "block", {"hidden_size": 4})
    layer.update_layer("default", PrivateMlpConfig(init_weights=False, hidden_sizes=[3], gate="full"))
    x = torch.randn(2, 5, 4)
    output = layer(hidden_states=x, mask=None) if by_name else layer(x)
    plain = block.outer(torch.relu(block.inner(x)))
    own = layer.private_mlp_adapter["default"]
    p = own.mlp.layers[1](torch.relu(own.mlp.layers[0](x)))
    gate = torch.sigmoid(own.gate.hidden(plain) + p @ own.gate.private.weight.T)
    assert type(output) is type(FORMS[form](x))
    torch.testing.assert_close(answer_of(output), plain + gate * p)
    if form != "tensor":
        assert "rest" in repr(output)
    assert layer.attention_type == "full"


def test_a_mixed_call_answers_row_by_row_and_the_others_stay():
    layer = PrivateMlpLayer(Block("tuple"), "block", {"hidden_size": 4})
    layer.update_layer("default", PrivateMlpConfig(init_weights=False))
    x = torch.randn(3, 2, 4)
    mixed = layer(x, adapter_names=["default", "__base__", "default"])[0]
    active = layer(x)[0]
    layer.enable_adapters(False)
    plain = layer(x)[0]
    torch.testing.assert_close(mixed, torch.stack([active[0], plain[1], active[2]]))


def test_arguments_and_answers():
    x = torch.randn(2, 3)
    assert input_of((x, 1), {}) is x
    assert input_of((), {"mask": torch.ones(2, dtype=torch.long), "hidden_states": x}) is x
    assert input_of((), {"mask": None, "ids": torch.ones(2, dtype=torch.long), "inputs": x}) is x
    for form in FORMS.values():
        assert answer_of(with_answer(form(torch.zeros(1)), x)) is x


def test_widths():
    assert widths_of(nn.Linear(3, 5), "a", {}) == (3, 5)
    assert widths_of(Conv1D(5, 3), "a", {}) == (3, 5)
    assert widths_of(Block("tensor"), "a", {"hidden_size": 4}) == (4, 4)
    assert widths_of(Block("tensor"), "a", {"embed_dim": [2, 3], "hidden_size": 4}) == (4, 4)
    assert widths_of(nn.Sequential(nn.Linear(8, 8), nn.Linear(8, 4)), "a", {}) == (8, 8)
    assert widths_of(Block("tensor"), "a", {"text_config": {"hidden_size": 6}}) == (6, 6)
    for module in (nn.LayerNorm(4), Block("tensor"), nn.Embedding(3, 4)):
        with pytest.raises(
            HfmetaError, match=re.escape(f"does not fit here.it ({type(module).__name__}): its width cannot")
        ):
            widths_of(module, "here.it", {})


def test_rows():
    rows = rows_by_adapter(["a", "b", "a"], torch.zeros(3, 2))
    assert {name: found.tolist() for name, found in rows.items()} == {"a": [0, 2], "b": [1]}
    with pytest.raises(HfmetaError, match="Length of `adapter_names`"):
        rows_by_adapter(["a"], torch.zeros(3, 2))
