"""Checks of hfmeta/baselines/pretraining.py."""

from __future__ import annotations

import pytest
import torch

from hfmeta.baselines.pretraining import pretrain
from hfmeta.corpora import Sinusoid
from hfmeta.episodes import EpisodeDataset
from hfmeta.inner.errors import HfmetaError
from tiny import tiny_mlp


@pytest.fixture
def episodes():
    return EpisodeDataset(Sinusoid(6, 3), length=8, seed=5)


def pooled_loss(model, episodes) -> float:
    batch = episodes.collate([episodes[i] for i in range(len(episodes))])
    x = torch.cat([batch[side]["inputs"].flatten(0, 1) for side in ("support", "query")])
    y = torch.cat([batch[side]["labels"].flatten(0, 1) for side in ("support", "query")])
    return model(x, y).loss.item()


def test_the_loss_on_pooled_tasks_falls(episodes):
    model = tiny_mlp()
    before = pooled_loss(model, episodes)
    trained = pretrain(model, episodes, iterations=60, lr=0.02, tasks_per_batch=4)
    assert trained is model
    assert not model.training
    assert pooled_loss(model, episodes) < 0.9 * before


def test_one_step_is_adam_on_the_mean_over_all_rows(episodes):
    model, twin = tiny_mlp(), tiny_mlp()
    pretrain(model, episodes, iterations=1, lr=0.01, tasks_per_batch=3)
    rows = [episodes[i][side] for side in ("support", "query") for i in range(3)]
    adam = torch.optim.Adam(twin.parameters(), lr=0.01)
    twin(torch.cat([r["inputs"] for r in rows]), torch.cat([r["labels"] for r in rows])).loss.backward()
    adam.step()
    for a, b in zip(model.parameters(), twin.parameters(), strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=1e-6)


def test_epochs_go_on_and_runs_repeat(episodes):
    one = pretrain(tiny_mlp(), episodes, iterations=7, tasks_per_batch=5)
    two = pretrain(tiny_mlp(), episodes, iterations=7, tasks_per_batch=5)
    assert all(torch.equal(a, b) for a, b in zip(one.parameters(), two.parameters(), strict=True))
    start = tiny_mlp()
    assert all(
        torch.equal(a, b)
        for a, b in zip(pretrain(tiny_mlp(), episodes, 0).parameters(), start.parameters(), strict=True)
    )


@pytest.mark.parametrize(
    "options", [{"iterations": -1}, {"iterations": 1, "tasks_per_batch": 0}, {"iterations": 1, "lr": 0.0}]
)
def test_impossible_numbers_are_refused(episodes, options):
    with pytest.raises(HfmetaError, match="pretraining needs"):
        pretrain(tiny_mlp(), episodes, **options)


def test_a_frozen_model_is_refused(episodes):
    with pytest.raises(HfmetaError, match="every tensor of MlpForRegression is frozen"):
        pretrain(tiny_mlp().requires_grad_(False), episodes, 1)
