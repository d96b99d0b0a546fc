"""Word vectors from a text file (GloVe's format) into a model's embedding.

Here: reading the file and filling the rows. Not here: the vocabulary (`word_tokenizer.py`).
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from hfmeta.inner.errors import HfmetaError

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Coverage:
    """How many words of a vocabulary a file of word vectors has.

    Args:
        found: words with a vector in the file.
        words: words of the vocabulary, special tokens left out.
    """

    found: int
    words: int

    @property
    def share(self) -> float:
        """Found words as a share of all, in [0, 1]."""
        return self.found / max(1, self.words)


def load_word_vectors(model: Any, tokenizer: Any, file: str | Path, *, seed: int = 0, std: float = 0.01) -> Coverage:
    """Fill a model's embedding with vectors from a file; rows of other tokens are drawn from N(0, std^2).

    A line of the file is a word and its E numbers, separated by single spaces. A first line of two whole numbers (a count and E) is
    passed over; of a word that comes twice the first line counts. A word may itself hold spaces. An output projection that is tied
    to the embedding changes with it.

    Args:
        model: a model with `get_input_embeddings` of width E.
        tokenizer: the model's tokenizer.
        file: a text file in UTF-8.
        seed: seeds the rows that are drawn.
        std: their standard deviation.

    Returns:
        how many words were found.

    Raises:
        HfmetaError: no such file, a line that cannot be read (named by its number), vectors of another width, or a tokenizer with more
            tokens than the model has rows.
    """
    weight = model.get_input_embeddings().weight
    rows, width = weight.shape
    special = set(tokenizer.all_special_ids)
    known = {word: number for word, number in tokenizer.get_vocab().items() if number not in special}
    largest = max(tokenizer.get_vocab().values())
    if largest >= rows:
        raise HfmetaError(
            f"the tokenizer has ids up to {largest}, but the embedding has {rows} rows; make the model with vocab_size="
            f"{largest + 1} or more."
        )
    values = np.random.default_rng([seed]).normal(0.0, std, (rows, width))
    found: set[str] = set()
    for word, vector in _vectors(Path(file), width, known):
        if word not in found:
            values[known[word]] = vector
            found.add(word)
    with torch.no_grad():
        weight.copy_(torch.from_numpy(values))
    coverage = Coverage(len(found), len(known))
    level = logging.INFO if found else logging.WARNING
    logger.log(level, "%s has %d of %d words (%.1f %%).", file, coverage.found, coverage.words, 100 * coverage.share)
    return coverage


def _vectors(path: Path, width: int, known: Mapping[str, int]) -> Iterator[tuple[str, np.ndarray]]:
    """The known words of a file with their vectors; every line is checked for its width, known words for their numbers too."""
    try:
        with path.open("rb") as lines:
            for number, raw in enumerate(lines, start=1):
                try:
                    line = raw.decode("utf-8").rstrip("\r\n ")
                except UnicodeDecodeError as error:
                    raise HfmetaError(f"line {number} of {path} is not UTF-8: {error.reason}.") from error
                if number == 1 and width != 1 and _is_header(line):
                    continue
                word, given = _word_of(line, width)
                if given != width:
                    raise HfmetaError(
                        f"line {number} of {path} has {given} numbers after its word; the embedding has width {width}. Expected a "
                        "word and its numbers, separated by single spaces."
                    )
                if word in known:
                    yield word, _numbers(line, width, number, path)
    except OSError as error:
        raise HfmetaError(f"the word vectors {path} cannot be read: {error.strerror}.") from error


def _is_header(line: str) -> bool:
    fields = line.split(" ")
    return len(fields) == 2 and all(field.isdecimal() for field in fields)


def _word_of(line: str, width: int) -> tuple[str, int]:
    """The word of a line, and how many fields follow it."""
    given = line.count(" ")
    if given <= width:
        return line.split(" ", 1)[0], given
    word, first = line.rsplit(" ", width)[0], line.split(" ", 2)[1]
    # More fields than numbers: a word of several parts, unless a number follows at once.
    return (word, given) if _is_number(first) else (word, width)


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _numbers(line: str, width: int, number: int, path: Path) -> np.ndarray:
    fields = line.rsplit(" ", width)[1:]
    bad = [field for field in fields if not (_is_number(field) and np.isfinite(float(field)))]
    if bad:
        raise HfmetaError(f"line {number} of {path} holds {bad[0]!r} where a finite number was expected.")
    return np.array(fields, dtype=np.float64)
