"""Text classifiers as measuring instruments: loading one, reading its label names, running it over many texts or pairs.

Any transformers sequence-classification model serves. Not here: what a label is worth (`consistency.py`, `emoji.py`) and training
one (`training.py`).
"""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from hfmeta.inner.errors import HfmetaError
from hfmeta.metrics.likelihood import evaluation_mode

MAX_LENGTH = 128
"""Word pieces a text or pair is cut to, as the papers' consistency model."""
_UNNAMED = re.compile(r"label[_ -]?\d+", re.IGNORECASE)


@dataclass(frozen=True)
class TextClassifier:
    """A sequence-classification model with its tokenizer and the name to quote beside its numbers.

    Args:
        model: its config names the classes; used in evaluation mode.
        tokenizer: the one it was trained with.
        name: hub id (with the revision after an `@`, where one was asked for) or folder.
    """

    model: nn.Module
    tokenizer: Any
    name: str


def load_classifier(
    model: str | os.PathLike[str] | nn.Module | TextClassifier, tokenizer: Any = None, revision: str | None = None
) -> TextClassifier:
    """A classifier from a hub id, a folder, or a model that is loaded already.

    Args:
        model: a hub id, a folder written by `save_pretrained`, a sequence-classification model, or a `TextClassifier` (returned
            as it is).
        tokenizer: of a model that is handed over; None: loaded from where the model came from.
        revision: branch, tag or commit on the hub, for a name.

    Raises:
        HfmetaError: a name that cannot be loaded, or has no classification head, or no tokenizer; an object of another kind.
    """
    if isinstance(model, TextClassifier):
        return model
    if isinstance(model, nn.Module):
        name = str(getattr(getattr(model, "config", None), "name_or_path", "") or "")
        if tokenizer is None and not name:
            raise HfmetaError(
                f"{type(model).__name__} was handed over without a tokenizer, and its config does not say where "
                "one is. Pass tokenizer=..."
            )
        tokenizer = _load("tokenizer", name, revision) if tokenizer is None else tokenizer
        return TextClassifier(model, tokenizer, name or type(model).__name__)
    name = os.path.expanduser(os.fspath(model))
    if name.startswith((".", os.sep)) and not os.path.isdir(name):
        raise HfmetaError(f"the folder {name} of the classifier does not exist. Give one written by save_pretrained.")
    loaded = _load("model", name, revision)
    tokenizer = _load("tokenizer", name, revision) if tokenizer is None else tokenizer
    return TextClassifier(loaded, tokenizer, f"{name}@{revision}" if revision else name)


def label_names(model: nn.Module, purpose: str) -> list[str]:
    """The class names of a classifier in the order of its logits, read from its config.

    Args:
        model: its config has `id2label`, `label2id` or both.
        purpose: what the names are needed for, for the message.

    Raises:
        HfmetaError: no names (transformers' placeholders LABEL_0, LABEL_1, ... do not count), names for some classes only, or
            `id2label` and `label2id` that contradict each other.
    """
    config = getattr(model, "config", None)
    by_id = {int(index): str(name) for index, name in (getattr(config, "id2label", None) or {}).items()}
    by_name = {int(index): str(name) for name, index in (getattr(config, "label2id", None) or {}).items()}
    named = [names for names in (by_id, by_name) if names and not all(map(_UNNAMED.fullmatch, names.values()))]
    if not named:
        raise HfmetaError(
            f"the config of the {purpose} names no classes (id2label={by_id or None}). Which logit means what cannot be guessed: set "
            "model.config.id2label and label2id as the model was trained, and save it."
        )
    if len(named) == 2 and named[0] != named[1]:
        raise HfmetaError(
            f"the config of the {purpose} contradicts itself: id2label={by_id}, but label2id={getattr(config, 'label2id', None)}. "
            "Correct the wrong one."
        )
    names = named[0]
    if sorted(names) != list(range(len(names))):
        raise HfmetaError(
            f"the config of the {purpose} numbers its classes {sorted(names)} rather than from 0 without gaps."
        )
    return [names[index] for index in range(len(names))]


def classify(
    classifier: TextClassifier,
    texts: Sequence[str],
    pairs: Sequence[str] | None = None,
    *,
    batch_size: int = 32,
    max_length: int = MAX_LENGTH,
) -> Tensor:
    """The logits of a classifier for texts or pairs of texts, dropout off; equal inputs are run once.

    Args:
        classifier: model and tokenizer.
        texts: N texts, or first segments.
        pairs: N second segments, or None.
        batch_size: distinct inputs per forward pass, of similar length.
        max_length: word pieces an input is cut to; of a pair, the longer segment is cut first.

    Returns:
        [N, C], float32 on the CPU.

    Raises:
        HfmetaError: nothing to classify, another number of second segments than of first ones, a batch size below 1.
    """
    if len(texts) == 0 or batch_size < 1 or (pairs is not None and len(pairs) != len(texts)):
        raise HfmetaError(
            "a classifier needs at least one text, as many second segments, and a batch size of 1 or more: "
            f"received {len(texts)} texts, {'no' if pairs is None else len(pairs)} second segments, batch_size={batch_size}."
        )
    inputs: list[tuple[str, ...]] = (
        [(text,) for text in texts] if pairs is None else list(zip(texts, pairs, strict=True))
    )
    distinct = sorted(set(inputs), key=lambda one: (sum(map(len, one)), one))
    device = next((p.device for p in classifier.model.parameters()), torch.device("cpu"))
    rows = []
    with evaluation_mode(classifier.model), torch.no_grad():
        for start in range(0, len(distinct), batch_size):
            segments = [list(side) for side in zip(*distinct[start : start + batch_size], strict=True)]
            encoded = classifier.tokenizer(
                *segments, truncation="longest_first", max_length=max_length, padding=True, return_tensors="pt"
            )
            rows.append(classifier.model(**encoded.to(device)).logits.float().cpu())
    logits = torch.cat(rows)
    place = {one: row for row, one in enumerate(distinct)}
    return logits[[place[one] for one in inputs]]


def check_width(logits: Tensor, names: Sequence[str], purpose: str) -> None:
    """Refuses logits that are not one for each named class.

    Args:
        logits: [N, C].
        names: C class names.
        purpose: what the classifier is for, for the message.

    Raises:
        HfmetaError: another number of logits than names, or logits that are not finite.
    """
    if logits.shape[-1] != len(names):
        raise HfmetaError(f"the {purpose} gives {logits.shape[-1]} logits, but its config names {len(names)} classes.")
    if not bool(logits.isfinite().all()):
        raise HfmetaError(f"the {purpose} gives logits that are not finite: its weights are broken.")


def _load(what: str, name: str, revision: str | None) -> Any:
    from transformers import AutoConfig, AutoModelForSequenceClassification, AutoTokenizer

    options = {"revision": revision, "trust_remote_code": False}
    try:
        if what == "tokenizer":
            return AutoTokenizer.from_pretrained(name, **options)
        config = AutoConfig.from_pretrained(name, **options)
        model, info = AutoModelForSequenceClassification.from_pretrained(
            name, config=config, output_loading_info=True, **options
        )
    except (OSError, ValueError) as error:
        reason = str(error).strip().split("\n")[0].rstrip(".")
        raise HfmetaError(
            f"the {what} of the classifier {name!r} could not be loaded: {reason}. Give a hub id, or a folder "
            "written by save_pretrained."
        ) from error
    if info["missing_keys"]:
        raise HfmetaError(
            f"{name!r} is no trained classifier: there are no weights for {', '.join(sorted(info['missing_keys'])[:5])}. "
            "Fine-tune it for sequence classification first."
        )
    return model.eval()
