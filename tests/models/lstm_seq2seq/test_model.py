"""Checks of hfmeta/models/lstm_seq2seq/model.py, encoder.py and decoder.py: sizes, padding, files, and what is refused."""

from __future__ import annotations

from itertools import pairwise

import pytest
import torch
from peft import LoraConfig, PeftModel, get_peft_model
from torch import nn
from torch.func import functional_call
from transformers import AutoModelForSeq2SeqLM

from hfmeta.inner.attention import additive_mask
from hfmeta.inner.errors import HfmetaError
from hfmeta.models import (
    LstmSeq2SeqForConditionalGeneration,
    PrivateMlp,
    Seq2SpgForConditionalGeneration,
    SpeakerForConditionalGeneration,
    load_model,
    load_processing_class,
    task_type_of,
)
from tiny import VOCAB_SIZE, random_batch, seeded, tiny_lstm

NAMES = {
    "hfmeta-lstm-seq2seq": LstmSeq2SeqForConditionalGeneration,
    "hfmeta-seq2spg": Seq2SpgForConditionalGeneration,
    "hfmeta-speaker": SpeakerForConditionalGeneration,
}


def rows(seed=0, dtype=torch.float64):
    """A padded batch: input_ids, attention_mask, labels."""
    return {
        name: value[0] for name, value in random_batch("seq2seq-lm", S=5, dtype=dtype, seed=seed)["support"].items()
    }


def count(module):
    return sum(value.numel() for value in module.parameters())


def wider(batch, left, right):
    """The same rows with more padding, of ids that would show if they were read."""
    pads = {"input_ids": 9, "attention_mask": 0, "labels": -100}
    return {name: nn.functional.pad(value, (left, right), value=pads[name]) for name, value in batch.items()}


def test_the_papers_sizes():
    model = load_model("hfmeta-seq2spg", "seq2seq-lm", config_overrides={"vocab_size": 50})
    own = count(model.decoder.private) + count(model.decoder.gate)
    assert count(model.encoder) - 50 * 300 == 2_889_600
    assert count(model.bridge) == 90_300
    assert count(model.decoder) - own == 992_400
    assert count(model.decoder.private) == 981_800
    assert count(model.decoder.gate) == 361_200
    assert count(model) - 50 * 300 - 50 == 5_315_300
    plain = load_model("hfmeta-lstm-seq2seq", "seq2seq-lm", config_overrides={"vocab_size": 50})
    assert count(plain) == count(model) - 981_800 - 361_200
    prime = load_model("hfmeta-seq2spg", "seq2seq-lm", config_overrides={"vocab_size": 50, "private_input": "state"})
    assert count(prime.decoder.private) == 200_900
    options = {"vocab_size": 50, "num_speakers": 5138}
    speaker = load_model("hfmeta-speaker", "seq2seq-lm", config_overrides=options)
    assert speaker.decoder.from_input.in_features == 364
    assert count(speaker) == count(plain) + 1200 * 64 + 5138 * 64 + 64


def test_initial_weights():
    model = load_model("hfmeta-seq2spg", "seq2seq-lm", config_overrides={"vocab_size": 500}, seed=3)
    assert model.encoder.embed_tokens.weight.std().item() == pytest.approx(0.01, rel=0.02)
    assert model.lm_head.weight is model.encoder.embed_tokens.weight
    for name, module in model.named_modules():
        if isinstance(module, nn.Linear) and name != "lm_head":
            bound = module.in_features**-0.5
            assert module.weight.abs().max() <= bound
            assert module.weight.std().item() == pytest.approx(bound / 3**0.5, rel=0.02)
    again = load_model("hfmeta-seq2spg", "seq2seq-lm", config_overrides={"vocab_size": 500}, seed=3)
    assert all(torch.equal(one, other) for one, other in zip(model.parameters(), again.parameters(), strict=True))
    assert not model.training


