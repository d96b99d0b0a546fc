"""Options of CMAML: what is refused, and what follows from others."""

from __future__ import annotations

import pytest

from hfmeta.algorithms import Cmaml
from hfmeta.inner.errors import HfmetaError


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"masks": "both"}, "masks must be 'forward' or 'gradient', not 'both'"),
        ({"granularity": "layer"}, "granularity must be 'edge', 'node', 'rank' or None, not 'layer'"),
        ({"gamma": 0.1, "keep_ratio": 0.5}, "give gamma or keep_ratio, not both (gamma=0.1, keep_ratio=0.5)"),
        ({"gamma": -0.1}, "gamma must be zero or more, not -0.1"),
        ({"keep_ratio": 1.5}, "keep_ratio is a share between 0 and 1, not 1.5"),
        ({"pretrain_until": -1.0}, "pretrain_until is a share between 0 and 1, not -1.0"),
        ({"prune_steps": 0.5}, "prune_steps must be a whole number of at least 0, not 0.5"),
        ({"test_prune_steps": -1}, "test_prune_steps must be a whole number of at least 0, not -1"),
        ({"prune_lr": 0.0}, "prune_lr must be a positive number, not 0.0"),
        ({"prune_l1": -0.1}, "prune_l1 must be zero or more, not -0.1"),
        ({"inner_lr": 0.0}, "inner_lr must be positive"),
    ],
)
def test_bad_values(options, words):
    with pytest.raises(HfmetaError) as caught:
        Cmaml(**options)
    assert str(caught.value).startswith("Cmaml: ")
    assert words in str(caught.value)


def test_new_tasks_prune_as_long_as_training_tasks_unless_told_otherwise():
    assert Cmaml(prune_steps=7, test_prune_steps=None).eval_prune_steps == 7
    assert Cmaml(prune_steps=7, test_prune_steps=0).eval_prune_steps == 0


def test_options_survive_a_file():
    algorithm = Cmaml(keep_ratio=0.3, masks="gradient")
    assert Cmaml.from_dict(algorithm.to_dict()) == algorithm
