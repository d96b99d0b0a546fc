"""The weights of the query losses after each inner step."""

from __future__ import annotations

import pytest

from hfmeta import Maml, MamlPlusPlus
from hfmeta.learner.weights import step_weights


def test_only_the_last_step_counts_by_default():
    assert step_weights(Maml(inner_steps=4), 0.0) == {4: 1.0}


def test_annealing_goes_from_equal_to_the_last_step():
    algorithm = MamlPlusPlus(inner_steps=4, query_loss_until=0.5)
    assert step_weights(algorithm, 0.0) == {k: pytest.approx(0.25) for k in (1, 2, 3, 4)}
    assert step_weights(algorithm, 0.25)[1] == pytest.approx(0.125)
    assert step_weights(algorithm, 0.25)[4] == pytest.approx(1 - 3 * 0.125)
    assert step_weights(algorithm, 0.4999)[1] == pytest.approx(0.03 / 4)  # the floor of the authors' code
    assert step_weights(algorithm, 0.5) == {4: 1.0}
    last = [step_weights(algorithm, share / 20)[4] for share in range(20)]
    assert last == sorted(last)
    for share in range(20):
        assert sum(step_weights(algorithm, share / 20).values()) == pytest.approx(1.0)


def test_one_step_has_nothing_to_anneal():
    assert step_weights(MamlPlusPlus(inner_steps=1), 0.0) == {1: 1.0}
