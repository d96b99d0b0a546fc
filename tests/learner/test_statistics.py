"""Running statistics by task: what the query sees in evaluation, what `adapt` stores, and that nothing stays behind."""

from __future__ import annotations

import copy

import pytest
import torch
import torch.nn.functional as F
from torch.func import functional_call
from transformers import AutoModelForImageClassification

from hfmeta.algorithms import LstmMetaLearner, Maml
from hfmeta.inner import GradientMode
from hfmeta.learner import MetaLearner
from hfmeta.learner.statistics import running_statistics
from hfmeta.learner.trajectory import Trajectory
from hfmeta.models import mixes_rows
from tiny import random_batch, tiny_conv4

MOMENTUM = 0.8


def learner(steps=3, evaluator="auto", algorithm=Maml, **options):
    model = tiny_conv4(dtype=torch.float64, norm_scale=True, statistics="task", statistics_momentum=MOMENTUM)
    return MetaLearner(model, algorithm(inner_steps=steps, inner_lr=0.1, evaluator=evaluator, **options))


def batch(seed=0, **sizes):
    return random_batch("image-classification", dtype=torch.float64, seed=seed, **sizes)


def logits_by_hand(model, phi, running, images):
    """The network with the statistics of `running`; None: with those of the batch, which are returned beside the logits."""
    seen, hidden = [], images
    for index in range(len(model.blocks)):
        name = f"blocks.{index}"
        hidden = F.conv2d(hidden, phi[f"{name}.conv.weight"], phi[f"{name}.conv.bias"], stride=2, padding=1)
        mean, variance = hidden.mean((0, 2, 3)), hidden.var((0, 2, 3), unbiased=False)
        seen.append((mean, hidden.var((0, 2, 3), unbiased=True)))
        if running is not None:
            mean, variance = running[index]
        hidden = (hidden - mean[:, None, None]) / (variance[:, None, None] + 1e-3).sqrt()
        hidden = hidden * phi[f"{name}.norm.scale"][:, None, None] + phi[f"{name}.norm.shift"][:, None, None]
        hidden = hidden.clamp_min(0)
    return hidden.mean((2, 3)) @ phi["classifier.weight"].T + phi["classifier.bias"], seen


def by_hand(model, episode, t, steps):
    """Query losses of task t after each of the steps, its statistics kept in a plain loop."""
    phi = {name: value.detach().clone().requires_grad_() for name, value in model.named_parameters()}
    support, query = ({name: rows[t] for name, rows in episode[part].items()} for part in ("support", "query"))
    running = [(torch.zeros(4).double(), torch.ones(4).double()) for _ in model.blocks]
    losses = []
    for step in range(steps + 1):
        logits, _ = logits_by_hand(model, phi, running, query["pixel_values"])
        losses.append(F.cross_entropy(logits, query["labels"]).item())
        if step == steps:
            return losses
        logits, seen = logits_by_hand(model, phi, None, support["pixel_values"])
        grads = torch.autograd.grad(F.cross_entropy(logits, support["labels"]), list(phi.values()))
        running = [
            tuple((1 - MOMENTUM) * old + MOMENTUM * new.detach() for old, new in zip(was, now, strict=True))
            for was, now in zip(running, seen, strict=True)
        ]
        phi = {n: (v - 0.1 * g).detach().requires_grad_() for (n, v), g in zip(phi.items(), grads, strict=True)}
    return losses


@pytest.mark.parametrize("evaluator", ["looped", "vectorised"])
def test_query_losses_in_evaluation_are_those_of_a_plain_loop(evaluator):
    made, episode = learner(evaluator=evaluator), batch()
    found = made.scores(**episode)["loss"]
    expected = torch.tensor([by_hand(made.model, episode, t, 3) for t in range(2)], dtype=torch.float64)
    torch.testing.assert_close(found, expected, rtol=1e-10, atol=0)


def test_a_prediction_does_not_depend_on_the_other_query_rows():
    made, episode = learner(), batch()
    whole = made.scores(**episode)["logits"]
    few = {**episode, "query": {name: rows[:, :2] for name, rows in episode["query"].items()}}
    torch.testing.assert_close(made.scores(**few)["logits"], whole[:, :2], rtol=1e-10, atol=1e-12)
    transductive = MetaLearner(tiny_conv4(dtype=torch.float64), Maml(inner_steps=1, inner_lr=0.1))
    assert not torch.allclose(transductive.scores(**few)["logits"], transductive.scores(**episode)["logits"][:, :2])


