"""Text encoders against hand-made rows of a tiny tokenizer; they are seen to work with real model classes."""

from __future__ import annotations

import json
import logging
from typing import Any

import pytest
import torch
from transformers import PreTrainedTokenizerFast

from hfmeta.episodes import (
    CausalLMEncoder,
    EpisodeError,
    Seq2SeqLMEncoder,
    SequenceClassificationEncoder,
    encoder_from_dict,
)
from hfmeta.episodes.encoding import tokens as tokens_module
from tiny import tiny_bert, tiny_gpt2, tiny_t5

Fast = PreTrainedTokenizerFast
ROWS = [{"text": "hello you", "mood": "good"}, {"text": "lost my card", "mood": "bad"}]
TALK = [{"context": "hello", "reply": "hello you"}, {"context": "is it lost", "reply": "no"}]


def ids(tokenizer: Fast, text: str) -> list[int]:
    return tokenizer(text, add_special_tokens=False)["input_ids"]


def test_sequence_classification(tokenizer: Fast) -> None:
    encoded = SequenceClassificationEncoder("text", "mood", tokenizer).encode(ROWS)
    expected = tokenizer([r["text"] for r in ROWS], padding=True, return_tensors="pt")
    assert torch.equal(encoded["input_ids"], expected["input_ids"])
    assert torch.equal(encoded["attention_mask"], expected["attention_mask"])
    assert encoded["labels"].tolist() == [1, 0]
    assert torch.isfinite(tiny_bert(num_labels=2)(**encoded).loss)


def test_labels_of_the_episode_need_no_target_column(tokenizer: Fast) -> None:
    encoder = SequenceClassificationEncoder("text", "mood", tokenizer)
    assert encoder.encode([{"text": "hello"}, {"text": "no"}], [1, 0])["labels"].tolist() == [1, 0]
    with pytest.raises(EpisodeError, match="1 label ids for 2 rows"):
        encoder.encode(ROWS, [1])


def test_classes_come_in_the_order_of_the_ids(tokenizer: Fast) -> None:
    assert SequenceClassificationEncoder("text", "mood", tokenizer).classes(ROWS) == ["bad", "good"]
    named = SequenceClassificationEncoder("text", "mood", tokenizer, label_names=["good", "bad", "so"])
    assert named.classes(ROWS) == ["good", "bad", "so"]
    assert named.encode(ROWS)["labels"].tolist() == [0, 1]


def test_max_length_cuts(tokenizer: Fast) -> None:
    long = [{"text": "you " * 100, "mood": "good"}]
    assert SequenceClassificationEncoder("text", "mood", tokenizer).encode(long)["input_ids"].shape == (1, 64)
    encoder = SequenceClassificationEncoder("text", "mood", tokenizer, max_length=7)
    row = encoder.encode(long)["input_ids"][0]
    assert len(row) == 7
    assert row[-1] == tokenizer.sep_token_id
    for bad in (1, 2.5, True):
        with pytest.raises(EpisodeError, match="max_length must be a whole number of at least 2 tokens"):
            SequenceClassificationEncoder("text", "mood", tokenizer, max_length=bad)


def test_causal_lm_rows(tokenizer: Fast) -> None:
    encoded = CausalLMEncoder("context", "reply", tokenizer).encode(TALK)
    cls, sep = tokenizer.cls_token_id, tokenizer.sep_token_id  # this tokenizer's end of sequence is [SEP]
    first = [cls, *ids(tokenizer, "hello"), *ids(tokenizer, "hello you"), sep]
    second = [cls, *ids(tokenizer, "is it lost"), *ids(tokenizer, "no"), sep]
    width = max(len(first), len(second))
    for row, expected, prompt in ((0, first, 1 + 1), (1, second, 1 + len(ids(tokenizer, "is it lost")))):
        pad = width - len(expected)
        assert encoded["input_ids"][row].tolist() == expected + [tokenizer.pad_token_id] * pad
        assert encoded["attention_mask"][row].tolist() == [1] * len(expected) + [0] * pad
        assert encoded["labels"][row].tolist() == [-100] * prompt + expected[prompt:] + [-100] * pad
    assert torch.isfinite(tiny_gpt2()(**encoded).loss)


def test_causal_lm_without_special_tokens(byte_tokenizer: Fast) -> None:
    eos = byte_tokenizer.eos_token_id
    encoded = CausalLMEncoder("context", "reply", byte_tokenizer).encode([{"context": "Any plans?", "reply": "Yes"}])
    assert byte_tokenizer.decode(encoded["input_ids"][0]) == "Any plans? Yes<|end|>"
    assert encoded["labels"][0].tolist() == [-100] * 10 + ids(byte_tokenizer, " Yes") + [eos]
    # The prompt is exactly what a user feeds to generate.
    assert encoded["input_ids"][0, :10].tolist() == byte_tokenizer("Any plans?")["input_ids"]


@pytest.mark.parametrize(
    ("context", "reply", "joined"),
    [("a", "b", "a b"), ("a ", "b", "a b"), ("a\n", "b", "a\nb"), ("a", "\nb", "a\nb"), ("", "b", "b"), ("a", "", "a")],
)
def test_a_space_joins_prompt_and_target_where_none_is(
    byte_tokenizer: Fast, context: str, reply: str, joined: str
) -> None:
    encoded = CausalLMEncoder("context", "reply", byte_tokenizer).encode([{"context": context, "reply": reply}])
    assert byte_tokenizer.decode(encoded["input_ids"][0]) == joined + "<|end|>"
    assert (encoded["labels"][0] == -100).sum() == len(context)


