"""Sinusoid tasks: their ranges, their formula, and batches equal to single tasks."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from hfmeta.corpora import Sinusoid
from hfmeta.episodes import EpisodeDataset, EpisodeError, EpisodeGenerator, uniforms


def test_points_lie_on_one_sine_within_the_ranges() -> None:
    family = Sinusoid(support=50, query=60)
    assert isinstance(family, EpisodeGenerator)
    for index in range(40):
        episode = family.task(3, 1, index)
        assert episode["task"] == index
        assert episode["support"]["inputs"].shape == episode["support"]["labels"].shape == (50, 1)
        assert episode["query"]["inputs"].shape == (60, 1)
        assert episode["query"]["inputs"].dtype == episode["query"]["labels"].dtype == torch.float32
        x = torch.cat([episode["support"]["inputs"], episode["query"]["inputs"]]).double().numpy()[:, 0]
        y = torch.cat([episode["support"]["labels"], episode["query"]["labels"]]).double().numpy()[:, 0]
        assert np.abs(x).max() <= 5
        # y = A sin(x - p) = a sin x + b cos x; one least-squares fit finds A and p and leaves no residue.
        (a, b), *_ = np.linalg.lstsq(np.stack([np.sin(x), np.cos(x)], 1), y)
        assert np.abs(a * np.sin(x) + b * np.cos(x) - y).max() < 1e-5
        assert 0.1 - 1e-4 <= math.hypot(a, b) <= 5 + 1e-4
        assert -1e-3 <= math.atan2(-b, a) <= math.pi + 1e-3


def test_moments_of_the_family() -> None:
    """E[y^2] = 4.25, and the best function that ignores the task has mean squared error 2.99 (arithmetic on the ranges)."""
    made = Sinusoid(5, 5).tasks(0, [(0, i) for i in range(40_000)])
    x = torch.cat([e["query"]["inputs"] for e in made])[:, 0].double()
    y = torch.cat([e["query"]["labels"] for e in made])[:, 0].double()
    assert y.square().mean().item() == pytest.approx(4.25, abs=0.06)
    mean_curve = -2.55 * (2 / math.pi) * torch.cos(x)
    assert (y - mean_curve).square().mean().item() == pytest.approx(2.99, abs=0.05)
    drawn = uniforms(0, [(0, i) for i in range(40_000)], 2)
    assert np.allclose(drawn.mean(0), 0.5, atol=0.01)


def test_a_batch_equals_single_tasks_bit_for_bit() -> None:
    family = Sinusoid(10, 10)
    keys = [(0, 5), (3, 1), (0, 6), (2**31 - 1, 0)]
    for made, key in zip(family.tasks(7, keys), keys, strict=True):
        single = family.task(7, *key)
        for side in ("support", "query"):
            for name in ("inputs", "labels"):
                assert torch.equal(made[side][name], single[side][name])


def test_the_task_of_a_key_does_not_depend_on_sizes() -> None:
    small, large = Sinusoid(5, 100).task(0, 0, 9), Sinusoid(10, 95).task(0, 0, 9)
    assert torch.equal(small["support"]["inputs"], large["support"]["inputs"][:5])
    assert torch.equal(small["support"]["labels"], large["support"]["labels"][:5])


def test_as_a_dataset() -> None:
    episodes = EpisodeDataset(Sinusoid(), length=70_000)
    assert len(episodes) == 70_000
    batch = episodes.collate(episodes.__getitems__(list(range(25))))
    assert batch["support"]["inputs"].shape == (25, 10, 1)
    assert batch["task"].tolist() == list(range(25))
    assert len(EpisodeDataset(Sinusoid())) == 1000


@pytest.mark.parametrize("sizes", [(0, 1), (1, 0), (2.0, 1)])
def test_refusals(sizes: tuple[int, int]) -> None:
    with pytest.raises(EpisodeError, match=r"(support|query) must be a whole number of at least 1 point, got"):
        Sinusoid(*sizes)
