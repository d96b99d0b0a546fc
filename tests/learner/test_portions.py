"""A pass over the support set in portions: the rows, what waits, and that the gradient is that of single tasks."""

from __future__ import annotations

import pytest
import torch

from hfmeta.algorithms import Maml
from hfmeta.inner.errors import HfmetaError
from hfmeta.learner import MetaLearner
from hfmeta.learner.portions import Portions, trimmed
from tiny import random_batch, tiny_bert
from truth import outer_gradient, relative_gap


def test_all_rows_at_once_where_no_size_is_given_or_they_fit():
    support = {"inputs": torch.randn(2, 3, 1), "labels": torch.randn(2, 3, 1)}
    for size in (None, 3, 7):
        portions = Portions(support, size)
        assert len(portions) == 1
        assert portions.batches[0] is support
        assert portions.active == [None]


def test_every_row_is_in_one_portion():
    labels = torch.arange(1, 11).view(2, 5)
    portions = Portions({"labels": labels}, 2)
    assert [batch["labels"].tolist() for batch in portions.batches] == [[[1, 2], [6, 7]], [[3, 4], [8, 9]], [[5], [10]]]
    assert portions.active == [None, None, None]


def test_a_smaller_task_waits_and_its_padding_never_counts():
    labels = torch.tensor([[1, 2, 3, 4, 5], [6, 7, 8, -100, -100]])
    first, second, third = Portions({"labels": labels}, 2).batches
    assert first["labels"].tolist() == [[1, 2], [6, 7]]
    assert second["labels"].tolist() == [[3, 4], [8, -100]]
    assert third["labels"].tolist()[0] == [5]
    assert [None if a is None else a.tolist() for a in Portions({"labels": labels}, 2).active] == [
        None,
        None,
        [True, False],
    ]


def test_a_task_without_rows_is_refused():
    with pytest.raises(HfmetaError, match="task 1 of the batch has no support row"):
        Portions({"labels": torch.tensor([[1, 2, 3], [-100, -100, -100]])}, 2)


def test_a_portion_without_a_target_is_waited_out():
    """Of a causal model the first label of a row is no target: a row of one token teaches nothing."""
    labels = torch.full((1, 3, 4), -100)
    labels[0, :, 0] = 7
    labels[0, 0, 1:3], labels[0, 2, 1] = 8, 9
    portions = Portions({"labels": labels}, 1, kind="causal-lm")
    assert [None if active is None else active.tolist() for active in portions.active] == [None, [False], None]
    assert all((batch["labels"][:, :, 1:] != -100).any() for batch in portions.batches)
    assert Portions({"labels": labels}, 1).active == [None, None, None]


@pytest.mark.parametrize("backward", ["full", "recompute"])
@pytest.mark.parametrize("order", [1, 2])
def test_ragged_tasks_together_give_the_gradient_of_each_alone(order, backward):
    """Tasks of 5 and of 3 rows, portions of 2: the smaller one sits the last step of each pass out."""
    algorithm = Maml(
        inner_steps=2, inner_lr=0.1, order=order, backward=backward, inner_batch_size=2, evaluator="looped"
    )
    learner = MetaLearner(tiny_bert(dtype=torch.float64), algorithm).train()
    batch = random_batch("sequence-classification", T=2, S=5, Q=3, dtype=torch.float64)
    short = {name: value[1:, :3] for name, value in batch["support"].items()}
    whole = {name: value.clone() for name, value in batch["support"].items()}
    whole["labels"][1, 3:] = -100
    _, together = outer_gradient(learner, {**batch, "support": whole})
    alone = [
        outer_gradient(
            learner,
            {
                "support": short if t else {name: value[:1] for name, value in batch["support"].items()},
                "query": {name: value[t : t + 1] for name, value in batch["query"].items()},
            },
        )[1]
        for t in range(2)
    ]
    mean = {name: (alone[0][name] + alone[1][name]) / 2 for name in together}
    assert relative_gap(together, mean) < 1e-10


def test_a_pass_over_portions_takes_one_step_on_each():
    """Two passes over three rows in portions of one row are six hand-made steps."""
    learner = MetaLearner(tiny_bert(), Maml(inner_steps=2, inner_lr=0.1, adapt="head", inner_batch_size=1))
    batch = random_batch("sequence-classification", T=1, S=3, Q=4)
    scores = learner.scores(batch["support"], batch["query"])
    assert scores["loss"].shape == (1, 3)
    model, head = learner.model, learner.model.classifier
    for _ in range(2):
        for row in range(3):
            rows = {name: value[0, row : row + 1] for name, value in batch["support"].items()}
            grads = torch.autograd.grad(model(**rows).loss, [head.weight, head.bias])
            with torch.no_grad():
                for value, grad in zip((head.weight, head.bias), grads, strict=True):
                    value -= 0.1 * grad
    with torch.no_grad():
        expected = model(**{name: value[0] for name, value in batch["query"].items()}).loss
    torch.testing.assert_close(scores["loss"][0, -1], expected)


def test_columns_that_are_padding_in_every_row_are_left_out():
    mask = torch.tensor([[[1, 1, 0, 0], [1, 0, 0, 0]]])
    ids = torch.arange(8).view(1, 2, 4)
    source = {"input_ids": ids, "attention_mask": mask}
    labels = torch.tensor([[[5, -100, -100, -100], [5, 6, 7, -100]]])

    decoder = trimmed({**source, "labels": labels}, "tokens")
    assert decoder["input_ids"].tolist() == [[[0, 1], [4, 5]]]
    assert decoder["labels"].tolist() == [[[5, -100, -100], [5, 6, 7]]]

    beside = trimmed({**source, "labels": labels}, "causal-lm")
    assert beside["input_ids"].shape == beside["labels"].shape == (1, 2, 3), "a target is never cut off"
    classes = trimmed({**source, "labels": torch.tensor([[0, 1]])}, "classification")
    assert classes["attention_mask"].tolist() == [[[1, 1], [1, 0]]]
    assert classes["labels"].tolist() == [[0, 1]]


def test_other_tensors_and_other_models_keep_their_shape():
    pixels = {"pixel_values": torch.zeros(1, 2, 3, 4, 4), "labels": torch.tensor([[0, 1]])}
    assert trimmed(pixels, "classification") is pixels
    mask = torch.tensor([[[1, 0], [1, 0]]])
    own = trimmed({"attention_mask": mask, "labels": torch.full((1, 2, 3), -100)})
    assert own["labels"].shape == (1, 2, 3)
    assert own["attention_mask"].shape == (1, 2, 1)
