"""Gradient descent by hand: fixed rates, rates per step beyond the last, refusals."""

from __future__ import annotations

import pytest
import torch

from hfmeta.inner import HfmetaError
from hfmeta.inner.rules import Sgd

THETA = {"layer.weight": torch.ones(2, 3), "bias": torch.zeros(3)}
STACK = {name: value.expand(4, *value.shape) for name, value in THETA.items()}
GRADS = {name: torch.full_like(value, 2.0) for name, value in STACK.items()}


@pytest.mark.parametrize("rates", ["fixed", "scalar", "tensor", "element"])
def test_a_step_is_theta_minus_alpha_times_gradient(rates):
    rule = Sgd(THETA, 0.1, rates)
    moved, _ = rule(STACK, GRADS, torch.zeros(4), rule.start(STACK))
    for name, value in moved.items():
        torch.testing.assert_close(value, STACK[name] - 0.2)


def test_rates_per_step_beyond_the_last_use_the_last():
    rule = Sgd(THETA, 0.1, "scalar", steps=2)
    with torch.no_grad():
        rule.alpha["all"].copy_(torch.tensor([0.5, 0.25]))
    params, state = STACK, rule.start(STACK)
    biases = []
    for _ in range(4):
        params, state = rule(params, GRADS, torch.zeros(4), state)
        biases.append(params["bias"][0, 0].item())
    assert biases == [-1.0, -1.5, -2.0, -2.5]


def test_the_summary_is_of_learned_rates_only():
    assert Sgd(THETA, 0.1).summary() == {}
    assert Sgd(THETA, 0.5, "tensor").summary() == {"inner_lr_mean": 0.5, "inner_lr_min": 0.5, "inner_lr_max": 0.5}


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"lr": 0.1, "rates": "none"}, "rates must be one of fixed, scalar, tensor, element, not 'none'"),
        ({"lr": 0.0}, "inner_lr must be a positive number"),
        ({"lr": float("inf")}, "inner_lr must be a positive number"),
        ({"lr": 0.1, "steps": 2}, "rates_per_step=True needs learned rates"),
    ],
)
def test_bad_options_are_refused(options, sentence):
    with pytest.raises(HfmetaError, match=sentence):
        Sgd(THETA, **options)
