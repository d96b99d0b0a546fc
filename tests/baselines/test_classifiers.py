"""Checks of hfmeta/baselines/classifiers.py."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from hfmeta.baselines import EpisodeFeatures, logistic_regression, nearest_class_mean
from hfmeta.inner.errors import HfmetaError


def clusters(
    seed: int, noise: float = 0.1, C: int = 4, shots: int = 3, queries: int = 6, d: int = 5
) -> EpisodeFeatures:
    """An episode of C clusters."""
    generator = torch.Generator().manual_seed(seed)
    centres = torch.randn(C, d, generator=generator)

    def rows(count: int) -> tuple[torch.Tensor, torch.Tensor]:
        labels = torch.arange(C).repeat(count)
        return centres[labels] + noise * torch.randn(len(labels), d, generator=generator), labels

    return EpisodeFeatures(*rows(shots), *rows(queries))


def by_hand(episode: EpisodeFeatures) -> float:
    """Accuracy of nearest class mean with plain loops."""
    means = [episode.support[episode.support_labels == c].mean(0) for c in range(4)]
    right = [
        int(np.argmin([float((row - mean).norm()) for mean in means])) == label
        for row, label in zip(episode.query, episode.query_labels.tolist(), strict=True)
    ]
    return float(np.mean(right))


def test_nearest_class_mean_equals_plain_loops():
    episodes = [clusters(seed, noise=1.0) for seed in range(5)]
    accuracies = nearest_class_mean(episodes)
    assert accuracies.tolist() == pytest.approx([by_hand(episode) for episode in episodes])
    assert 0.3 < float(accuracies.mean()) < 0.95
    assert accuracies.dtype == torch.float64


def test_cosine_ignores_the_length_of_features():
    episodes = [clusters(seed, noise=0.8) for seed in range(5)]
    stretched = [
        EpisodeFeatures(
            e.support * torch.rand(len(e.support), 1).add(0.5), e.support_labels, e.query * 7, e.query_labels
        )
        for e in episodes
    ]
    assert torch.equal(nearest_class_mean(episodes, "cosine"), nearest_class_mean(stretched, "cosine"))
    assert not torch.equal(nearest_class_mean(episodes), nearest_class_mean(stretched))


@pytest.mark.parametrize("classify", [nearest_class_mean, logistic_regression])
def test_easy_tasks_are_solved_and_ignored_rows_left_out(classify):
    episode = clusters(0, noise=0.01)
    assert classify([episode]).tolist() == [1.0]
    support_labels, query_labels = episode.support_labels.clone(), episode.query_labels.clone()
    episode.support[0], episode.query[0] = 100.0, 100.0
    support_labels[0], query_labels[0] = -100, -100
    marked = EpisodeFeatures(episode.support, support_labels, episode.query, query_labels)
    assert classify([marked, marked]).tolist() == [1.0, 1.0]


@pytest.mark.parametrize("classify", [nearest_class_mean, logistic_regression])
def test_a_class_without_support_is_never_predicted(classify):
    episode = clusters(1, noise=0.01)
    keep = episode.support_labels != 2
    partial = EpisodeFeatures(episode.support[keep], episode.support_labels[keep], episode.query, episode.query_labels)
    assert classify([partial]).tolist() == [0.75]
    one = EpisodeFeatures(episode.support[~keep], episode.support_labels[~keep], episode.query, episode.query_labels)
    assert classify([one]).tolist() == [0.25]


def test_logistic_regression_reads_directions_and_its_penalty():
    episodes = [clusters(seed, noise=0.9) for seed in range(6)]
    longer = [EpisodeFeatures(e.support * 9, e.support_labels, e.query * 0.1, e.query_labels) for e in episodes]
    assert torch.equal(logistic_regression(episodes), logistic_regression(longer))
    assert not torch.equal(logistic_regression(episodes), logistic_regression(episodes, C=1000.0))


def test_an_unknown_metric_is_refused():
    with pytest.raises(
        HfmetaError, match="unknown metric 'manhattan' for nearest_class_mean; choose one of euclidean, cosine"
    ):
        nearest_class_mean([clusters(0)], metric="manhattan")
