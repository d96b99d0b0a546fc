"""Saving and opening: by the Auto classes, by name, with more tokens, and a LoRA on the decoder."""

from __future__ import annotations

import pytest
import torch
from peft import LoraConfig, PeftModel, get_peft_model
from transformers import AutoModelForSeq2SeqLM

from hfmeta.inner.errors import HfmetaError
from hfmeta.models import (
    load_model,
    load_processing_class,
    task_type_of,
)
from lstm_samples import NAMES, rows
from tiny import VOCAB_SIZE, seeded, tiny_lstm


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("tied", [True, False])
def test_save_and_open(name, tied, tmp_path):
    model, batch = tiny_lstm(name, tie_word_embeddings=tied), rows(dtype=torch.float32)
    assert (model.lm_head.weight is model.get_input_embeddings().weight) is tied
    model.save_pretrained(tmp_path)
    for opened in (AutoModelForSeq2SeqLM.from_pretrained(tmp_path), load_model(str(tmp_path), "seq2seq-lm")):
        assert type(opened) is NAMES[name]
        assert task_type_of(opened) == "seq2seq-lm"
        assert torch.equal(opened(**batch).logits, model(**batch).logits)
        assert (opened.lm_head.weight is opened.get_input_embeddings().weight) is tied


def test_reference_networks_are_loaded_by_name():
    options = {"vocab_size": 20, "embedding_size": 6, "hidden_size": 6, "private_input": "state"}
    model = load_model("hfmeta-seq2spg", "seq2seq-lm", config_overrides=options, torch_dtype="float64")
    assert model.decoder.private.sizes == (6, 6, 4, 2, 6)
    assert model.dtype == torch.float64
    assert load_processing_class("hfmeta-seq2spg", "seq2seq-lm") is None
    with pytest.raises(HfmetaError, match="hfmeta-speaker is a model for seq2seq-lm, not for causal-lm"):
        load_model("hfmeta-speaker", "causal-lm")
    with pytest.raises(HfmetaError, match=r"has no field private_size \(did you mean private_sizes\?\)"):
        load_model("hfmeta-seq2spg", "seq2seq-lm", config_overrides={"private_size": [1]})


def test_more_tokens():
    model, batch = tiny_lstm(), rows()
    before = model(**batch).logits
    model.resize_token_embeddings(VOCAB_SIZE + 3, mean_resizing=False)
    assert model.lm_head.weight is model.get_input_embeddings().weight
    assert model.config.vocab_size == VOCAB_SIZE + 3
    torch.testing.assert_close(model(**batch).logits[..., :VOCAB_SIZE], before)


def test_a_lora_on_the_decoder(tmp_path):
    batch = rows(dtype=torch.float32)
    config = LoraConfig(
        r=2,
        target_modules=["attention", "combine", "private.layers.1"],
        task_type="SEQ_2_SEQ_LM",
        init_lora_weights=False,
    )
    model = seeded(lambda: get_peft_model(tiny_lstm(), config)).eval()
    assert len([name for name, _ in model.named_parameters() if "lora_A" in name]) == 3
    found = model(**batch)
    assert not torch.allclose(found.logits, tiny_lstm()(**batch).logits)
    found.loss.backward()
    assert all(value.grad is not None for value in model.parameters() if value.requires_grad)
    model.save_pretrained(tmp_path)
    opened = PeftModel.from_pretrained(tiny_lstm(), tmp_path).eval()
    torch.testing.assert_close(opened(**batch).logits, found.logits)
    words = {"input_ids": batch["input_ids"], "attention_mask": batch["attention_mask"], "max_new_tokens": 4}
    assert torch.equal(opened.generate(**words), model.generate(**words))
    mlp = LoraConfig(r=2, target_modules=["encoder.layers.0"])
    with pytest.raises(ValueError, match="is not supported"):
        get_peft_model(tiny_lstm(), mlp)
