"""Tiny random models, a made-up tokenizer and random batches for all tests: no network, no global randomness.

Every model is built from a config with dropout 0 under a forked generator: two calls with one seed give equal weights and
nothing outside notices. Tests import it as `from tiny import tiny_bert, random_batch`. What only one room's tests need
stays with them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors
from torch import Tensor, nn
from transformers import (
    BertConfig,
    BertForSequenceClassification,
    GPT2Config,
    GPT2LMHeadModel,
    PreTrainedTokenizerFast,
    T5Config,
    T5ForConditionalGeneration,
    ViTConfig,
    ViTForImageClassification,
)

LETTERS = "abcdefghijklmnopqrstuvwxyz"
SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
WORDS = ["the", "you", "my", "is", "to", "card", "bank", "money", "hello", "yes", "no", "good", "bad", "lost", "pay"]
TOKENS = [*SPECIAL, *LETTERS, *(f"##{c}" for c in LETTERS), *"0123456789.,?!'-", *WORDS]
"""The vocabulary of `tiny_tokenizer`; any lower-case English word can be spelled with it."""
VOCAB_SIZE = len(TOKENS)
IMAGE_SIZE = 16
"""Side of the square images of `tiny_vit`, `tiny_conv4` and `random_batch`, in pixels."""
LORA_TARGETS = {"bert": ["query", "value"], "gpt2": ["c_attn"], "t5": ["q", "v"], "vit": ["q_proj", "v_proj"]}
"""Modules that `with_lora` adapts where the caller names none, by the model type of the config."""
HEADS = {"bert": ["classifier"], "vit": ["classifier"]}


def seeded(build: Callable[[], nn.Module], seed: int = 0, dtype: torch.dtype = torch.float32) -> Any:
    """Build a module from `seed` and leave the global generator as it was."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        module = build()
    return module.to(dtype)


def tiny_bert(num_labels: int = 5, seed: int = 0, dtype: torch.dtype = torch.float32, **config: Any) -> Any:
    """A BertForSequenceClassification of 2 layers, width 16, 2 heads, up to 64 tokens."""
    options: dict[str, Any] = dict(
        vocab_size=VOCAB_SIZE,
        hidden_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=24,
        max_position_embeddings=64,
        hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0,
        initializer_range=0.2,
        num_labels=num_labels,
    )
    return seeded(lambda: BertForSequenceClassification(BertConfig(**(options | config))), seed, dtype)


def tiny_gpt2(seed: int = 0, dtype: torch.dtype = torch.float32, **config: Any) -> Any:
    """A GPT2LMHeadModel of 2 layers, width 16, 2 heads, up to 64 tokens, input and output embeddings tied."""
    options: dict[str, Any] = dict(
        vocab_size=VOCAB_SIZE,
        n_embd=16,
        n_layer=2,
        n_head=2,
        n_positions=64,
        resid_pdrop=0.0,
        embd_pdrop=0.0,
        attn_pdrop=0.0,
        initializer_range=0.2,
        pad_token_id=0,
        bos_token_id=2,
        eos_token_id=3,
    )
    return seeded(lambda: GPT2LMHeadModel(GPT2Config(**(options | config))), seed, dtype)


def tiny_t5(seed: int = 0, dtype: torch.dtype = torch.float32, **config: Any) -> Any:
    """A T5ForConditionalGeneration of 2 + 2 layers, width 16, 2 heads."""
    options: dict[str, Any] = dict(
        vocab_size=VOCAB_SIZE,
        d_model=16,
        d_kv=8,
        d_ff=24,
        num_layers=2,
        num_heads=2,
        relative_attention_num_buckets=8,
        relative_attention_max_distance=16,
        dropout_rate=0.0,
        pad_token_id=0,
        eos_token_id=3,
        decoder_start_token_id=0,
    )
    return seeded(lambda: T5ForConditionalGeneration(T5Config(**(options | config))), seed, dtype)


