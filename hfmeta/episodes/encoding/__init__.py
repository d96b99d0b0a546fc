"""Rows -> tensors of the model's argument names, one encoder for each task type."""

from hfmeta.episodes.encoding.base import IGNORED, Encoder, Rows, as_columns
from hfmeta.episodes.encoding.choosing import (
    CLASSIFICATION,
    TASK_TYPES,
    build_encoder,
    check_task_type,
    encoder_from_dict,
    infer_task_type,
)
from hfmeta.episodes.encoding.images import ImageClassificationEncoder
from hfmeta.episodes.encoding.numbers import RegressionEncoder
from hfmeta.episodes.encoding.text import CausalLMEncoder, Seq2SeqLMEncoder, SequenceClassificationEncoder

__all__ = [
    "CLASSIFICATION",
    "IGNORED",
    "TASK_TYPES",
    "CausalLMEncoder",
    "Encoder",
    "ImageClassificationEncoder",
    "RegressionEncoder",
    "Rows",
    "Seq2SeqLMEncoder",
    "SequenceClassificationEncoder",
    "as_columns",
    "build_encoder",
    "check_task_type",
    "encoder_from_dict",
    "infer_task_type",
]
