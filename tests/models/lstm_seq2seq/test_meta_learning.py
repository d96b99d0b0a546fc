"""The LSTM models in a MetaLearner: exact and first-order meta-gradients, and the evaluators that serve them."""

from __future__ import annotations

import pytest
import torch

from hfmeta import Maml, MetaLearner
from tiny import random_batch, tiny_lstm
from truth import central_difference, outer_gradient, random_direction, relative_gap, unroll

NAMES = ["hfmeta-lstm-seq2seq", "hfmeta-seq2spg", "hfmeta-speaker"]


def batch(T=2):
    return random_batch("seq2seq-lm", T=T, S=3, Q=3, L=5, dtype=torch.float64)


def learner(name="hfmeta-seq2spg", evaluator="looped", **options):
    rows = {"num_speakers": 3} if name == "hfmeta-speaker" else {}
    return MetaLearner(
        tiny_lstm(name, dtype=torch.float64, **rows), Maml(inner_steps=2, inner_lr=0.5, evaluator=evaluator, **options)
    )


@pytest.mark.parametrize("name", NAMES)
def test_the_exact_meta_gradient_is_that_of_finite_differences(name):
    made, episodes = learner(name, order=2), batch()
    direction = random_direction(made)
    found = sum((value * direction[key]).sum().item() for key, value in outer_gradient(made, episodes)[1].items())
    assert found == pytest.approx(central_difference(made, episodes, direction, 1e-5), rel=1e-7)


@pytest.mark.parametrize("order", [1, 2])
def test_meta_gradients_are_those_of_a_plain_unroll(order):
    made, episodes = learner(order=order), batch()
    names = [name for name, _ in made.model.named_parameters()]
    loss, expected = unroll(made.model, names, episodes, 2, 0.5, order)
    found_loss, found = outer_gradient(made, episodes)
    torch.testing.assert_close(found_loss, loss)
    found = {name.removeprefix("model."): value for name, value in found.items() if name.startswith("model.")}
    assert relative_gap(found, expected) < 1e-12


def test_first_order_is_another_gradient():
    one, two = (outer_gradient(learner(order=order), batch())[1] for order in (1, 2))
    assert 1e-3 < relative_gap(one, two) < 1


@pytest.mark.parametrize("order", [1, 2])
def test_tasks_side_by_side(order):
    loop, side = (outer_gradient(learner(evaluator=name, order=order), batch(3)) for name in ("looped", "vectorised"))
    torch.testing.assert_close(side[0], loop[0])
    assert relative_gap(side[1], loop[1]) < 1e-11


@pytest.mark.parametrize("order", [1, 2])
def test_rows_of_all_tasks_through_the_shared_network(order):
    options = {"adapt": r"decoder\.private", "order": order}
    loop, rows = (outer_gradient(learner(evaluator=name, **options), batch(3)) for name in ("looped", "batched"))
    torch.testing.assert_close(rows[0], loop[0])
    assert relative_gap(rows[1], loop[1]) < 1e-11


def test_steps_that_are_computed_again():
    kept, again = (outer_gradient(learner(order=2, backward=way), batch()) for way in ("full", "recompute"))
    torch.testing.assert_close(kept[0], again[0])
    assert relative_gap(again[1], kept[1]) < 1e-12


def test_adaptation_lowers_the_loss_and_leaves_the_learner_alone():
    made, episodes = learner(order=1), batch()
    support = {name: value[0] for name, value in episodes["support"].items()}
    before = {name: value.clone() for name, value in made.model.state_dict().items()}
    adapted = made.adapt(support)
    with torch.no_grad():
        assert adapted(**support).loss < made.model(**support).loss
    assert all(torch.equal(value, before[name]) for name, value in made.model.state_dict().items())
    words = {name: support[name] for name in ("input_ids", "attention_mask")}
    assert adapted.generate(**words, max_new_tokens=3).shape[0] == 3