def test_a_private_network_that_passes_on_what_it_reads(tmp_path):
    """The framework's defaults leave a few per cent of the input's spread after the hidden layers; Kaiming's leave it whole."""
    spread = {}
    for kind in ("default", "kaiming"):
        options = {"vocab_size": 50, "private_init": kind}
        model = load_model("hfmeta-seq2spg", "seq2seq-lm", config_overrides=options, seed=3)
        z = torch.randn(200, 600, generator=torch.Generator().manual_seed(0))
        for layer in model.decoder.private.layers[:-1]:
            z = torch.relu(layer(z))
        spread[kind] = z.std(0).mean().item()
    assert spread["default"] < 0.1 < 0.5 < spread["kaiming"]
    assert (layer.bias == 0).all()
    model.save_pretrained(tmp_path)
    again = AutoModelForSeq2SeqLM.from_pretrained(tmp_path)
    assert again.config.private_init == "kaiming"
    assert all(torch.equal(one, other) for one, other in zip(model.parameters(), again.parameters(), strict=True))


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(("left", "right"), [(0, 3), (4, 0), (2, 2)])
def test_a_row_does_not_depend_on_its_batch_nor_on_padding(name, left, right):
    model, batch = tiny_lstm(name, dtype=torch.float64), rows()
    full = model(**batch)
    padded = model(**wider(batch, left, right))
    torch.testing.assert_close(padded.loss, full.loss, rtol=1e-12, atol=0)
    width = batch["labels"].shape[1]
    for row in range(5):
        length = int((batch["labels"][row] != -100).sum())
        source = int(batch["attention_mask"][row].sum())
        alone = model(
            input_ids=batch["input_ids"][row : row + 1, :source], labels=batch["labels"][row : row + 1, :length]
        )
        torch.testing.assert_close(full.logits[row, :length], alone.logits[0], rtol=1e-11, atol=1e-13)
        torch.testing.assert_close(padded.logits[row, left : left + length], alone.logits[0], rtol=1e-11, atol=1e-13)
    assert padded.logits.shape[1] == width + left + right


@pytest.mark.parametrize("name", NAMES)
def test_gradients_do_not_depend_on_padding(name):
    model, batch = tiny_lstm(name, dtype=torch.float64), rows()
    named = dict(model.named_parameters())

    def gradients(batch):
        return torch.autograd.grad(model(**batch).loss, list(named.values()), allow_unused=True)

    for one, other in zip(gradients(batch), gradients(wider(batch, 3, 2)), strict=True):
        assert (one is None) == (other is None)
        if one is not None:
            torch.testing.assert_close(one, other, rtol=1e-9, atol=1e-12)


def test_padding_between_tokens_is_passed_over():
    model = tiny_lstm(dtype=torch.float64)
    ids = torch.tensor([[5, 8, 9, 6, 7]])
    labels = torch.tensor([[9, 3]])
    found = model(input_ids=ids, attention_mask=torch.tensor([[1, 0, 1, 0, 1]]), labels=labels)
    torch.testing.assert_close(found.logits, model(input_ids=ids[:, ::2], labels=labels).logits)


def test_masks_in_the_form_of_attention():
    model, batch = tiny_lstm(dtype=torch.float64), rows()
    ready = additive_mask(batch["attention_mask"], False, torch.float64)
    expected = model(**batch).logits
    torch.testing.assert_close(model(**{**batch, "attention_mask": ready}).logits, expected)
    torch.testing.assert_close(model(**{**batch, "attention_mask": ready == 0}).logits, expected)


def test_without_a_mask_all_ids_are_tokens():
    model, batch = tiny_lstm(), rows()
    mask = batch.pop("attention_mask")
    found = model(**batch).logits
    torch.testing.assert_close(found, model(**batch, attention_mask=torch.ones_like(mask)).logits)
    with pytest.raises(IndexError):
        model(input_ids=torch.tensor([[VOCAB_SIZE]]), labels=torch.tensor([[3]]))


def test_labels_are_shifted_to_the_right():
    model = tiny_lstm()
    labels = torch.tensor([[7, 8, 3, -100], [-100, -100, 9, 3], [5, -100, 6, 3], [-100, -100, -100, -100]])
    expected = torch.tensor([[2, 7, 8, 3], [0, 0, 2, 9], [2, 5, 0, 6], [2, 0, 0, 0]])
    shifted = model.prepare_decoder_input_ids_from_labels(labels=labels)
    assert torch.equal(shifted, expected)
    ids = torch.tensor([[5, 6]]).expand(4, -1)
    torch.testing.assert_close(model(input_ids=ids, labels=labels).logits, model(ids, decoder_input_ids=shifted).logits)
    assert model(input_ids=ids, labels=labels).loss.isfinite()


