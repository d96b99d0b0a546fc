"""Which encoder: from a task type, from a stored description, or inferred where rows leave no doubt."""

from __future__ import annotations

import inspect
import logging
from collections.abc import Mapping, Sequence
from typing import Any

from datasets import Array2D, Array3D, ClassLabel, Dataset, Image, Value
from transformers import PreTrainedTokenizerBase

from hfmeta.episodes.encoding.base import Encoder
from hfmeta.episodes.encoding.images import ImageClassificationEncoder
from hfmeta.episodes.encoding.numbers import RegressionEncoder
from hfmeta.episodes.encoding.text import CausalLMEncoder, Seq2SeqLMEncoder, SequenceClassificationEncoder
from hfmeta.episodes.errors import EpisodeError, unknown_choice

logger = logging.getLogger(__name__)
_ENCODERS: dict[str, type[Encoder]] = {
    encoder.task_type: encoder
    for encoder in (
        SequenceClassificationEncoder,
        ImageClassificationEncoder,
        CausalLMEncoder,
        Seq2SeqLMEncoder,
        RegressionEncoder,
    )
}
TASK_TYPES: tuple[str, ...] = tuple(_ENCODERS)
CLASSIFICATION = ("sequence-classification", "image-classification")


def check_task_type(task_type: str) -> str:
    """Return the task type, or raise the error that lists the choices."""
    if task_type not in _ENCODERS:
        raise unknown_choice("task_type", task_type, TASK_TYPES)
    return task_type


def build_encoder(
    task_type: str,
    *,
    input_column: str,
    target_column: str,
    processing_class: Any = None,
    max_length: int | None = None,
    label_names: Sequence[Any] | None = None,
) -> Encoder:
    """Return the encoder of a task type.

    Args:
        task_type: one of `TASK_TYPES`.
        input_column: column the model reads.
        target_column: column it is to produce.
        processing_class: tokenizer or image processor, where the task type has one.
        max_length: tokens kept of a row (text only).
        label_names: classes in id order (classification only).

    Raises:
        EpisodeError: unknown task type, an option that the task type does not have, or the wrong processing class.
    """
    kind = _ENCODERS[check_task_type(task_type)]
    options = {"processing_class": processing_class, "max_length": max_length, "label_names": label_names}
    given = {name: value for name, value in options.items() if value is not None}
    accepted = inspect.signature(kind).parameters
    if excess := [name for name in given if name not in accepted]:
        raise EpisodeError(f"{task_type} has no use for {', '.join(excess)}; leave it out or choose another task_type.")
    if "processing_class" not in given and accepted.get("processing_class", None) is not None:
        given["processing_class"] = None
    return kind(input_column, target_column, **given)


def encoder_from_dict(description: Mapping[str, Any], processing_class: Any = None) -> Encoder:
    """Return the encoder that `Encoder.to_dict` described.

    Args:
        description: the stored dict; keys of newer versions are dropped with a warning.
        processing_class: the tokenizer or image processor, stored beside it.

    Raises:
        EpisodeError: no task type, an unknown one, or missing columns.
    """
    if missing := [key for key in ("task_type", "input_column", "target_column") if key not in description]:
        raise EpisodeError(f"the description of the encoder lacks {', '.join(missing)}; it has {list(description)}.")
    known = {"task_type", "input_column", "target_column", "max_length", "label_names"}
    if newer := sorted(set(description) - known):
        logger.warning("unknown encoder options are ignored: %s", ", ".join(newer))
    options = {key: value for key, value in description.items() if key in known}
    return build_encoder(options.pop("task_type"), processing_class=processing_class, **options)


def infer_task_type(
    rows: Dataset, input_column: str, target_column: str, processing_class: Any = None, by_label: bool = False
) -> str | None:
    """Return the task type that columns and processing class leave no doubt about, or None.

    Args:
        rows: the table.
        input_column: column the model reads.
        target_column: column it is to produce.
        processing_class: tokenizer, image processor or None.
        by_label: whether the target column holds the classes of N-way episodes.
    """
    source, target = rows.features[input_column], rows.features[target_column]
    tokenizer = isinstance(getattr(processing_class, "tokenizer", processing_class), PreTrainedTokenizerBase)
    labels = by_label or isinstance(target, ClassLabel) or _kind(target) == "whole"
    if isinstance(source, Image | Array2D | Array3D):
        return "image-classification" if labels or _kind(target) == "text" else None
    if tokenizer and _kind(source) == "text" and labels:
        return "sequence-classification"
    if (
        processing_class is None
        and not by_label
        and _kind(source) in ("whole", "fraction")
        and _kind(target) == "fraction"
    ):
        return "regression"
    return None


def _kind(feature: Any) -> str:
    """Return "text", "whole", "fraction" or "other"; lists count as what they hold."""
    while hasattr(feature, "feature"):
        feature = feature.feature
    if not isinstance(feature, Value):
        return "other"
    if "string" in feature.dtype:
        return "text"
    if feature.dtype.startswith(("int", "uint", "bool")):
        return "whole"
    return "fraction" if feature.dtype.startswith(("float", "double")) else "other"
