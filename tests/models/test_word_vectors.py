"""Checks of hfmeta/models/word_vectors.py."""

from __future__ import annotations

import logging

import pytest
import torch

from hfmeta.inner.errors import HfmetaError
from hfmeta.models import load_word_vectors, word_tokenizer
from tiny import tiny_lstm

TEXTS = ["the cat sat on the mat ."]


def model(**config):
    options = {"vocab_size": 30, "embedding_size": 3, "hidden_size": 3, "pad_token_id": 1, "embedding_std": 0.5}
    return tiny_lstm("hfmeta-lstm-seq2seq", **(options | config))


def file(tmp_path, text):
    path = tmp_path / "vectors.txt"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def test_rows_of_the_file_and_rows_that_are_drawn(tmp_path):
    path = file(tmp_path, "the 0.1 -0.2 3e-1\nunrelated 1 2 3\ncat 1 0 0\n. 0 0 1\ncat 9 9 9\n<pad> 5 5 5\n")
    tokenizer, one = word_tokenizer(TEXTS), model()
    state = torch.random.get_rng_state()
    found = load_word_vectors(one, tokenizer, path, seed=7)
    assert torch.equal(torch.random.get_rng_state(), state)
    assert (found.found, found.words) == (3, 6)
    assert found.share == 0.5
    weight, ids = one.get_input_embeddings().weight, tokenizer.get_vocab()
    for word, vector in (("the", [0.1, -0.2, 0.3]), ("cat", [1.0, 0.0, 0.0]), (".", [0.0, 0.0, 1.0])):
        torch.testing.assert_close(weight[ids[word]].detach(), torch.tensor(vector))
    drawn = [number for number in range(30) if number not in {ids["the"], ids["cat"], ids["."]}]
    assert 0.005 < weight[drawn].std().item() < 0.015
    assert one.lm_head.weight is weight
    again, other = model(), model()
    load_word_vectors(again, tokenizer, path, seed=7)
    load_word_vectors(other, tokenizer, path, seed=8, std=1.0)
    assert torch.equal(again.get_input_embeddings().weight, weight)
    assert 0.5 < other.get_input_embeddings().weight[drawn].std().item() < 1.5


def test_an_output_projection_of_its_own_is_left_alone(tmp_path):
    one = model(tie_word_embeddings=False)
    before = one.lm_head.weight.detach().clone()
    load_word_vectors(one, word_tokenizer(TEXTS), file(tmp_path, "the 1 2 3\n"))
    assert torch.equal(one.lm_head.weight, before)


def test_a_header_words_of_several_parts_and_windows_line_ends(tmp_path):
    tokenizer = word_tokenizer(TEXTS)
    found = load_word_vectors(model(), tokenizer, file(tmp_path, "2 3\r\nthe 1 2 3\r\n. . . 1 2 3 \r\nmat 1 2 3"))
    assert found.found == 2


def test_a_file_without_any_of_the_words_is_said(tmp_path, caplog):
    with caplog.at_level(logging.INFO):
        load_word_vectors(model(), word_tokenizer(TEXTS), file(tmp_path, "the 1 2 3\n"))
        load_word_vectors(model(), word_tokenizer(TEXTS), file(tmp_path, "dog 1 2 3\n"))
    assert [record.levelno for record in caplog.records] == [logging.INFO, logging.WARNING]
    assert "has 1 of 6 words (16.7 %)" in caplog.text
    assert "has 0 of 6 words (0.0 %)" in caplog.text


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("the 1 2 3\ncat 1 2\n", "line 2 of .*vectors.txt has 2 numbers after its word; the embedding has width 3"),
        ("dog 1 2 3 4\n", "line 1 of .* has 4 numbers after its word; the embedding has width 3. Expected a word"),
        ("the 1 2 3\n\ncat 1 2 3\n", "line 2 of .* has 0 numbers"),
        ("the 1 2 x\n", "line 1 of .* holds 'x' where a finite number was expected"),
        ("dog 1 2 3\nthe 1 nan 3\n", "line 2 of .* holds 'nan' where a finite number was expected"),
        (b"the 1 2 3\nd\xff\xfeg 1 2 3\n", "line 2 of .* is not UTF-8: invalid start byte"),
        ("the\t1\t2\t3\n", "line 1 of .* has 0 numbers after its word; .* separated by single spaces"),
    ],
)
def test_a_line_that_cannot_be_read_is_named(tmp_path, text, message):
    one = model()
    before = one.get_input_embeddings().weight.detach().clone()
    with pytest.raises(HfmetaError, match=message):
        load_word_vectors(one, word_tokenizer(TEXTS), file(tmp_path, text))
    assert torch.equal(one.get_input_embeddings().weight, before)


def test_no_file_and_too_few_rows(tmp_path):
    with pytest.raises(HfmetaError, match=r"the word vectors .*nowhere.txt cannot be read: No such file or directory"):
        load_word_vectors(model(), word_tokenizer(TEXTS), tmp_path / "nowhere.txt")
    with pytest.raises(
        HfmetaError, match="ids up to 9, but the embedding has 5 rows; make the model with vocab_size=10 or more"
    ):
        load_word_vectors(model(vocab_size=5), word_tokenizer(TEXTS), file(tmp_path, "the 1 2 3\n"))