def test_a_target_mask_holds_the_state():
    model = tiny_lstm(dtype=torch.float64)
    ids, mask = torch.tensor([[2, 7, 9, 8]]), torch.tensor([[1, 1, 0, 1]])
    source = torch.tensor([[5, 6]])
    held = model(source, decoder_input_ids=ids, decoder_attention_mask=mask)
    short = model(source, decoder_input_ids=ids[:, [0, 1, 3]])
    torch.testing.assert_close(held.logits[:, [0, 1, 3]], short.logits)
    torch.testing.assert_close(held.past_key_values.cell, short.past_key_values.cell)
    # A model that starts from the padding token cannot tell it from padding, and reads every token.
    same = tiny_lstm(dtype=torch.float64, decoder_start_token_id=0)
    assert same(source, decoder_input_ids=torch.tensor([[0, 7]])).logits[0, 0].isfinite().all()
    everywhere = torch.ones(1, 2)
    torch.testing.assert_close(
        same(source, decoder_input_ids=torch.tensor([[0, 7]])).logits,
        same(source, decoder_input_ids=torch.tensor([[0, 7]]), decoder_attention_mask=everywhere).logits,
    )


def test_dropout_is_between_layers_and_off_in_evaluation():
    model, batch = tiny_lstm(dropout=0.5, dtype=torch.float64), rows()
    plain = tiny_lstm(dtype=torch.float64)
    torch.testing.assert_close(model(**batch).logits, plain(**batch).logits)
    model.train()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        first, second = model(**batch).logits, model(**batch).logits
        torch.manual_seed(0)
        torch.testing.assert_close(model(**batch).logits, first)
        source = model.encoder(batch["input_ids"], batch["attention_mask"], output_hidden_states=True)
    assert not torch.allclose(first, second)
    assert (source.hidden_states[-1][0] != 0).all()
    single = tiny_lstm(dropout=0.5, encoder_layers=1, dtype=torch.float64).train()
    torch.testing.assert_close(single(**batch).logits, single.eval()(**batch).logits)


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


def test_the_private_network_is_called_as_a_module_and_can_be_replaced():
    model, batch = tiny_lstm(), rows()
    assert [name for name, _ in model.named_parameters() if "private" in name] == [
        f"decoder.private.layers.{k}.{kind}" for k in range(4) for kind in ("weight", "bias")
    ]
    calls = []
    model.decoder.private.register_forward_hook(lambda module, given, output: calls.append(given[0].shape))
    first = model(**batch).logits
    assert calls == [(5, batch["labels"].shape[1], 12)]
    other = seeded(lambda: PrivateMlp(model.decoder.private.sizes), seed=9)

    class Instead(nn.Module):
        def forward(self, z):
            return other(z)

    model.decoder.private = Instead()
    assert not torch.allclose(model(**batch).logits, first)


def test_other_weights_by_functional_call():
    model, other = (tiny_lstm(seed=seed, dtype=torch.float64) for seed in (0, 1))
    batch, values = rows(), {name: value.detach() for name, value in other.named_parameters()}
    found = functional_call(model, values, args=(), kwargs=batch)
    torch.testing.assert_close(found.logits, other(**batch).logits)
    with torch.no_grad():
        torch.testing.assert_close(functional_call(model, values, args=(), kwargs=batch).loss, other(**batch).loss)


def test_speakers():
    model, batch = tiny_lstm("hfmeta-speaker", num_speakers=4, dtype=torch.float64), rows()
    table = model.decoder.speakers
    ids = torch.tensor([0, 3, 3, -1, 1])
    found = model(**batch, speaker_ids=ids).logits
    assert not torch.allclose(found, model(**batch, speaker_ids=ids.flip(0)).logits)
    torch.testing.assert_close(found[3], model(**batch).logits[3])
    with torch.no_grad():
        table.table.weight[2] = table.table.weight.mean(0)  # leaves the mean of four rows elsewhere
        unseen = table.table.weight.mean(0)
    torch.testing.assert_close(table(None, 2), unseen.expand(2, -1))
    own, rest = torch.autograd.grad(model(**batch).loss, [table.unseen, table.table.weight])
    assert own.abs().sum() > 0
    torch.testing.assert_close(rest, own.expand(4, -1) / 4)  # a new speaker moves the rows by their share in the mean
    with torch.no_grad():
        table.unseen.fill_(0.5)
    torch.testing.assert_close(table(torch.tensor([-1, 2]), 2)[0], unseen + 0.5)
    table.reset_unseen()
    torch.testing.assert_close(table(None, 1)[0], unseen)
    with pytest.raises(
        HfmetaError, match=r"speaker_ids go beyond the 4 row\(s\) of the speaker table: set num_speakers"
    ):
        model(**batch, speaker_ids=ids + 1)


