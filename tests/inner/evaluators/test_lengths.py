"""Rows of text in passes of like length: the same losses, logits and gradients as one padded pass, and fewer padded columns."""

from __future__ import annotations

import pytest
import torch

from hfmeta.algorithms import Maml
from hfmeta.inner.evaluators import Batched, LikeLength, Looped, Vectorised, passes_of_like_length, rows_trimmed
from hfmeta.inner.types import stack_expanded
from hfmeta.learner import MetaLearner, evaluators
from tiny import ragged_batch, random_batch, seen_by, tiny_bert, with_lora
from truth import outer_gradient, relative_gap


def made(way):
    """A model with a LoRA, its evaluator of that kind and stacked values that differ from task to task."""
    model = with_lora(tiny_bert(dtype=torch.float64)).eval()
    theta = {name: value.detach() for name, value in model.named_parameters() if value.requires_grad}
    dice = torch.Generator().manual_seed(3)
    params = {
        name: value + 0.1 * torch.randn(value.shape, generator=dice, dtype=value.dtype)
        for name, value in stack_expanded(theta, 3).items()
    }
    ways = {
        "looped": lambda: Looped(model, []),
        "vectorised": lambda: Vectorised(model, []),
        "batched": lambda: Batched(model, list(theta), [], "classification"),
    }
    return model, ways[way](), params


@pytest.mark.parametrize("way", ["looped", "vectorised", "batched"])
@pytest.mark.parametrize("rows", [1, 6, 13])
def test_losses_logits_and_gradients_are_those_of_one_padded_pass(way, rows):
    model, evaluator, params = made(way)
    batch = ragged_batch()
    batch["labels"] = torch.randint(0, 5, (3, 12), generator=torch.Generator().manual_seed(1))
    batch["labels"][1, 3] = -100
    for value in params.values():
        value.requires_grad_()
    found, expected = (one.bind(batch)(params) for one in (LikeLength(evaluator, rows), evaluator))
    torch.testing.assert_close(found.losses, expected.losses, rtol=1e-10, atol=1e-12)
    torch.testing.assert_close(found.logits, expected.logits, rtol=1e-10, atol=1e-12)
    of_found, of_expected = (torch.autograd.grad(one.losses.sum(), list(params.values())) for one in (found, expected))
    torch.testing.assert_close(of_found, of_expected, rtol=1e-9, atol=1e-12)


def test_passes_hold_as_many_rows_of_each_task_and_no_column_that_none_attends_to():
    model, evaluator, params = made("batched")
    batch, passes = ragged_batch(), seen_by(model.base_model.model)
    LikeLength(evaluator, rows=12).bind(batch)(params)
    lengths = batch["attention_mask"].sum(-1).sort(1).values
    assert [tuple(shape) for shape in passes] == [(12, int(lengths[:, at : at + 4].max())) for at in (0, 4, 8)]


@pytest.mark.parametrize(("way", "rows"), [("looped", 12), ("batched", 36)])
def test_few_rows_pass_as_they_are(way, rows):
    _, evaluator, _ = made(way)
    assert type(LikeLength(evaluator, rows).bind(ragged_batch())) is type(evaluator.bind(ragged_batch()))


def test_inputs_that_are_not_all_tokens_pass_as_they_are():
    _, evaluator, _ = made("looped")
    batch = ragged_batch()
    batch["inputs_embeds"] = torch.zeros(3, 12, 20, 16)
    assert type(LikeLength(evaluator, 1).bind(batch)).__name__ == "BoundLoop"
    flat = {name: value.flatten(0, 1) for name, value in batch.items()}
    assert passes_of_like_length(flat) is None
    del flat["inputs_embeds"]
    assert len(passes_of_like_length(flat)) == 2


def test_a_row_without_a_token_keeps_a_column():
    batch = {name: value.flatten(0, 1) for name, value in ragged_batch().items()}
    batch["attention_mask"][5] = 0
    found = rows_trimmed(batch, torch.tensor([5]))
    assert found["input_ids"].shape == (1, 1)
    assert found["labels"].shape == (1,)


@pytest.mark.parametrize(
    "options", [{}, {"backward": "recompute"}, {"order": 1}], ids=["exact", "recompute", "first order"]
)
@pytest.mark.parametrize("adapt", ["all", "adapter"])
def test_the_meta_gradient_of_a_learner_is_that_without_sorting(adapt, options, monkeypatch):
    """Texts of many lengths, on both sides of the loop: the learner sorts them by itself."""
    support, query = ragged_batch(rows=10), ragged_batch(rows=12, seed=8)
    for batch in (support, query):
        batch["labels"] = torch.randint(0, 5, batch["labels"].shape, generator=torch.Generator().manual_seed(2))
    episodes = {"support": support, "query": query}
    found, passes = [], []
    for most in (6, 1000):
        monkeypatch.setattr(
            evaluators, "LikeLength", lambda evaluator, rows=None, most=most: LikeLength(evaluator, rows or most)
        )
        model = tiny_bert(dtype=torch.float64) if adapt == "all" else with_lora(tiny_bert(dtype=torch.float64))
        learner = MetaLearner(model, Maml(inner_steps=2, inner_lr=0.1, adapt=adapt, **options))
        passes.append(seen_by(model if adapt == "all" else model.base_model.model))
        found.append(outer_gradient(learner, episodes))
    assert len(passes[0]) > len(passes[1])
    assert relative_gap(found[0][1], found[1][1]) <= 1e-9


def test_a_model_that_returns_no_logits_is_left_alone():
    class OnlyLoss(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.bert = tiny_bert()

        def forward(self, **inputs):
            return {"loss": self.bert(**inputs).loss}

    model = OnlyLoss()
    evaluator, batch = Looped(model, []), random_batch("sequence-classification", T=2)["support"]
    params = stack_expanded(dict(model.named_parameters()), 2)
    with pytest.raises(ValueError, match="a loss without logits"):
        LikeLength(evaluator, rows=2).bind(batch)(params)
