"""The models against the published equations, computed row by row and step by step in numpy; no code is shared with hfmeta."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from tiny import tiny_lstm

SOURCES = [[5, 9, 7, 30, 8], [11, 6, 40], [21]]
TARGETS = [[7, 12, 3], [33, 3], [9, 9, 14, 3]]
SPEAKERS = [1, -1, 0]


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def cell(gates, c):
    i, f, g, o = np.split(gates, 4)
    c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
    return sigmoid(o) * np.tanh(c), c


def encode(w, source, layers):
    """Outputs of the top layer, and its last cell state."""
    rows = [w["encoder.embed_tokens.weight"][token] for token in source]
    for k in range(layers):
        a, b, u, v = (w[f"encoder.layers.{k}.{name}"] for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh"))
        h = c = np.zeros(b.shape[1])
        outputs = []
        for x in rows:
            h, c = cell(a @ x + u + b @ h + v, c)
            outputs.append(h)
        rows = outputs
    return np.array(rows), c


def private(w, z):
    for k in range(4):
        z = w[f"decoder.private.layers.{k}.weight"] @ z + w[f"decoder.private.layers.{k}.bias"]
        z = np.tanh(z) if k == 3 else np.maximum(z, 0)
    return z


def log_probabilities(model, source, target, speaker):
    """[L, V] for one row, from the equations."""
    w = {name: value.detach().numpy() for name, value in model.state_dict().items()}
    config = model.config
    memory, c = encode(w, source, config.encoder_layers)
    d = np.tanh(w["bridge.weight"] @ memory[-1] + w["bridge.bias"])
    found = []
    for token in [config.decoder_start_token_id, *target[:-1]]:
        x = w["encoder.embed_tokens.weight"][token]
        entering = x
        if "decoder.speakers.unseen" in w:
            table = w["decoder.speakers.table.weight"]
            user = table[speaker] if speaker >= 0 else table.mean(0) + w["decoder.speakers.unseen"]
            entering = np.concatenate([x, user])
        before = d
        gates = w["decoder.from_input.weight"] @ entering + w["decoder.from_input.bias"]
        h, c = cell(gates + w["decoder.from_state.weight"] @ d + w["decoder.from_state.bias"], c)
        scores = memory @ (w["decoder.attention.weight"] @ h)
        attention = np.exp(scores) / np.exp(scores).sum()
        d = np.tanh(w["decoder.combine.weight"] @ np.concatenate([attention @ memory, h]))
        o = d
        if "decoder.private.layers.0.weight" in w:
            p = private(w, np.concatenate([x, before]) if config.private_input == "embedding_and_state" else before)
            q = w["decoder.gate.linear_d.weight"] @ d + w["decoder.gate.linear_d.bias"]
            q = q + w["decoder.gate.linear_p.weight"] @ p + w["decoder.gate.linear_p.bias"]
            q_d, q_p = np.split(sigmoid(q), 2)
            o = np.tanh(q_d * d + q_p * p)
        logits = w["lm_head.weight"] @ o + w["lm_head.bias"]
        found.append(logits - np.log(np.exp(logits).sum()))
    return np.array(found)


def padded(rows, value, left, width):
    return torch.tensor([[value] * left + row + [value] * (width - left - len(row)) for row in rows])


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("hfmeta-lstm-seq2seq", {}),
        ("hfmeta-lstm-seq2seq", {"encoder_layers": 1}),
        ("hfmeta-lstm-seq2seq", {"embedding_size": 4, "tie_word_embeddings": False}),
        ("hfmeta-seq2spg", {}),
        ("hfmeta-seq2spg", {"private_input": "state"}),
        ("hfmeta-seq2spg", {"embedding_size": 4, "tie_word_embeddings": False, "private_sizes": [10, 5, 3, 7, 6]}),
        ("hfmeta-speaker", {"num_speakers": 3, "speaker_size": 5}),
    ],
)
@pytest.mark.parametrize("grad", [True, False])
def test_logits_and_loss_are_those_of_the_equations(name, options, grad):
    model = tiny_lstm(name, dtype=torch.float64, **options)
    with torch.no_grad():
        if name == "hfmeta-speaker":
            model.decoder.speakers.unseen.fill_(0.3)
    expected = [
        log_probabilities(model, source, target, speaker)
        for source, target, speaker in zip(SOURCES, TARGETS, SPEAKERS, strict=True)
    ]
    extra = {"speaker_ids": torch.tensor(SPEAKERS)} if name == "hfmeta-speaker" else {}
    for left in (0, 2):
        ids = padded(SOURCES, 0, left, 9)
        labels = padded(TARGETS, -100, left, 8)
        with torch.set_grad_enabled(grad):
            output = model(input_ids=ids, attention_mask=(ids != 0).long(), labels=labels, **extra)
        found = output.logits.log_softmax(-1).detach().numpy()
        for row, steps in enumerate(expected):
            np.testing.assert_allclose(found[row, left : left + len(steps)], steps, rtol=1e-10, atol=1e-12)
        counted = [
            steps[t, token] for steps, target in zip(expected, TARGETS, strict=True) for t, token in enumerate(target)
        ]
        assert output.loss.item() == pytest.approx(-np.mean(counted), rel=1e-12)
