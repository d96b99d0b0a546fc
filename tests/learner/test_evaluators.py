"""Which evaluator is chosen, that all give the loop's numbers, and what explicit choices are refused."""

from __future__ import annotations

import logging

import pytest
import torch

from hfmeta.algorithms import Maml
from hfmeta.inner.errors import HfmetaError
from hfmeta.inner.evaluators import LikeLength
from hfmeta.inner.types import Evaluation, stack_expanded
from hfmeta.learner import MetaLearner
from hfmeta.learner.evaluators import checked_evaluator, make_evaluator
from hfmeta.learner.moving import what_moves
from saving import IMAGE, NUMBERS, TEXT
from tiny import random_batch, tiny_bert, tiny_conv4, tiny_mlp, with_lora
from truth import outer_gradient, relative_gap


@pytest.mark.parametrize(
    ("model", "adapt", "task", "expected"),
    [
        (tiny_mlp, "all", NUMBERS, "Vectorised"),
        (tiny_conv4, "all", IMAGE, "Vectorised"),
        (tiny_bert, "all", TEXT, "Vectorised"),
        (tiny_bert, "head", TEXT, "Head"),
        (lambda: with_lora(tiny_bert()), "adapter", TEXT, "Batched"),
    ],
)
def test_auto_and_explicit_choices_give_the_loops_numbers(model, adapt, task, expected):
    model = model()
    moving, batch = what_moves(model, adapt, task), random_batch(task, T=3)["support"]
    params = stack_expanded(moving.theta(model), 3)
    loop = make_evaluator("looped", model, moving, task).bind(batch)(params)
    found = checked_evaluator("auto", model, moving, task, batch)
    assert type(getattr(found, "evaluator", found)).__name__ == expected
    assert isinstance(found, LikeLength) == (task == TEXT and adapt != "head")
    torch.testing.assert_close(found.bind(batch)(params).losses, loop.losses, rtol=1e-5, atol=1e-6)


def test_large_models_go_task_by_task(monkeypatch):
    monkeypatch.setattr("hfmeta.learner.evaluators.SMALL", 10)
    assert type(make_evaluator("auto", tiny_bert(), what_moves(tiny_bert(), "all", TEXT), TEXT)).__name__ == "Looped"


def test_on_a_cpu_sets_of_many_images_go_task_by_task(monkeypatch):
    monkeypatch.setattr("hfmeta.learner.evaluators.FEW_IMAGES", 5)
    model = tiny_conv4(dtype=torch.float64)
    moving, batch = what_moves(model, "all", IMAGE), random_batch(IMAGE, T=3, S=5, Q=6, dtype=torch.float64)
    found = checked_evaluator("auto", model, moving, IMAGE, batch["support"])
    assert type(found.bind(batch["support"])).__name__ == "BoundVmap"
    assert type(found.bind(batch["query"])).__name__ == "BoundLoop"
    asked = make_evaluator("vectorised", model, moving, IMAGE)
    assert type(asked.bind(batch["query"])).__name__ == "BoundVmap"
    params = stack_expanded(moving.theta(model), 3)
    one, other = (evaluator.bind(batch["query"])(params) for evaluator in (found, asked))
    torch.testing.assert_close(one, other, rtol=1e-10, atol=1e-12)
    sentences = make_evaluator("auto", tiny_bert(), what_moves(tiny_bert(), "all", TEXT), TEXT)
    assert type(sentences.bind(random_batch(TEXT, S=6)["support"])).__name__ == "BoundVmap"


def test_the_check_is_of_the_rows_that_go_together(monkeypatch, caplog):
    """A first support set that is looped says nothing of a small query set after it."""
    monkeypatch.setattr("hfmeta.learner.evaluators.FEW_IMAGES", 3)
    monkeypatch.setattr(
        "hfmeta.inner.evaluators.vectorised.BoundVmap.__call__", lambda *_: Evaluation(torch.zeros(2), None)
    )
    model, batch = tiny_conv4(), random_batch(IMAGE, S=5)["support"]
    found = checked_evaluator("auto", model, what_moves(model, "all", IMAGE), IMAGE, batch)
    assert type(found).__name__ == "Looped"
    assert "falling back to the loop over tasks" in caplog.text


def test_the_gradient_through_both_kinds_of_sets_is_that_of_the_loop(monkeypatch):
    monkeypatch.setattr("hfmeta.learner.evaluators.FEW_IMAGES", 5)
    batch = random_batch(IMAGE, T=3, S=5, Q=8, dtype=torch.float64)
    for options in ({}, {"backward": "recompute"}, {"order": 1}):
        mixed, looped = (
            outer_gradient(
                MetaLearner(tiny_conv4(dtype=torch.float64), Maml(inner_steps=2, evaluator=way, **options)), batch
            )
            for way in ("auto", "looped")
        )
        assert relative_gap(mixed[1], looped[1]) <= 1e-10


def test_batched_refuses_batch_norms_and_unknown_losses():
    model = tiny_conv4()
    with pytest.raises(HfmetaError, match="would mix them. Use evaluator=.looped. or .vectorised."):
        make_evaluator("batched", model, what_moves(model, "all", IMAGE), IMAGE)
    with pytest.raises(HfmetaError, match="the task type of BertForSequenceClassification is unknown"):
        make_evaluator("batched", tiny_bert(), what_moves(tiny_bert(), "all", None), None)


class Forgetful(torch.nn.Module):
    """A model whose loss depends on how often it was called, so that no evaluator agrees with another."""

    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.ones(1))
        self.calls = 0

    def forward(self, inputs, labels):
        self.calls += 1
        return {"loss": (self.weight * inputs - labels).square().mean() + self.calls}


def test_an_evaluator_with_other_numbers_is_refused_or_replaced(caplog):
    model = Forgetful()
    moving, batch = what_moves(model, "all", None), random_batch(NUMBERS)["support"]
    with pytest.raises(HfmetaError, match=r"does not work with Forgetful: its losses are .* Use evaluator=.looped."):
        checked_evaluator("vectorised", model, moving, None, batch)
    with caplog.at_level(logging.WARNING):
        assert checked_evaluator("auto", model, moving, None, batch).name == "looped"
    assert "falling back to the loop over tasks" in caplog.text
