"""Vocabularies for networks that come without one: the words of the training texts, and nothing of validation or test.

Such are reference networks, and any configuration without a tokenizer whose weights are all drawn.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from datasets import Dataset

from hfmeta.models import REFERENCE_MODELS, word_tokenizer
from hfmeta.models.names import resolve_name
from hfmeta.recipe.data import text_columns
from hfmeta.recipe.schema import TEXT, Recipe

TOKENIZER_FILES = ("tokenizer*", "vocab*", "*.model")
"""Names of the files that tokenizers are saved to."""


def needs_words(recipe: Recipe) -> bool:
    """Whether the model reads text and is a reference network, or a folder without a tokenizer whose weights are all drawn."""
    section = recipe.model
    if section.task not in TEXT or section.name in REFERENCE_MODELS:
        return section.task in TEXT
    if not section.from_scratch:
        return False
    folder = Path(resolve_name(section.name))
    return folder.is_dir() and not any(path for name in TOKENIZER_FILES for path in folder.glob(name))


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