def tiny_vit(num_labels: int = 5, seed: int = 0, dtype: torch.dtype = torch.float32, **config: Any) -> Any:
    """A ViTForImageClassification of 2 layers, width 16, 2 heads, for images [1, 16, 16] in patches of 8."""
    options: dict[str, Any] = dict(
        hidden_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=24,
        image_size=IMAGE_SIZE,
        patch_size=8,
        num_channels=1,
        hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0,
        initializer_range=0.2,
        num_labels=num_labels,
    )
    return seeded(lambda: ViTForImageClassification(ViTConfig(**(options | config))), seed, dtype)


def tiny_mlp(seed: int = 0, dtype: torch.dtype = torch.float32, **config: Any) -> Any:
    """Our regression MLP with two hidden layers of 6."""
    from hfmeta.models.mlp import MlpConfig, MlpForRegression

    options: dict[str, Any] = dict(input_size=1, hidden_sizes=[6, 6], output_size=1, init_std=0.5)
    return seeded(lambda: MlpForRegression(MlpConfig(**(options | config))), seed, dtype)


def tiny_conv4(num_labels: int = 5, seed: int = 0, dtype: torch.dtype = torch.float32, **config: Any) -> Any:
    """Our conv4 with 4 filters for images [1, 16, 16]."""
    from hfmeta.models.conv4 import Conv4Config, Conv4ForImageClassification

    options: dict[str, Any] = dict(image_size=IMAGE_SIZE, num_filters=4, num_labels=num_labels)
    return seeded(lambda: Conv4ForImageClassification(Conv4Config(**(options | config))), seed, dtype)


def tiny_lstm(name: str = "hfmeta-seq2spg", seed: int = 0, dtype: torch.dtype = torch.float32, **config: Any) -> Any:
    """One of our LSTM sequence-to-sequence models, of width 6 with 2 layers in the encoder; its special tokens are `tiny_t5`'s."""
    from transformers import AutoConfig, AutoModelForSeq2SeqLM

    import hfmeta.models  # noqa: F401 - registers the models

    options: dict[str, Any] = dict(
        vocab_size=VOCAB_SIZE,
        embedding_size=6,
        hidden_size=6,
        encoder_layers=2,
        dropout=0.0,
        embedding_std=0.5,
        pad_token_id=0,
        bos_token_id=2,
        decoder_start_token_id=2,
        eos_token_id=3,
    )
    made = AutoConfig.for_model(name, **(options | config))
    return seeded(lambda: AutoModelForSeq2SeqLM.from_config(made), seed, dtype).eval()


def with_lora(model: Any, r: int = 2, targets: Sequence[str] | None = None, seed: int = 0, head: bool = True) -> Any:
    """Wrap `model` in a PeftModel with one LoRA; B starts random, so that A has a gradient from the first step.

    Args:
        targets: the modules to adapt; by default `LORA_TARGETS` of the model type.
        head: train the classification head too, where the model has one.
    """
    from peft import LoraConfig, get_peft_model

    kind = model.config.model_type
    dtype = next(model.parameters()).dtype
    config = LoraConfig(
        r=r,
        lora_alpha=2 * r,
        target_modules=list(targets or LORA_TARGETS[kind]),
        modules_to_save=HEADS.get(kind) if head else None,
        fan_in_fan_out=kind == "gpt2",
        init_lora_weights=False,
    )
    return seeded(lambda: get_peft_model(model, config), seed, dtype)


def tiny_tokenizer() -> PreTrainedTokenizerFast:
    """A lower-casing WordPiece tokenizer of `VOCAB_SIZE` made-up tokens that writes [CLS] text [SEP]."""
    vocabulary = {token: number for number, token in enumerate(TOKENS)}
    tokenizer = Tokenizer(models.WordPiece(vocabulary, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.WordPiece()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]",
        pair="[CLS] $A [SEP] $B:1 [SEP]:1",
        special_tokens=[("[CLS]", vocabulary["[CLS]"]), ("[SEP]", vocabulary["[SEP]"])],
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        model_max_length=64,
        pad_token="[PAD]",
        unk_token="[UNK]",
        cls_token="[CLS]",
        sep_token="[SEP]",
        mask_token="[MASK]",
        bos_token="[CLS]",
        eos_token="[SEP]",
    )


