"""Encoders of text: sequence classification, causal language modelling, sequence to sequence."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
from torch import Tensor

from hfmeta.episodes.encoding.base import IGNORED, Encoder, Item, Rows, as_columns, pad_right
from hfmeta.episodes.encoding.labels import Labels
from hfmeta.episodes.encoding.tokens import Tokens
from hfmeta.episodes.errors import EpisodeError


class SequenceClassificationEncoder(Encoder):
    """Text and a class: `input_ids`, `attention_mask` `[S, L]` and `labels` int64 `[S]`.

    Args:
        input_column: column of text.
        target_column: column of class labels.
        processing_class: a tokenizer.
        max_length: tokens kept of a row; by default the tokenizer's own limit.
        label_names: classes in id order; None maps the distinct labels of each set, sorted, to 0..C-1.
    """

    task_type: ClassVar[str] = "sequence-classification"
    classifies: ClassVar[bool] = True

    def __init__(
        self,
        input_column: str,
        target_column: str,
        processing_class: Any,
        max_length: int | None = None,
        label_names: Sequence[Any] | None = None,
    ):
        super().__init__(input_column, target_column)
        self.tokens, self.labels = Tokens(processing_class, max_length), Labels(label_names)
        self.pad_token_id = self.tokens.pad_token_id

    def options(self) -> dict[str, Any]:
        """Return the stored options."""
        return {"max_length": self.tokens.max_length, "label_names": self.labels.names}

    @property
    def processing_class(self) -> Any:
        """The tokenizer."""
        return self.tokens.tokenizer

    @property
    def text_columns(self) -> list[str]:
        """The columns that must hold text."""
        return [self.input_column]

    def prepare(self, columns: Mapping[str, Sequence[Any]], numbers: Sequence[int]) -> list[Item]:
        """Return token ids and the raw label (where the column is given) of each row."""
        rows = self.tokens.ids(self.tokens.texts(columns, self.input_column, numbers))
        targets = columns.get(self.target_column, [None] * len(rows))
        return [{"input_ids": self.tokens.row(r), "target": t} for r, t in zip(rows, targets, strict=True)]

    def assemble(self, items: Sequence[Item], label_ids: Sequence[int] | None = None) -> dict[str, Tensor]:
        """Return the padded tensors of one set."""
        labels = self.labels.tensor([item["target"] for item in items], self.target_column, label_ids)
        return {**self.tokens.inputs(items), "labels": labels}

    def classes(self, rows: Rows) -> list[str] | None:
        """Return the class names in the order of the ids."""
        values = as_columns(rows, [self.target_column])[self.target_column]
        return [str(name) for name in self.labels.classes(values, self.target_column)]


class _GenerationEncoder(Encoder):
    """What encoders of two texts share, the second of which is to be generated."""

    def __init__(self, input_column: str, target_column: str, processing_class: Any, max_length: int | None = None):
        super().__init__(input_column, target_column)
        self.tokens = Tokens(processing_class, max_length)
        self.pad_token_id = self.tokens.pad_token_id

    def options(self) -> dict[str, Any]:
        """Return the stored options."""
        return {"max_length": self.tokens.max_length}

    @property
    def processing_class(self) -> Any:
        """The tokenizer."""
        return self.tokens.tokenizer

    @property
    def text_columns(self) -> list[str]:
        """The columns that must hold text."""
        return [self.input_column, self.target_column]

    def assemble(self, items: Sequence[Item], label_ids: Sequence[int] | None = None) -> dict[str, Tensor]:
        """Return the padded tensors of one set; padded labels are -100."""
        return {**self.tokens.inputs(items), "labels": pad_right([item["labels"] for item in items], IGNORED)}


class CausalLMEncoder(_GenerationEncoder):
    """Prompt and continuation in one row: `input_ids`, `attention_mask`, `labels` `[S, L]`; prompt labels are -100.

    A space goes between prompt and target unless one of them brings white space; the row ends with the end-of-sequence token.
    The prompt is the longest common beginning of the prompt's own tokens and the row's, so generation continues where training did.
    A row above the limit loses the oldest tokens of its prompt first.

    Args:
        input_column: column of the prompt.
        target_column: column of the continuation.
        processing_class: a tokenizer.
        max_length: tokens kept of a row; by default the tokenizer's own limit.
    """

    task_type: ClassVar[str] = "causal-lm"

    def prepare(self, columns: Mapping[str, Sequence[Any]], numbers: Sequence[int]) -> list[Item]:
        """Return token ids and labels of each row."""
        prompts = self.tokens.texts(columns, self.input_column, numbers)
        targets = self.tokens.texts(columns, self.target_column, numbers)
        heads = self.tokens.ids(prompts, cut=False)
        rows = self.tokens.ids([_join(p, t) for p, t in zip(prompts, targets, strict=True)], cut=False)
        return [self._row(head, row, n) for head, row, n in zip(heads, rows, numbers, strict=True)]

    def _row(self, head: list[int], row: list[int], number: int) -> Item:
        """Return one row: labels on the target and the end, cut to the limit."""
        eos, limit = self.tokens.eos_token_id, self.tokens.limit
        if eos is not None and (not row or row[-1] != eos):
            row = [*row, eos]
        start = next((i for i, (a, b) in enumerate(zip(head, row, strict=False)) if a != b), min(len(head), len(row)))
        if start == len(row):
            raise EpisodeError(
                f"row {number} of column {self.target_column!r} has no target token, and the tokenizer has no "
                "end-of-sequence token; leave out rows with an empty target."
            )
        if limit is not None and len(row) > limit:
            prompt, target = row[:start], row[start:][:limit]
            room = limit - len(target)
            begin = prompt[:1] if prompt[:1] == [self.tokens.tokenizer.bos_token_id] and room else []
            kept = room - len(begin)
            prompt = begin + (prompt[len(prompt) - kept :] if kept else [])
            row, start = prompt + target, len(prompt)
        return {
            "input_ids": self.tokens.row(row),
            "labels": np.asarray([IGNORED] * start + row[start:], dtype=np.int32),
        }


class Seq2SeqLMEncoder(_GenerationEncoder):
    """Source and target texts: `input_ids`, `attention_mask` `[S, L]` and `labels` `[S, L']` with -100 on padding.

    Args:
        input_column: column of the source text.
        target_column: column of the target text.
        processing_class: a tokenizer.
        max_length: tokens kept of source and of target; by default the tokenizer's own limit.
    """

    task_type: ClassVar[str] = "seq2seq-lm"

    def prepare(self, columns: Mapping[str, Sequence[Any]], numbers: Sequence[int]) -> list[Item]:
        """Return token ids and label ids of each row."""
        rows = self.tokens.ids(self.tokens.texts(columns, self.input_column, numbers))
        targets = self.tokens.ids(self.tokens.texts(columns, self.target_column, numbers), target=True)
        for number, target in zip(numbers, targets, strict=True):
            if not target:
                raise EpisodeError(
                    f"row {number} of column {self.target_column!r} has no target token; leave out rows with an empty target."
                )
        return [
            {"input_ids": self.tokens.row(r), "labels": np.asarray(t, dtype=np.int32)}
            for r, t in zip(rows, targets, strict=True)
        ]


def _join(prompt: str, target: str) -> str:
    """Return prompt and target as one text, with a space between unless white space is there already."""
    between = "" if not prompt or not target or prompt[-1].isspace() or target[0].isspace() else " "
    return prompt + between + target
