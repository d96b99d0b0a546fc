"""Small tables and tokenizers for the tests of the episodes room."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from datasets import Dataset
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from tiny import tiny_tokenizer


@pytest.fixture(scope="session")
def tokenizer() -> PreTrainedTokenizerFast:
    return tiny_tokenizer()


@pytest.fixture
def byte_tokenizer() -> PreTrainedTokenizerFast:
    """One token per byte, an end-of-sequence token, no padding token, no special tokens around a text (as GPT-2)."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    inner = Tokenizer(models.BPE(vocab={c: i for i, c in enumerate(alphabet)}, merges=[]))
    inner.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    inner.decoder = decoders.ByteLevel()
    return PreTrainedTokenizerFast(tokenizer_object=inner, eos_token="<|end|>", model_max_length=32)


@pytest.fixture
def number_rows() -> Callable[..., Dataset]:
    """Return a maker of tables `user, x, y`; every x is its own row number, so rows can be told apart."""

    def make(sizes: dict[str, int]) -> Dataset:
        users = [user for user, size in sizes.items() for _ in range(size)]
        users = [users[i] for i in np.random.default_rng(5).permutation(len(users))]
        numbers = [float(i) for i in range(len(users))]
        return Dataset.from_dict({"user": users, "x": numbers, "y": [[x, -x] for x in numbers]})

    return make


@pytest.fixture
def text_rows() -> Callable[..., Dataset]:
    """Return a maker of tables `text, label`: `size` rows of each class, every text unlike the others."""

    def make(classes: int = 6, size: int = 5) -> Dataset:
        rows = [
            {"text": f"{'pay ' * (i % 3)}class {c} row {i}", "label": f"c{c}"}
            for i in range(size)
            for c in range(classes)
        ]
        return Dataset.from_list(rows)

    return make
