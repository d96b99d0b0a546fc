"""Checks of hfmeta/models/lstm_seq2seq/model.py, encoder.py and decoder.py: sizes, padding, files, and what is refused."""

from __future__ import annotations

from itertools import pairwise

import pytest
import torch
from torch import nn
from torch.func import functional_call
from transformers import AutoModelForSeq2SeqLM

from hfmeta.inner.errors import HfmetaError
from hfmeta.models import (
    PrivateMlp,
    load_model,
)
from lstm_samples import rows
from tiny import seeded, tiny_lstm


def count(module):
    return sum(value.numel() for value in module.parameters())


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
