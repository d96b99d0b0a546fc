"""Which tensors belong to an adapter."""

from __future__ import annotations

import pytest

from hfmeta.adapters import adapter_names
from hfmeta.inner.errors import HfmetaError
from tiny import tiny_bert, with_lora


def test_only_the_adapters_trainable_tensors():
    model = with_lora(tiny_bert())
    names = adapter_names(model)
    assert len(names) == 2 * 2 * 2  # layers x targets x (A, B)
    assert all("lora_A" in name or "lora_B" in name for name in names)
    next(value for name, value in model.named_parameters() if name == names[0]).requires_grad_(False)
    assert adapter_names(model) == names[1:]


def test_refusals():
    with pytest.raises(HfmetaError, match="needs a PEFT model; BertForSequenceClassification has no adapter"):
        adapter_names(tiny_bert())
    model = with_lora(tiny_bert())
    model.requires_grad_(False)
    with pytest.raises(HfmetaError, match="no trainable tensor: load it with is_trainable=True"):
        adapter_names(model)
