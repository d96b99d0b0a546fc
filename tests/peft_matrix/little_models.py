"""The models PEFT's suites run on here: tiny, random, in local folders, since PEFT's own are on the hub."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from peft import LoraConfig
from transformers import (
    AutoModel,
    AutoModelForCausalLM,
    AutoModelForQuestionAnswering,
    AutoModelForSeq2SeqLM,
    AutoModelForSequenceClassification,
    AutoModelForTokenClassification,
    BartConfig,
    BertConfig,
    GPT2Config,
    LlamaConfig,
    OPTConfig,
    RobertaConfig,
    T5Config,
)

from tiny import seeded, tiny_tokenizer

SIZES = dict(vocab_size=128, hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=24)
BART = dict(
    vocab_size=128, d_model=16, encoder_layers=2, decoder_layers=2, encoder_attention_heads=2, decoder_attention_heads=2
)
CONFIGS: dict[str, Any] = {
    "tiny-gpt2": GPT2Config(vocab_size=128, n_embd=16, n_layer=2, n_head=2, n_positions=64),
    "tiny-opt": OPTConfig(
        vocab_size=128, hidden_size=16, num_hidden_layers=2, num_attention_heads=2, ffn_dim=24, word_embed_proj_dim=16
    ),
    "tiny-llama": LlamaConfig(**SIZES, num_key_value_heads=1, pad_token_id=0),
    "tiny-t5": T5Config(
        vocab_size=128, d_model=16, d_kv=8, d_ff=24, num_layers=2, num_heads=2, decoder_start_token_id=0
    ),
    "tiny-bart": BartConfig(**BART, encoder_ffn_dim=24, decoder_ffn_dim=24),
    "tiny-bert": BertConfig(**SIZES),
    "tiny-roberta": RobertaConfig(**SIZES),
}
TASKS: dict[str, tuple[Any, tuple[str, ...]]] = {
    "CAUSAL_LM": (AutoModelForCausalLM, ("tiny-gpt2", "tiny-opt", "tiny-llama")),
    "SEQ_2_SEQ_LM": (AutoModelForSeq2SeqLM, ("tiny-t5", "tiny-bart")),
    "FEATURE_EXTRACTION": (AutoModel, ("tiny-bert", "tiny-roberta")),
    "SEQ_CLS": (AutoModelForSequenceClassification, ("tiny-bert", "tiny-llama")),
    "TOKEN_CLS": (AutoModelForTokenClassification, ("tiny-bert",)),
    "QUESTION_ANS": (AutoModelForQuestionAnswering, ("tiny-bert",)),
}


def write_models(folder: Path) -> Path:
    """Write every model with a tokenizer, and the list of them by task that suites.py reads; returns the list's path."""
    listed: dict[str, list[str]] = {}
    for task, (auto, names) in TASKS.items():
        for name in names:
            path = folder / task.lower() / name
            seeded(lambda auto=auto, name=name: auto.from_config(CONFIGS[name])).save_pretrained(path)
            tiny_tokenizer().save_pretrained(path)
            listed.setdefault(task, []).append(str(path))
    # PEFT's tests of configurations read one that lies on the hub.
    LoraConfig(target_modules=["q_proj", "v_proj"]).save_pretrained(str(folder / "adapter"))
    listed["adapter"] = [str(folder / "adapter")]
    result = folder / "models.json"
    result.write_text(json.dumps(listed), encoding="utf-8")
    return result
