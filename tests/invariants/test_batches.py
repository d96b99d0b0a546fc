"""What must not matter: more padding, the order of tasks; what must not grow or change: memory, the learner under `adapt`."""

from __future__ import annotations

import gc

import pytest
import torch
from torch import nn

from hfmeta.algorithms import Maml
from hfmeta.learner import MetaLearner
from hfmeta.testing.promises import fingerprint
from tiny import random_batch, tiny_bert
from truth import outer_gradient, relative_gap

EVALUATORS = ("looped", "vectorised", "batched")


def made(evaluator="looped", backward="full"):
    options = {"evaluator": evaluator, "backward": backward, "adapt": "classifier|LayerNorm|query"}
    return MetaLearner(tiny_bert(dtype=torch.float64), Maml(inner_steps=2, inner_lr=0.1, **options))


@pytest.mark.parametrize("evaluator", EVALUATORS)
def test_more_padding_changes_nothing(evaluator):
    batch = random_batch("sequence-classification")
    wider = {"task": batch["task"]}
    for part in ("support", "query"):
        wider[part] = {n: v if n == "labels" else nn.functional.pad(v, (0, 3)) for n, v in batch[part].items()}
    (loss, grads), (other, others) = (outer_gradient(made(evaluator), b) for b in (batch, wider))
    assert abs(loss - other) < 1e-10
    assert relative_gap(others, grads) < 1e-10


@pytest.mark.parametrize("evaluator", EVALUATORS)
def test_the_order_of_tasks_changes_nothing(evaluator):
    batch = random_batch("sequence-classification", T=3)
    which = torch.tensor([2, 0, 1])
    turned = {part: {n: v[which] for n, v in batch[part].items()} for part in ("support", "query")}
    (loss, grads), (other, others) = (outer_gradient(made(evaluator), b) for b in (batch, {**turned, "task": which}))
    assert abs(loss - other) < 1e-10
    assert relative_gap(others, grads) < 1e-10


@pytest.mark.parametrize("backward", ["full", "recompute"])
def test_no_tensor_outlives_its_episode(backward):
    learner, counts = made(backward=backward).train(), {}
    for episode in range(1, 51):
        learner.zero_grad()
        learner(**random_batch("sequence-classification", seed=episode))["loss"].backward()
        if episode in (5, 50):
            gc.collect()
            counts[episode] = sum(type(thing) in (torch.Tensor, nn.Parameter) for thing in gc.get_objects())
    assert counts[50] == counts[5]


def test_adapt_leaves_the_learner_untouched():
    learner = made()
    before = fingerprint(learner)
    support = random_batch("sequence-classification")["support"]
    adapted = learner.adapt({name: rows[0] for name, rows in support.items()})
    assert fingerprint(learner) == before
    assert not torch.equal(adapted.classifier.weight, learner.model.classifier.weight)