def test_in_training_the_query_goes_by_its_own_batch():
    by_task, episode = learner(), batch()
    by_batch = MetaLearner(tiny_conv4(dtype=torch.float64, norm_scale=True), by_task.algorithm)
    one, other = (made.train()(**episode)["loss"] for made in (by_task, by_batch))
    torch.testing.assert_close(one, other, rtol=1e-12, atol=0)
    assert not torch.allclose(by_task.eval()(**episode)["loss"], by_batch.eval()(**episode)["loss"])


def test_nothing_stays_with_the_model():
    made = learner()
    before = copy.deepcopy(made.state_dict())
    first = made.scores(**batch())["loss"]
    made.scores(**batch(seed=1))
    made.adapt({name: rows[0] for name, rows in batch(seed=2)["support"].items()})
    assert torch.equal(made.scores(**batch())["loss"], first)
    assert made.state_dict().keys() == before.keys()
    assert all(torch.equal(value, before[name]) for name, value in made.state_dict().items())
    assert all(block.norm.mean is None for block in made.model.blocks)


def test_a_task_alone_has_the_statistics_it_has_in_a_batch():
    made, episode = learner(), batch(T=3)
    together = made.scores(**episode)["loss"]
    for t in range(3):
        one = {part: {name: rows[t : t + 1] for name, rows in episode[part].items()} for part in ("support", "query")}
        torch.testing.assert_close(made.scores(**one)["loss"][0], together[t], rtol=1e-10, atol=1e-12)


def test_portions_are_passes_and_a_waiting_task_sees_none():
    made = learner(steps=2, inner_batch_size=2)
    episode = batch(S=4)
    episode["support"]["labels"][1, 2:] = -100  # task 1 has one portion, task 0 two
    together = made.scores(**episode)["loss"]
    short = {name: rows[1:, :2] for name, rows in episode["support"].items()}
    alone = made.scores(short, {name: rows[1:] for name, rows in episode["query"].items()})["loss"]
    torch.testing.assert_close(alone[0], together[1], rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("algorithm", [Maml, LstmMetaLearner])
def test_an_adapted_model_is_what_was_evaluated_and_opens_by_itself(tmp_path, algorithm):
    made, episode = learner(algorithm=algorithm), batch(T=1)
    adapted = made.adapt({name: rows[0] for name, rows in episode["support"].items()})
    query = {name: rows[0] for name, rows in episode["query"].items()}
    with torch.no_grad():
        logits = adapted(query["pixel_values"]).logits
        torch.testing.assert_close(logits, made.scores(**episode)["logits"][0], rtol=1e-10, atol=1e-12)
        made.save_adapted(adapted, tmp_path)
        opened = AutoModelForImageClassification.from_pretrained(tmp_path)
        assert opened.config.statistics == "fixed"
        torch.testing.assert_close(opened(query["pixel_values"]).logits, logits, rtol=1e-12, atol=0)
    assert made.model.config.statistics == "task"
    assert (mixes_rows(made.model), mixes_rows(opened)) == (True, False)


def test_statistics_start_at_zero_and_one_and_end_with_the_last_step():
    made, episode = learner(steps=2), batch()
    path = Trajectory(made, episode["support"], None)
    seen = [dict(path.statistics) for _ in path.values(2, GradientMode(track=False))]
    assert all(not value.any() for name, value in seen[0].items() if name.endswith("mean"))
    assert all((value == 1).all() for name, value in seen[0].items() if name.endswith("variance"))
    # Exhausting the path adds no pass at values that no step was taken from.
    assert all(torch.equal(value, seen[2][name]) for name, value in path.statistics.items())
    assert not torch.equal(seen[1]["blocks.0.norm.mean"], seen[2]["blocks.0.norm.mean"])


def test_models_without_gather_none():
    assert running_statistics(tiny_conv4(), 2) is None
    assert running_statistics(torch.nn.Linear(1, 1), 2) is None


def test_given_statistics_replace_those_of_the_batch():
    model = tiny_conv4(statistics="task")
    images = torch.randn(3, 1, 16, 16, generator=torch.Generator().manual_seed(0))
    given = {
        f"blocks.{i}.norm.{name}": torch.full((4,), v)
        for i in range(4)
        for name, v in (("mean", 0.1), ("variance", 2.0))
    }
    logits = functional_call(model, given, (images,)).logits
    torch.testing.assert_close(functional_call(model, given, (images[:1],)).logits, logits[:1])
    assert not torch.allclose(model(images).logits, logits)
