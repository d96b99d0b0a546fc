"""Checks of hfmeta/metrics/likelihood.py: sums against the models' own losses, and the two averages by hand."""

from __future__ import annotations

import math

import pytest
import torch

from hfmeta.inner.errors import HfmetaError
from hfmeta.metrics import BatchNll, perplexity, sequence_nll
from hfmeta.metrics.likelihood import evaluation_mode
from tiny import random_batch, tiny_gpt2, tiny_mlp, tiny_t5


def text_batch(task, rows=3, seed=0):
    """One batch [B, L] of a random batch of tasks."""
    batch = random_batch(task, T=1, S=rows, Q=1, seed=seed)["support"]
    return {name: value[0] for name, value in batch.items()}


def test_macro_and_micro_by_hand():
    result = perplexity({"anna": [(4.0, 4), (2.0, 2)], "bo": [(6.0, 2)]})
    assert result.macro == pytest.approx(math.exp((1 + 3) / 2))
    assert result.micro == pytest.approx(math.exp(12 / 8))
    assert result.per_task == pytest.approx((math.e, math.exp(3)))
    assert result.tokens == 8
    half = 1.96 * math.sqrt(2) / math.sqrt(2)
    assert result.macro_ci95 == pytest.approx((math.exp(2 - half), math.exp(2 + half)))


def test_one_task_and_a_diverged_one():
    assert all(map(math.isnan, perplexity([[(3.0, 2)]]).macro_ci95))
    assert perplexity([[(2000.0, 1)]]).macro == math.inf


@pytest.mark.parametrize("order", [[0, 1, 2], [2, 0, 1]])
def test_batch_size_does_not_matter(order):
    model = tiny_gpt2()
    rows = text_batch("causal-lm", rows=3)
    singles = [{name: value[row : row + 1] for name, value in rows.items()} for row in order]
    whole, split = perplexity([sequence_nll(model, [rows])]), perplexity([sequence_nll(model, singles)])
    assert split.macro == pytest.approx(whole.macro, rel=1e-5)
    assert split.tokens == whole.tokens


@pytest.mark.parametrize(("task", "build"), [("causal-lm", tiny_gpt2), ("seq2seq-lm", tiny_t5)])
def test_sums_agree_with_the_models_own_mean_loss(task, build):
    model, batch = build(), text_batch(task)
    (record,) = sequence_nll(model, [batch])
    with torch.no_grad():
        assert record.nll / record.tokens == pytest.approx(float(model(**batch).loss), rel=1e-5)
    counted = batch["labels"][:, 1:] if task == "causal-lm" else batch["labels"]
    assert record.tokens == int((counted != -100).sum())


def test_dropout_is_off_and_modes_come_back():
    model = tiny_t5(dropout_rate=0.5).train()
    model.encoder.eval()
    batch = text_batch("seq2seq-lm")
    assert sequence_nll(model, [batch]) == sequence_nll(model, [batch])
    assert model.training
    assert model.decoder.training
    assert not model.encoder.training


def test_modes_come_back_after_a_failure():
    model = tiny_mlp().train()

    def fail_inside():
        with evaluation_mode(model):
            assert not any(module.training for module in model.modules())
            raise RuntimeError("broken")

    with pytest.raises(RuntimeError, match="broken"):
        fail_inside()
    assert all(module.training for module in model.modules())


def test_no_gradient_is_kept():
    model = tiny_gpt2()
    sequence_nll(model, [text_batch("causal-lm")])
    assert all(p.grad is None for p in model.parameters())


@pytest.mark.parametrize(
    ("tasks", "message"),
    [
        ([], "needs the batches of at least one task"),
        ({"anna": []}, "task 'anna' has no token"),
        ({"anna": [(1.0, 0)]}, "task 'anna' has no token"),
        ([[(math.nan, 3)]], "a batch of task 0 has summed loss nan over 3 tokens"),
        ([[(-1.0, 3)]], "both must be finite and at least 0"),
    ],
)
def test_records_that_cannot_be(tasks, message):
    with pytest.raises(HfmetaError, match=message):
        perplexity(tasks)


def test_batches_that_cannot_be():
    model, batch = tiny_gpt2(), text_batch("causal-lm")
    with pytest.raises(HfmetaError, match="batch 0 has no labels, only input_ids"):
        sequence_nll(model, [{"input_ids": batch["input_ids"]}])
    with pytest.raises(HfmetaError, match="has no config that says whether it is an encoder-decoder"):
        sequence_nll(torch.nn.Linear(2, 2), [batch])
    with torch.no_grad():
        model.transformer.wte.weight[:] = math.nan
    with pytest.raises(HfmetaError, match="the loss of batch 0 is not finite"):
        sequence_nll(model, [batch])


def test_logits_that_do_not_fit():
    class Short(torch.nn.Module):
        def forward(self, input_ids, labels):
            return type("Output", (), {"logits": torch.zeros(1, 2, 5)})

    batch = {"input_ids": torch.zeros(1, 3, dtype=torch.long), "labels": torch.zeros(1, 3, dtype=torch.long)}
    with pytest.raises(HfmetaError, match=r"logits of shape \[1, 2, 5\] do not fit labels of shape \[1, 3\]"):
        sequence_nll(Short(), [batch], shift=True)


def test_a_record_is_a_pair():
    assert BatchNll(2.0, 3) == (2.0, 3)
