"""The four function families: ranges, forms, noise, and batches equal to single tasks."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from hfmeta.corpora import FunctionFamilies
from hfmeta.corpora.function_families import FAMILIES
from hfmeta.episodes import EpisodeDataset, EpisodeError, EpisodeGenerator, FixedEpisodes


def points(episode):
    both = [torch.cat([episode[side][name] for side in ("support", "query")]) for name in ("inputs", "labels")]
    return both[0].double().numpy()[:, 0], both[1].double().numpy()[:, 0]


KEYS = [(1, index) for index in range(400)]


@pytest.mark.parametrize(("family", "bounds"), [(1, [3, 3]), (2, [0.2, 2, 3]), (3, [0.1, 0.2, 2, 3])])
def test_polynomials_lie_within_their_ranges(family, bounds):
    made = FunctionFamilies(30, 30)
    found = []
    for episode, kind in zip(made.tasks(3, KEYS), made.families(3, KEYS), strict=True):
        if kind == family:
            x, y = points(episode)
            assert np.abs(x).max() <= 5
            fit = np.polyfit(x, y, len(bounds) - 1)
            assert np.abs(np.polyval(fit, x) - y).max() < 1e-5
            found.append(np.abs(fit))
    largest = np.max(found, 0)
    assert (largest <= np.array(bounds) + 1e-5).all()
    assert (largest > 0.9 * np.array(bounds)).all(), "the whole range is drawn from"


@pytest.mark.parametrize("form", ["offset", "phase"])
def test_sinusoids_lie_within_their_ranges(form):
    made = FunctionFamilies(60, 60, sin_form=form)
    seen = []
    for episode, kind in zip(made.tasks(3, KEYS), made.families(3, KEYS), strict=True):
        if kind:
            continue
        x, y = points(episode)
        # For the right frequency a linear fit leaves nothing.
        frequencies = np.linspace(0.8, 1.2, 81)
        residues = []
        for w in frequencies:
            columns = np.stack([np.sin(w * x), np.cos(w * x), np.ones_like(x)], 1)
            solution, *_ = np.linalg.lstsq(columns, y)
            residues.append((np.abs(columns @ solution - y).max(), *solution))
        gap, sine, cosine, offset = min(residues)
        assert gap < 0.1
        seen.append((math.hypot(sine, cosine), abs(cosine), offset))
    amplitude, cosine, offset = np.array(seen).T
    assert amplitude.max() < 5.1
    if form == "offset":
        assert cosine.max() < 0.3
        assert -0.1 < offset.min() < 0.5
        assert 5.8 < offset.max() < 2 * math.pi + 0.1
    else:
        assert cosine.max() > 2
        assert np.abs(offset).max() < 0.1


def test_mean_squares_are_those_of_the_specification():
    made = FunctionFamilies(10, 50)
    keys = [(0, index) for index in range(20_000)]
    kinds = np.array(made.families(0, keys))
    squares = np.array([episode["query"]["labels"].square().mean().item() for episode in made.tasks(0, keys)])
    for family, expected in enumerate((17.5, 28.0, 15.8, 23.2)):
        assert squares[kinds == family].mean() == pytest.approx(expected, rel=0.04)
        assert (kinds == family).mean() == pytest.approx(0.25, abs=0.02)


def test_a_task_is_a_function_of_its_key():
    made = FunctionFamilies(5, 10)
    assert isinstance(made, EpisodeGenerator)
    keys = [(0, 3), (2, 1), (0, 7)]
    together = made.tasks(1, keys)
    for key, episode in zip(keys, together, strict=True):
        alone = made.task(1, *key)
        assert alone["task"] == key[1]
        for side, rows in (("support", 5), ("query", 10)):
            assert episode[side]["inputs"].shape == (rows, 1)
            assert episode[side]["inputs"].dtype == torch.float32
            assert all(torch.equal(alone[side][name], episode[side][name]) for name in ("inputs", "labels"))
    assert not torch.equal(together[0]["support"]["labels"], together[2]["support"]["labels"])
    longer = FunctionFamilies(8, 20).task(1, 0, 3)
    assert torch.equal(longer["support"]["labels"][:5], together[0]["support"]["labels"])
    assert made.families(1, keys) == FunctionFamilies(8, 20).families(1, keys)
    assert set(made.families(0, KEYS)) == set(range(len(FAMILIES)))


def test_noise_is_normal_and_leaves_the_function_alone():
    keys = [(0, index) for index in range(200)]
    clean, noisy = (FunctionFamilies(20, 20, noise_std=std).tasks(0, keys) for std in (0.0, 0.3))
    gaps = torch.cat([b["query"]["labels"] - a["query"]["labels"] for a, b in zip(clean, noisy, strict=True)])
    assert all(torch.equal(a["query"]["inputs"], b["query"]["inputs"]) for a, b in zip(clean, noisy, strict=True))
    assert gaps.std().item() == pytest.approx(0.3, rel=0.03)
    assert gaps.mean().item() == pytest.approx(0, abs=0.02)
    assert (gaps.abs() > 0.6).float().mean().item() == pytest.approx(0.0455, abs=0.012)


def test_the_test_tasks_do_not_change_unnoticed():
    # The first test tasks of the committed table.
    episodes = FixedEpisodes(EpisodeDataset(FunctionFamilies(10, 10)), 100)
    assert episodes.sha256 == "2c8e0c15ce44f0fca0a664b79c14878c705e7b7a1ae424ae496d91e7c5a372af"


def test_bad_options_are_refused():
    with pytest.raises(EpisodeError, match="support must be a whole number of at least 1 point, got 0"):
        FunctionFamilies(support=0)
    with pytest.raises(EpisodeError, match="noise_std must be zero or more, not -0.1"):
        FunctionFamilies(noise_std=-0.1)
    with pytest.raises(EpisodeError, match="sin_form must be one of offset, phase, not 'cosine'"):
        FunctionFamilies(sin_form="cosine")
