"""Checks of hfmeta/metrics/difference.py: running sums against all pairs by brute force."""

from __future__ import annotations

import math
from itertools import combinations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from hfmeta.inner.errors import HfmetaError
from hfmeta.metrics import PAPER_UNIT, DifferenceSums, model_differences
from hfmeta.metrics.scores import mean_ci95
from tiny import tiny_gpt2, tiny_mlp

SHAPES = {"a.weight": (3, 4), "a.bias": (3,), "b.weight": (2, 3)}
SIZE = 12 + 3 + 6


def parameters(seed, scale=1.0, dtype=torch.float64):
    rng = np.random.default_rng([7, seed])
    return {name: torch.tensor(rng.normal(scale=scale, size=shape), dtype=dtype) for name, shape in SHAPES.items()}


def flat(values):
    return torch.cat([values[name].double().flatten() for name in SHAPES])


def brute_force(models, start):
    rows = [flat(model) for model in models]
    pairs = [float((a - b).square().sum()) / SIZE for a, b in combinations(rows, 2)]
    return np.mean(pairs), [float((row - flat(start)).square().sum()) / SIZE for row in rows]


@settings(max_examples=40, deadline=None)
@given(st.integers(2, 9), st.integers(0, 1000), st.sampled_from([1.0, 1e-4]))
def test_running_sums_equal_all_pairs(count, seed, scale):
    start = parameters(seed)
    models = [{n: start[n] + v for n, v in parameters(seed + 1 + i, scale).items()} for i in range(count)]
    result = model_differences(models, start)
    diff, deltas = brute_force(models, start)
    assert result.diff == pytest.approx(diff, rel=1e-10)
    assert result.delta == pytest.approx(np.mean(deltas), rel=1e-10)
    assert result.delta_ci95 == pytest.approx(mean_ci95(deltas)[1], rel=1e-8)
    assert (result.models, result.parameters) == (count, SIZE)


def test_small_differences_of_large_weights_survive():
    # In units of the weights squared, what is to be measured is 1e-16 of what is there.
    start = {name: value + 1e4 for name, value in parameters(0).items()}
    models = [{n: start[n] + v for n, v in parameters(i + 1, 1e-4).items()} for i in range(20)]
    assert model_differences(models, start).diff == pytest.approx(brute_force(models, start)[0], rel=1e-6)


def test_independent_displacements_give_twice_delta():
    start = {"w": torch.zeros(20_000)}
    models = [{"w": torch.tensor(np.random.default_rng([1, i]).normal(size=20_000))} for i in range(10)]
    result = model_differences(models, start)
    assert result.diff / result.delta == pytest.approx(2.0, abs=0.05)


def test_models_that_did_not_move_differ_by_exactly_nothing():
    model = tiny_mlp()
    result = model_differences([model, model, model], model)
    assert (result.diff, result.delta, result.diff_ci95) == (0.0, 0.0, 0.0)
    moved = {name: value.detach() + 0.1 for name, value in model.named_parameters()}
    assert model_differences([moved] * 3, model).diff == 0.0


def test_the_units_of_the_paper():
    models, start = [parameters(1), parameters(2)], parameters(0)
    plain, scaled = model_differences(models, start), model_differences(models, start, unit=PAPER_UNIT)
    assert scaled.diff == pytest.approx(plain.diff * 1e10)
    assert scaled.delta == pytest.approx(plain.delta * 1e10)
    assert scaled.unit == 1e-10


def test_pruned_edges_count_as_zero_whatever_they_hold():
    start, model = parameters(0), parameters(1)
    mask = {"a.weight": torch.zeros(3, 4, dtype=torch.bool)}
    mask["a.weight"][0] = True
    pruned = {**model, "a.weight": model["a.weight"] * mask["a.weight"]}
    assert model_differences([model, start], start, [mask, None]) == model_differences([pruned, start], start)
    poisoned = {**model, "a.weight": torch.where(mask["a.weight"], model["a.weight"], torch.inf)}
    assert model_differences([poisoned, start], start, [mask, None]) == model_differences([pruned, start], start)


