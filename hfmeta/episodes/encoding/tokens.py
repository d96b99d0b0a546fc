"""Text -> token ids: the tokenizer, its padding token and the length limit that the text encoders share."""

from __future__ import annotations

import functools
import logging
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from torch import Tensor
from transformers import PreTrainedTokenizerBase

from hfmeta.episodes.encoding.base import Item, attention_mask, pad_right
from hfmeta.episodes.errors import EpisodeError, whole_number

logger = logging.getLogger(__name__)
_NO_LIMIT = 1_000_000  # tokenizers without a limit of their own report about 1e30


class Tokens:
    """A tokenizer with a length limit and a padding token; the tokenizer itself is never changed.

    Args:
        tokenizer: any Hugging Face tokenizer, or a processor that holds one.
        max_length: tokens kept of a row; by default the tokenizer's own limit.
    """

    def __init__(self, tokenizer: Any, max_length: int | None = None):
        tokenizer = getattr(tokenizer, "tokenizer", tokenizer)
        if not isinstance(tokenizer, PreTrainedTokenizerBase):
            raise EpisodeError(
                f"text needs a tokenizer as processing_class, got {type(tokenizer).__name__}; pass "
                "AutoTokenizer.from_pretrained(...)."
            )
        if max_length is not None:
            max_length = whole_number("max_length", max_length, 2, "tokens")
        own = tokenizer.model_max_length
        self.tokenizer: PreTrainedTokenizerBase = tokenizer
        self.max_length = max_length
        self.limit = max_length if max_length is not None else (int(own) if own and own < _NO_LIMIT else None)
        self.pad_token_id = _pad_token(tokenizer)
        self.eos_token_id: int | None = tokenizer.eos_token_id

    def texts(self, columns: Mapping[str, Sequence[Any]], column: str, numbers: Sequence[int]) -> list[str]:
        """Return a column of text; refuse anything else."""
        values = columns[column]
        for number, value in zip(numbers, values, strict=True):
            if not isinstance(value, str):
                raise EpisodeError(
                    f"row {number} of column {column!r} holds {type(value).__name__}; text was expected."
                )
        return list(values)

    def ids(self, texts: Sequence[str], cut: bool = True, target: bool = False) -> list[list[int]]:
        """Return the token ids of each text, with the tokenizer's special tokens.

        Args:
            texts: the texts.
            cut: whether to cut at the limit.
            target: whether these are targets, which a few tokenizers treat differently.
        """
        given: dict[str, Any] = {"text_target" if target else "text": list(texts)}
        limits: dict[str, Any] = {"truncation": True, "max_length": self.limit} if cut and self.limit else {}
        encoded = self.tokenizer(**given, padding=False, return_attention_mask=False, verbose=False, **limits)
        return [list(row) for row in encoded["input_ids"]]

    def row(self, ids: Sequence[int]) -> np.ndarray:
        """Return ids as int32 `[L]`; an empty text becomes one padding token, which is then attended."""
        return np.asarray(ids if len(ids) else [self.pad_token_id], dtype=np.int32)

    def inputs(self, items: Sequence[Item]) -> dict[str, Tensor]:
        """Return `input_ids` and `attention_mask` of items, int64 `[S, L]`."""
        rows = [item["input_ids"] for item in items]
        return {"input_ids": pad_right(rows, self.pad_token_id), "attention_mask": attention_mask(rows)}


def _pad_token(tokenizer: PreTrainedTokenizerBase) -> int:
    """Return the padding id: the tokenizer's own, else its end-of-sequence id (said once), else 0."""
    if tokenizer.pad_token_id is not None:
        return int(tokenizer.pad_token_id)
    if tokenizer.eos_token_id is not None:
        _say_once(
            f"{type(tokenizer).__name__} has no padding token: its end-of-sequence token pads, under a zero mask."
        )
        return int(tokenizer.eos_token_id)
    _say_once(
        f"{type(tokenizer).__name__} has neither padding nor end-of-sequence token: id 0 pads, under a zero mask."
    )
    return 0


@functools.cache
def _say_once(message: str) -> None:
    logger.warning(message)
