"""Default targets by model type, and indices of blocks."""

from __future__ import annotations

import pytest
from transformers import AutoConfig, AutoModel

from hfmeta.adapters.private_mlp.layer import PrivateMlpLayer
from hfmeta.adapters.private_mlp.targets import DEFAULT_TARGETS, layer_index
from private import private
from tiny import seeded

SMALL = dict(vocab_size=60, hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=24)
OWN = {
    "gpt_neo": dict(
        vocab_size=60, hidden_size=16, num_layers=2, num_heads=2, attention_types=[[["global", "local"], 1]]
    ),
    "distilbert": dict(vocab_size=60, dim=16, n_layers=2, n_heads=2, hidden_dim=24),
    "bart": dict(vocab_size=60, d_model=16, encoder_layers=2, decoder_layers=2, encoder_ffn_dim=24, decoder_ffn_dim=24)
    | dict(encoder_attention_heads=2, decoder_attention_heads=2),
    "bloom": dict(vocab_size=60, hidden_size=16, n_layer=2, n_head=2),
    "opt": SMALL | dict(ffn_dim=24, word_embed_proj_dim=16),
    "mpt": dict(vocab_size=60, d_model=16, n_layers=2, n_heads=2),
    "deberta-v2": SMALL | dict(relative_attention=True, pos_att_type=["p2c", "c2p"]),
    "dinov2": dict(hidden_size=16, num_hidden_layers=2, num_attention_heads=2, image_size=16, patch_size=8),
    "vit": dict(
        hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=24, image_size=16, patch_size=8
    ),
    "whisper": dict(vocab_size=60, d_model=16, encoder_layers=2, decoder_layers=2, encoder_attention_heads=2)
    | dict(decoder_attention_heads=2, encoder_ffn_dim=24, decoder_ffn_dim=24, pad_token_id=0),
}
FEW_KEYS = dict(num_key_value_heads=1, head_dim=8, pad_token_id=0)
TYPES = ["bert", "roberta", "electra", "mpnet", "llama", "mistral", "qwen2", "qwen3", "gemma2", "gpt_neox", "phi", *OWN]


@pytest.mark.parametrize("kind", TYPES)
def test_the_defaults_find_every_block_of_width_16(kind):
    options = OWN.get(kind) or SMALL | (
        FEW_KEYS if kind in ("llama", "mistral", "qwen2", "qwen3", "gemma2") else {"pad_token_id": 0}
    )
    model = private(seeded(lambda: AutoModel.from_config(AutoConfig.for_model(kind, **options))))
    found = [module for module in model.modules() if isinstance(module, PrivateMlpLayer)]
    assert len(found) == (4 if kind in ("bart", "whisper") else 2)
    assert all((module.in_features, module.out_features) == (16, 16) for module in found)
    assert kind in DEFAULT_TARGETS


def test_indices_of_blocks():
    assert layer_index("bert.encoder.layer.11") == 11
    assert layer_index("h.3") == 3
    assert layer_index("model.layers.2.mlp.experts.5.w1") == 2
    assert layer_index("model.layers.2.mlp.experts.5.w1", "experts") == 5
    assert layer_index("encoder.block.4", ["decoder.block", "encoder.block"]) == 4
    assert layer_index("decoder.private") is None
    assert layer_index("encoder.block.4", "decoder.block") is None