def test_tied_parameters_count_once():
    model = tiny_gpt2()
    own = sum(p.numel() for p in model.parameters())
    assert DifferenceSums(model).parameters == own
    tied = dict(model.named_parameters(remove_duplicate=False))
    assert len(tied) > len(dict(model.named_parameters()))
    assert DifferenceSums(tied).parameters == own
    other = tiny_gpt2(seed=1)
    assert model_differences([other], model).delta == model_differences([other.state_dict()], tied).delta


def test_only_what_moved():
    start = parameters(0)
    moved = [{"b.weight": parameters(1)["b.weight"]}, {"a.bias": parameters(2)["a.bias"]}, {}]
    whole = [{**start, **one} for one in moved]
    partial, full = model_differences(moved, start, partial=True), model_differences(whole, start)
    assert partial.diff == pytest.approx(full.diff, rel=1e-12)
    assert partial.delta == pytest.approx(full.delta, rel=1e-12)
    assert partial.diff_ci95 == pytest.approx(full.diff_ci95, rel=1e-12)


def test_the_jackknife_by_hand():
    models, start = [parameters(i) for i in range(1, 6)], parameters(0)
    without = [brute_force(models[:i] + models[i + 1 :], start)[0] for i in range(5)]
    expected = 1.96 * math.sqrt(4 / 5 * sum((value - np.mean(without)) ** 2 for value in without))
    assert model_differences(models, start).diff_ci95 == pytest.approx(expected, rel=1e-9)


def test_a_generator_is_read_once():
    models, start = [parameters(i) for i in range(1, 5)], parameters(0)
    result = model_differences((model for model in models), start)
    assert result.diff == model_differences(models, start).diff
    assert math.isnan(result.diff_ci95)


def test_one_model_has_a_delta_only():
    result = model_differences([parameters(1)], parameters(0))
    assert math.isnan(result.diff)
    assert result.delta > 0


def test_the_start_is_copied():
    start = parameters(0)
    sums = DifferenceSums(start)
    start["a.bias"].zero_()
    sums.add(parameters(0))
    assert sums.result().delta == 0.0


def test_half_precision_weights_are_compared_in_double():
    start = {"w": torch.zeros(4, dtype=torch.bfloat16)}
    assert model_differences([{"w": torch.full((4,), 0.5, dtype=torch.bfloat16)}], start).delta == 0.25


@pytest.mark.parametrize(
    ("model", "options", "message"),
    [
        ({"a.weight": torch.zeros(3, 4)}, {}, "lacks 2 of the start's parameters: a.bias, b.weight"),
        ({**parameters(1), "a.bias": torch.zeros(4)}, {}, r"a.bias has shape \[3\] in the start, \[4\] in the adapted"),
        (
            {**parameters(1), "a.bias": torch.full((3,), torch.nan)},
            {},
            "a.bias of the adapted model holds values that are not",
        ),
        ({"c": torch.zeros(1)}, {"partial": True}, "the start has no parameter named c"),
        (parameters(1), {"masks": {"c": torch.ones(1)}}, "the start has no parameter named c"),
        (parameters(1), {"masks": {"a.bias": torch.ones(2)}}, r"and \[2\] in the mask"),
        ({}, {"partial": True, "masks": {"a.bias": torch.ones(3)}}, "masked tensors always belong to that"),
    ],
)
def test_models_that_do_not_fit(model, options, message):
    with pytest.raises(HfmetaError, match=message):
        DifferenceSums(parameters(0)).add(model, **options)


def test_other_errors():
    with pytest.raises(HfmetaError, match="needs parameters to compare"):
        DifferenceSums({})
    with pytest.raises(HfmetaError, match="at least one adapted model"):
        model_differences([], parameters(0))
    with pytest.raises(HfmetaError, match="unit of a model difference must be positive"):
        model_differences([parameters(1)], parameters(0), unit=0.0)
    with pytest.raises(HfmetaError, match=r"one structure \(or None\) for each model: got 1 and 2"):
        model_differences([parameters(1)] * 2, parameters(0), [None])
