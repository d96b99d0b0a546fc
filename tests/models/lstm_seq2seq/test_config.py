"""Checks of hfmeta/models/lstm_seq2seq/config.py."""

from __future__ import annotations

import pytest
from transformers import AutoConfig

from hfmeta.inner.errors import HfmetaError
from hfmeta.models import LstmSeq2SeqConfig, Seq2SpgConfig, SpeakerConfig


def test_defaults_are_the_papers():
    config = Seq2SpgConfig()
    assert (config.embedding_size, config.hidden_size, config.encoder_layers, config.dropout) == (300, 300, 4, 0.2)
    assert config.private_widths == [600, 600, 500, 400, 300]
    assert Seq2SpgConfig(private_input="state").private_widths == [300, 300, 200, 100, 300]
    assert config.tie_word_embeddings
    assert (config.pad_token_id, config.eos_token_id, config.bos_token_id) == (1, 2, 3)
    assert config.decoder_start_token_id == 3
    assert config.is_encoder_decoder
    assert SpeakerConfig().speaker_size == 64


def test_private_widths_follow_the_hidden_size_until_they_are_given():
    config = Seq2SpgConfig(hidden_size=128, embedding_size=128)
    assert config.private_widths == [256, 256, 213, 171, 128]
    assert Seq2SpgConfig(hidden_size=1, embedding_size=1, private_input="state").private_widths == [1, 1, 1, 1, 1]
    own = Seq2SpgConfig(hidden_size=8, embedding_size=5, tie_word_embeddings=False, private_sizes=(13, 4, 8))
    assert own.private_sizes == own.private_widths == [13, 4, 8]


@pytest.mark.parametrize("kind", [LstmSeq2SeqConfig, Seq2SpgConfig, SpeakerConfig])
def test_configurations_are_saved_and_known_by_type(kind, tmp_path):
    config = kind(vocab_size=11, hidden_size=8, embedding_size=8)
    config.save_pretrained(tmp_path)
    opened = AutoConfig.from_pretrained(tmp_path)
    assert type(opened) is kind
    assert opened.to_diff_dict() == config.to_diff_dict()


@pytest.mark.parametrize(
    ("kind", "options", "message"),
    [
        (LstmSeq2SeqConfig, {"encoder_layers": 0}, "encoder_layers=0 is impossible; it must be at least 1"),
        (LstmSeq2SeqConfig, {"vocab_size": 0}, "vocab_size=0 is impossible"),
        (LstmSeq2SeqConfig, {"dropout": 1.0}, "dropout=1.0 is impossible; it must be at least 0 and below 1"),
        (
            LstmSeq2SeqConfig,
            {"hidden_size": 128},
            "embedding_size=300 and hidden_size=128 differ, .* make them equal, or set tie_word_embeddings=false",
        ),
        (
            Seq2SpgConfig,
            {"private_init": "zeros"},
            "private_init='zeros' is not known; choose one of default, kaiming",
        ),
        (
            Seq2SpgConfig,
            {"private_input": "both"},
            "private_input='both' is not known; choose one of embedding_and_state, state",
        ),
        (
            Seq2SpgConfig,
            {"private_sizes": [300, 10, 300]},
            r"private_sizes=\[300, 10, 300\] do not fit: with private_input='embedding_and_state' they must begin with 600 and end",
        ),
        (
            Seq2SpgConfig,
            {"private_input": "state", "private_sizes": [300, 10, 200]},
            "with private_input='state' they must begin with 300 and end with 300",
        ),
        (Seq2SpgConfig, {"private_sizes": [600, 0, 300]}, "every size must be a whole number of at least 1"),
        (SpeakerConfig, {"num_speakers": 0}, "num_speakers=0 is impossible"),
        (SpeakerConfig, {"speaker_size": 0}, "speaker_size=0 is impossible"),
    ],
)
def test_impossible_sizes_are_refused(kind, options, message):
    with pytest.raises(HfmetaError, match=message):
        kind(**options)