def _tokens(generator: torch.Generator, shape: tuple[int, ...], length: int, padded: bool) -> tuple[Tensor, Tensor]:
    """Random ids and their mask, [*shape, length]; one row is full, the others end anywhere where `padded`."""
    ids = torch.randint(5, VOCAB_SIZE, (*shape, length), generator=generator)
    mask = torch.ones_like(ids)
    if padded:
        lengths = torch.randint(1, length + 1, shape, generator=generator)
        lengths.view(-1)[0] = length
        mask = (torch.arange(length) < lengths.unsqueeze(-1)).long()
    return ids * mask, mask


def _rows(
    generator: torch.Generator,
    task_type: str,
    shape: tuple[int, int],
    length: int,
    classes: int,
    dtype: torch.dtype,
    padded: bool,
) -> dict[str, Tensor]:
    """One half, support or query, of a random batch; shape is (T, rows)."""
    labels = torch.stack([torch.randperm(shape[1], generator=generator) % classes for _ in range(shape[0])])
    if task_type == "regression":
        inputs = torch.randn(*shape, 1, generator=generator, dtype=torch.float64)
        targets = torch.sin(3 * inputs) + 0.1 * torch.randn(*shape, 1, generator=generator, dtype=torch.float64)
        return {"inputs": inputs.to(dtype), "labels": targets.to(dtype)}
    if task_type == "image-classification":
        images = torch.randn(*shape, 1, IMAGE_SIZE, IMAGE_SIZE, generator=generator, dtype=torch.float64)
        return {"pixel_values": images.to(dtype), "labels": labels}
    ids, mask = _tokens(generator, shape, length, padded)
    if task_type == "causal-lm":
        labels = ids.masked_fill(mask == 0, -100)
    elif task_type == "seq2seq-lm":
        target, target_mask = _tokens(generator, shape, length, padded)
        labels = target.masked_fill(target_mask == 0, -100)
    elif task_type != "sequence-classification":
        raise ValueError(f"unknown task type {task_type!r}")
    return {"input_ids": ids, "attention_mask": mask, "labels": labels}


def random_batch(
    task_type: str,
    T: int = 2,
    S: int = 5,
    Q: int = 4,
    *,
    L: int = 7,
    C: int = 5,
    dtype: torch.dtype = torch.float32,
    padded: bool = True,
    seed: int = 0,
) -> dict[str, Any]:
    """A random batch of T episodes of S support and Q query rows: `{"support", "query", "task"}`, ARCHITECTURE.md section 4.

    With S >= C the support set of every task holds every class. Regression has `inputs [T, S, 1]`, `labels [T, S, 1]`.

    Args:
        L: length of the longest row, in tokens; the support set and the query set each hold one row of that length.
        C: classes; labels are 0..C-1.
        padded: end the other rows anywhere from one token to L (otherwise all are full).
    """
    generator = torch.Generator().manual_seed(seed)
    support = _rows(generator, task_type, (T, S), L, C, dtype, padded)
    query = _rows(generator, task_type, (T, Q), L, C, dtype, padded)
    return {"support": support, "query": query, "task": torch.arange(T)}


def ragged_batch(tasks: int = 3, rows: int = 12, width: int = 20, seed: int = 7) -> dict[str, torch.Tensor]:
    """One set of rows of 3 to `width` tokens, `[T, rows, width]`, some of them twice; all labels are 0."""
    dice = torch.Generator().manual_seed(seed)
    ids = torch.randint(1, 50, (tasks, rows, width), generator=dice)
    lengths = torch.randint(3, width + 1, (tasks, rows, 1), generator=dice)
    mask = (torch.arange(width) < lengths).long()
    ids, labels = ids * mask, torch.zeros(tasks, rows, dtype=torch.int64)
    ids[1, :4], mask[1, :4] = ids[0, :4], mask[0, :4]
    return {"input_ids": ids, "attention_mask": mask, "labels": labels}


def seen_by(model: torch.nn.Module) -> list[torch.Size]:
    """A list that grows by the shape of `input_ids` with every pass through the model."""
    passes: list[torch.Size] = []
    model.register_forward_pre_hook(lambda _, args, kwargs: passes.append(kwargs["input_ids"].shape), with_kwargs=True)
    return passes
