"""Vocabularies for networks that come without one: the words of the training texts, and nothing of validation or test."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from datasets import Dataset

from hfmeta.models import REFERENCE_MODELS, word_tokenizer
from hfmeta.recipe.data import text_columns
from hfmeta.recipe.schema import TEXT, Recipe


def needs_words(recipe: Recipe) -> bool:
    """Whether the model is a reference network that reads text."""
    return recipe.model.name in REFERENCE_MODELS and recipe.model.task in TEXT


def words_of(recipe: Recipe, tables: Mapping[str, Dataset]) -> Any:
    """A word-level tokenizer of the training rows.

    Args:
        recipe: a checked recipe; its model's `min_count` and `max_words` bound the vocabulary.
        tables: rows by part.

    Raises:
        HfmetaError: no word is frequent enough.
    """
    rows, columns = tables["train"], text_columns(recipe.data)

    def texts() -> Iterator[str]:
        for batch in rows.select_columns(columns).iter(1000):
            for column in columns:
                yield from batch[column]

    return word_tokenizer(texts(), min_count=recipe.model.min_count, max_size=recipe.model.max_words)