def test_a_long_prompt_loses_its_oldest_tokens(byte_tokenizer: Fast, tokenizer: Fast) -> None:
    row = {"context": "x" * 50 + "END", "reply": "yes"}
    encoded = CausalLMEncoder("context", "reply", byte_tokenizer, max_length=12).encode([row])
    assert byte_tokenizer.decode(encoded["input_ids"][0]) == "xxxxEND yes<|end|>"
    assert (encoded["labels"][0] != -100).sum() == 5
    only_target = CausalLMEncoder("context", "reply", byte_tokenizer, max_length=3).encode([row])
    assert byte_tokenizer.decode(only_target["input_ids"][0]) == " ye"
    assert (only_target["labels"] != -100).all()
    with_start = CausalLMEncoder("context", "reply", tokenizer, max_length=4).encode(
        [{"context": "you " * 9, "reply": "no"}]
    )
    assert tokenizer.decode(with_start["input_ids"][0]) == "[CLS] you no [SEP]"


def test_seq2seq(tokenizer: Fast) -> None:
    encoded = Seq2SeqLMEncoder("context", "reply", tokenizer).encode(TALK)
    source = tokenizer([r["context"] for r in TALK], padding=True, return_tensors="pt")
    target = tokenizer([r["reply"] for r in TALK], padding=True, return_tensors="pt")
    assert torch.equal(encoded["input_ids"], source["input_ids"])
    assert torch.equal(encoded["attention_mask"], source["attention_mask"])
    assert torch.equal(encoded["labels"], target["input_ids"].masked_fill(target["attention_mask"] == 0, -100))
    assert torch.isfinite(tiny_t5()(**encoded).loss)


def test_a_missing_pad_token_is_replaced_by_the_end_token_and_said_once(
    byte_tokenizer: Fast, caplog: pytest.LogCaptureFixture
) -> None:
    tokens_module._say_once.cache_clear()
    with caplog.at_level(logging.WARNING):
        encoders = [SequenceClassificationEncoder("text", "mood", byte_tokenizer) for _ in range(2)]
    assert [m for m in caplog.messages if "no padding token" in m] == [
        f"{type(byte_tokenizer).__name__} has no padding token: its end-of-sequence token pads, under a zero mask."
    ]
    assert byte_tokenizer.pad_token_id is None  # the caller's tokenizer is left alone
    encoded = encoders[0].encode(ROWS)
    assert encoded["input_ids"][0, -3:].tolist() == [byte_tokenizer.eos_token_id] * 3
    assert encoded["attention_mask"][0, -3:].tolist() == [0, 0, 0]


def test_neither_pad_nor_end_token(byte_tokenizer: Fast, caplog: pytest.LogCaptureFixture) -> None:
    byte_tokenizer.eos_token = None
    tokens_module._say_once.cache_clear()
    with caplog.at_level(logging.WARNING):
        encoder = SequenceClassificationEncoder("text", "mood", byte_tokenizer)
    assert encoder.pad_token_id == 0
    assert "neither padding nor end-of-sequence token" in caplog.text
    for kind in (CausalLMEncoder, Seq2SeqLMEncoder):
        with pytest.raises(EpisodeError, match="row 0 of column 'reply' has no target token"):
            kind("context", "reply", byte_tokenizer).encode([{"context": "a", "reply": ""}])


def test_an_empty_text_keeps_one_attended_token(byte_tokenizer: Fast) -> None:
    encoded = SequenceClassificationEncoder("text", "mood", byte_tokenizer).encode([{"text": "", "mood": 0}, *ROWS])
    assert encoded["attention_mask"][0].tolist()[:2] == [1, 0]


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        (SequenceClassificationEncoder, {"max_length": 9, "label_names": ["bad", "good"]}),
        (SequenceClassificationEncoder, {}),
        (CausalLMEncoder, {"max_length": 6}),
        (Seq2SeqLMEncoder, {"max_length": 5}),
    ],
)
def test_a_stored_encoder_encodes_alike(kind: Any, options: dict, tokenizer: Fast) -> None:
    encoder = kind("text", "mood", tokenizer, **options)
    again = encoder_from_dict(json.loads(json.dumps(encoder.to_dict())), tokenizer)
    assert type(again) is kind
    assert again.to_dict() == encoder.to_dict()
    one, two = encoder.encode(ROWS), again.encode(ROWS)
    assert one.keys() == two.keys()
    assert all(torch.equal(one[name], two[name]) for name in one)


def test_refusals(tokenizer: Fast) -> None:
    with pytest.raises(EpisodeError, match="row 1 of column 'text' holds int; text was expected"):
        SequenceClassificationEncoder("text", "mood", tokenizer).encode([ROWS[0], {"text": 3, "mood": "bad"}])
    with pytest.raises(EpisodeError, match="text needs a tokenizer as processing_class, got NoneType"):
        SequenceClassificationEncoder("text", "mood", None)
    for kind, name in ((CausalLMEncoder, "causal-lm"), (Seq2SeqLMEncoder, "seq2seq-lm")):
        with pytest.raises(EpisodeError, match=f"label ids belong to classification; {name} reads its labels"):
            kind("context", "reply", tokenizer).encode(TALK, [0, 1])
