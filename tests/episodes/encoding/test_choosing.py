"""Choosing an encoder: by name, from a description, by inference only where nothing is left open."""

from __future__ import annotations

import logging
from typing import Any

import pytest
from datasets import Array2D, ClassLabel, Dataset, Features, Image, List, Value
from transformers import PreTrainedTokenizerFast

from hfmeta.episodes import TASK_TYPES, EpisodeError, build_encoder, encoder_from_dict, infer_task_type

COLUMNS = {"input_column": "a", "target_column": "b"}


def test_every_task_type_has_an_encoder(tokenizer: PreTrainedTokenizerFast) -> None:
    assert set(TASK_TYPES) == {
        "sequence-classification",
        "image-classification",
        "causal-lm",
        "seq2seq-lm",
        "regression",
    }
    for task_type in TASK_TYPES:
        options = {} if task_type in ("regression", "image-classification") else {"processing_class": tokenizer}
        encoder = build_encoder(task_type, **COLUMNS, **options)
        assert encoder.task_type == task_type
        assert encoder_from_dict(encoder.to_dict(), **options).to_dict() == encoder.to_dict()


def test_refusals(tokenizer: PreTrainedTokenizerFast) -> None:
    with pytest.raises(
        EpisodeError, match="task_type='causal_lm' is unknown; choose one of .*. Did you mean 'causal-lm'"
    ):
        build_encoder("causal_lm", **COLUMNS)
    with pytest.raises(EpisodeError, match="regression has no use for processing_class, max_length"):
        build_encoder("regression", **COLUMNS, processing_class=tokenizer, max_length=4)
    with pytest.raises(EpisodeError, match="causal-lm has no use for label_names"):
        build_encoder("causal-lm", **COLUMNS, processing_class=tokenizer, label_names=["a"])
    with pytest.raises(EpisodeError, match="text needs a tokenizer as processing_class, got NoneType"):
        build_encoder("causal-lm", **COLUMNS)
    with pytest.raises(EpisodeError, match="the description of the encoder lacks task_type, target_column"):
        encoder_from_dict({"input_column": "a"})


def test_options_of_newer_versions_are_dropped_with_a_warning(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        encoder = encoder_from_dict({"task_type": "regression", **COLUMNS, "scale": 2})
    assert caplog.messages == ["unknown encoder options are ignored: scale"]
    assert encoder.task_type == "regression"


TEXT, WHOLE, FRACTION = Value("string"), Value("int64"), Value("float32")


@pytest.mark.parametrize(
    ("source", "target", "tokenized", "by_label", "expected"),
    [
        (TEXT, ClassLabel(names=["x"]), True, False, "sequence-classification"),
        (TEXT, WHOLE, True, False, "sequence-classification"),
        (TEXT, TEXT, True, True, "sequence-classification"),
        (Value("large_string"), TEXT, True, True, "sequence-classification"),
        (TEXT, TEXT, True, False, None),
        (TEXT, FRACTION, True, False, None),
        (TEXT, TEXT, False, True, None),
        (Image(), TEXT, False, True, "image-classification"),
        (Image(), WHOLE, False, False, "image-classification"),
        (Array2D((2, 2), "uint8"), TEXT, False, False, "image-classification"),
        (Image(), FRACTION, False, False, None),
        (FRACTION, FRACTION, False, False, "regression"),
        (List(FRACTION), List(FRACTION, length=2), False, False, "regression"),
        (List(WHOLE), FRACTION, False, False, "regression"),
        (FRACTION, WHOLE, False, False, None),
        (FRACTION, FRACTION, True, False, None),
        (FRACTION, FRACTION, False, True, None),
        (Value("binary"), FRACTION, False, False, None),
    ],
)
def test_inference(
    source: Any, target: Any, tokenized: bool, by_label: bool, expected: str | None, tokenizer: PreTrainedTokenizerFast
) -> None:
    rows = Dataset.from_dict({"a": [], "b": []}, features=Features({"a": source, "b": target}))
    assert infer_task_type(rows, "a", "b", tokenizer if tokenized else None, by_label) == expected
