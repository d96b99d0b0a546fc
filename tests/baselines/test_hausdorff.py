"""Matching of drawings by their ink: the distance against a plain loop, made runs, blank drawings; Lake's figure where at hand."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
import torch

from hfmeta.baselines import hausdorff_matching, modified_hausdorff
from hfmeta.baselines.hausdorff import ink_points
from hfmeta.corpora import load_lake_runs
from hfmeta.inner import HfmetaError
from lake_runs import made_runs


def test_the_distance_is_that_of_a_plain_loop():
    rng = np.random.default_rng(0)
    first, second = rng.normal(size=(7, 2)), rng.normal(size=(5, 2))
    one = np.mean([min(np.hypot(*(a - b)) for b in second) for a in first])
    other = np.mean([min(np.hypot(*(a - b)) for a in first) for b in second])
    assert modified_hausdorff(first, second) == pytest.approx(max(one, other), abs=1e-12)
    assert modified_hausdorff(second, first) == pytest.approx(max(one, other), abs=1e-12)
    assert modified_hausdorff(first, first) == 0
    assert modified_hausdorff(first, np.empty((0, 2))) == np.inf


def test_ink_is_centred_so_that_place_plays_no_part():
    image = torch.zeros(1, 9, 9)
    image[0, 1, 2:5] = 1
    points = ink_points(image)
    np.testing.assert_allclose(points, [[0, -1], [0, 0], [0, 1]])
    np.testing.assert_allclose(ink_points(image.roll((3, 2), (1, 2))), points)
    assert ink_points(torch.zeros(1, 4, 4)).shape == (0, 2)
    np.testing.assert_allclose(ink_points(image.expand(3, 9, 9)), points)
    with pytest.raises(HfmetaError, match=r"an image \[c, h, w\]; received a tensor of shape \[9, 9\]"):
        ink_points(image[0])


def test_moved_drawings_find_their_class(tmp_path: Path):
    runs = load_lake_runs(made_runs(tmp_path, runs=3, ways=5, shift=20), size=105, runs=3)
    assert hausdorff_matching(runs).tolist() == [1, 1, 1]
    runs[0]["query"]["labels"] = (runs[0]["query"]["labels"] + 1) % 5
    runs[1]["query"]["labels"][:4] = -100
    runs[2]["query"]["pixel_values"] = torch.zeros_like(runs[2]["query"]["pixel_values"])
    accuracies = hausdorff_matching(runs)
    assert accuracies[:2].tolist() == [0, 1]
    assert accuracies[2] == pytest.approx(0.2), "a blank drawing is equally far from all: the first one is taken"
    with pytest.raises(HfmetaError, match="drawings are matched by pixel_values; the episodes have inputs, labels"):
        hausdorff_matching([{"support": {"inputs": torch.ones(2, 1), "labels": torch.arange(2)}, "query": {}}])


OFFICIAL = Path(os.environ.get("HFMETA_DATA", "")) / "omniglot" / "all_runs"


@pytest.mark.skipif(not (OFFICIAL / "run01").is_dir(), reason="the official runs are not at hand")
def test_the_published_error_on_the_official_runs():
    runs = load_lake_runs(OFFICIAL, size=105)
    assert 100 * (1 - hausdorff_matching(runs).mean()) == pytest.approx(38.75)  # published as 38.8 %
