"""Padding and masks: the answer to a row depends neither on its batch nor on where its padding is."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from hfmeta.inner.attention import additive_mask
from lstm_samples import NAMES, rows
from tiny import VOCAB_SIZE, tiny_lstm


def wider(batch, left, right):
    """The same rows with more padding, of ids that would show if they were read."""
    pads = {"input_ids": 9, "attention_mask": 0, "labels": -100}
    return {name: nn.functional.pad(value, (left, right), value=pads[name]) for name, value in batch.items()}


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(("left", "right"), [(0, 3), (4, 0), (2, 2)])
def test_a_row_does_not_depend_on_its_batch_nor_on_padding(name, left, right):
    model, batch = tiny_lstm(name, dtype=torch.float64), rows()
    full = model(**batch)
    padded = model(**wider(batch, left, right))
    torch.testing.assert_close(padded.loss, full.loss, rtol=1e-12, atol=0)
    width = batch["labels"].shape[1]
    for row in range(5):
        length = int((batch["labels"][row] != -100).sum())
        source = int(batch["attention_mask"][row].sum())
        alone = model(
            input_ids=batch["input_ids"][row : row + 1, :source], labels=batch["labels"][row : row + 1, :length]
        )
        torch.testing.assert_close(full.logits[row, :length], alone.logits[0], rtol=1e-11, atol=1e-13)
        torch.testing.assert_close(padded.logits[row, left : left + length], alone.logits[0], rtol=1e-11, atol=1e-13)
    assert padded.logits.shape[1] == width + left + right


@pytest.mark.parametrize("name", NAMES)
def test_gradients_do_not_depend_on_padding(name):
    model, batch = tiny_lstm(name, dtype=torch.float64), rows()
    named = dict(model.named_parameters())

    def gradients(batch):
        return torch.autograd.grad(model(**batch).loss, list(named.values()), allow_unused=True)

    for one, other in zip(gradients(batch), gradients(wider(batch, 3, 2)), strict=True):
        assert (one is None) == (other is None)
        if one is not None:
            torch.testing.assert_close(one, other, rtol=1e-9, atol=1e-12)


def test_padding_between_tokens_is_passed_over():
    model = tiny_lstm(dtype=torch.float64)
    ids = torch.tensor([[5, 8, 9, 6, 7]])
    labels = torch.tensor([[9, 3]])
    found = model(input_ids=ids, attention_mask=torch.tensor([[1, 0, 1, 0, 1]]), labels=labels)
    torch.testing.assert_close(found.logits, model(input_ids=ids[:, ::2], labels=labels).logits)


def test_masks_in_the_form_of_attention():
    model, batch = tiny_lstm(dtype=torch.float64), rows()
    ready = additive_mask(batch["attention_mask"], False, torch.float64)
    expected = model(**batch).logits
    torch.testing.assert_close(model(**{**batch, "attention_mask": ready}).logits, expected)
    torch.testing.assert_close(model(**{**batch, "attention_mask": ready == 0}).logits, expected)


def test_without_a_mask_all_ids_are_tokens():
    model, batch = tiny_lstm(), rows()
    mask = batch.pop("attention_mask")
    found = model(**batch).logits
    torch.testing.assert_close(found, model(**batch, attention_mask=torch.ones_like(mask)).logits)
    with pytest.raises(IndexError):
        model(input_ids=torch.tensor([[VOCAB_SIZE]]), labels=torch.tensor([[3]]))


def test_labels_are_shifted_to_the_right():
    model = tiny_lstm()
    labels = torch.tensor([[7, 8, 3, -100], [-100, -100, 9, 3], [5, -100, 6, 3], [-100, -100, -100, -100]])
    expected = torch.tensor([[2, 7, 8, 3], [0, 0, 2, 9], [2, 5, 0, 6], [2, 0, 0, 0]])
    shifted = model.prepare_decoder_input_ids_from_labels(labels=labels)
    assert torch.equal(shifted, expected)
    ids = torch.tensor([[5, 6]]).expand(4, -1)
    torch.testing.assert_close(model(input_ids=ids, labels=labels).logits, model(ids, decoder_input_ids=shifted).logits)
    assert model(input_ids=ids, labels=labels).loss.isfinite()


def test_a_target_mask_holds_the_state():
    model = tiny_lstm(dtype=torch.float64)
    ids, mask = torch.tensor([[2, 7, 9, 8]]), torch.tensor([[1, 1, 0, 1]])
    source = torch.tensor([[5, 6]])
    held = model(source, decoder_input_ids=ids, decoder_attention_mask=mask)
    short = model(source, decoder_input_ids=ids[:, [0, 1, 3]])
    torch.testing.assert_close(held.logits[:, [0, 1, 3]], short.logits)
    torch.testing.assert_close(held.past_key_values.cell, short.past_key_values.cell)
    # A model that starts from the padding token cannot tell it from padding, and reads every token.
    same = tiny_lstm(dtype=torch.float64, decoder_start_token_id=0)
    assert same(source, decoder_input_ids=torch.tensor([[0, 7]])).logits[0, 0].isfinite().all()
    everywhere = torch.ones(1, 2)
    torch.testing.assert_close(
        same(source, decoder_input_ids=torch.tensor([[0, 7]])).logits,
        same(source, decoder_input_ids=torch.tensor([[0, 7]]), decoder_attention_mask=everywhere).logits,
    )