def test_outputs_on_demand():
    model, batch = tiny_lstm(), rows()
    length, source = batch["labels"].shape[1], batch["input_ids"].shape[1]
    output = model(**batch, output_attentions=True, output_hidden_states=True)
    (attention,) = output.cross_attentions
    assert attention.shape == (5, 1, length, source)
    torch.testing.assert_close(attention.sum(-1), torch.ones(5, 1, length))
    assert not attention[(batch["attention_mask"] == 0)[:, None, None].expand_as(attention)].any()
    assert [tuple(value.shape) for value in output.encoder_hidden_states] == [(5, source, 6)] * 3
    assert len(output.decoder_hidden_states) == 3
    torch.testing.assert_close(output.logits, model.lm_head(output.decoder_hidden_states[-1]))
    assert len(tiny_lstm("hfmeta-lstm-seq2seq")(**batch, output_hidden_states=True).decoder_hidden_states) == 2
    assert output.past_key_values is None  # never with labels
    assert model(batch["input_ids"], decoder_input_ids=torch.full((5, 1), 2), use_cache=False).past_key_values is None
    plain = model(**batch, return_dict=False)
    assert isinstance(plain, tuple)
    assert torch.equal(plain[0], output.loss)
    assert torch.equal(plain[1], output.logits)


def test_other_ways_to_pass_source_and_target():
    model, batch = tiny_lstm(), rows()
    embed = model.get_input_embeddings()
    ids, mask = batch["input_ids"], batch["attention_mask"]
    target = model.prepare_decoder_input_ids_from_labels(batch["labels"])
    expected = model(**batch).logits
    encoded = model.get_encoder()(ids, mask)
    ways = [
        {"inputs_embeds": embed(ids), "decoder_input_ids": target},
        {"encoder_outputs": encoded, "decoder_input_ids": target},
        {"encoder_outputs": model.get_encoder()(ids, mask, return_dict=False), "decoder_input_ids": target},
        {"input_ids": ids, "decoder_inputs_embeds": embed(target)},
    ]
    for way in ways:
        torch.testing.assert_close(model(attention_mask=mask, **way).logits, expected)
    assert not encoded.last_hidden_state[mask == 0].any()


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({}, "the encoder was given neither of input_ids and inputs_embeds; give exactly one"),
        ({"input_ids": 1, "inputs_embeds": 1}, "the encoder was given both of input_ids and inputs_embeds"),
        ({"input_ids": 1}, "was given neither decoder_input_ids, decoder_inputs_embeds nor labels; give one of them"),
        (
            {"input_ids": 1, "decoder_input_ids": 1, "decoder_inputs_embeds": 1},
            "was given both decoder_input_ids and decoder_inputs_embeds",
        ),
        (
            {"input_ids": 1, "labels": 1, "speaker_ids": 1},
            "has no speakers: leave out speaker_ids, or use a hfmeta-speaker",
        ),
    ],
)
def test_what_is_missing_or_twice_is_refused(given, message):
    values = {"input_ids": torch.tensor([[5]]), "labels": torch.tensor([[3]]), "decoder_input_ids": torch.tensor([[2]])}
    values |= {"inputs_embeds": torch.zeros(1, 1, 6), "decoder_inputs_embeds": torch.zeros(1, 1, 6)}
    values |= {"speaker_ids": torch.tensor([0])}
    with pytest.raises(HfmetaError, match=message):
        tiny_lstm()(**{name: values[name] for name in given})


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


def test_autocast():
    model, batch = tiny_lstm(), rows(dtype=torch.float32)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        half = model(**batch).loss
    half.backward()
    torch.testing.assert_close(half.float(), model(**batch).loss, rtol=0.02, atol=0.0)
    assert all(value.grad.isfinite().all() for value in model.parameters())


def test_layers_are_wired_in_order():
    widths = [
        (layer.weight_ih.shape[1], layer.weight_hh.shape[1]) for layer in tiny_lstm(encoder_layers=3).encoder.layers
    ]
    assert all(one[1] == other[0] for one, other in pairwise(widths))
