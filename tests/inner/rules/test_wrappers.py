"""Clip bounds each task's own norm; Shrink reaches zero exactly; Apart steps by two rules; tasks that wait keep their state."""

from __future__ import annotations

import pytest
import torch

from hfmeta.inner import HfmetaError
from hfmeta.inner.rules import Adam, Apart, Clip, Sgd, Shrink, Waiting

THETA = {"a": torch.zeros(2), "b": torch.zeros(())}


def test_clip_scales_each_task_by_its_own_norm_over_all_tensors():
    params = {"a": torch.zeros(3, 2), "b": torch.zeros(3)}
    grads = {"a": torch.tensor([[2.0, 0.0], [0.2, 0.0], [0.0, 0.0]]), "b": torch.tensor([1.5, 0.0, 0.0])}
    rule = Clip(Sgd(THETA, 1.0), 1.0)
    moved, _ = rule(params, grads, torch.zeros(3), rule.start(params))
    torch.testing.assert_close(moved["a"], torch.tensor([[-0.8, 0.0], [-0.2, 0.0], [0.0, 0.0]]))
    torch.testing.assert_close(moved["b"], torch.tensor([-0.6, 0.0, 0.0]))


def test_the_derivative_of_a_clipped_zero_gradient_is_finite():
    grads = {"a": torch.zeros(1, 2, requires_grad=True), "b": torch.zeros(1, requires_grad=True)}
    rule = Clip(Sgd(THETA, 1.0), 1.0)
    params = {name: torch.zeros_like(value) for name, value in grads.items()}
    moved, _ = rule(params, grads, torch.zeros(1), rule.start(params))
    for grad in torch.autograd.grad(sum(value.sum() for value in moved.values()), list(grads.values())):
        assert torch.isfinite(grad).all()


def test_shrink_reaches_exact_zero_and_stays_there():
    rule = Shrink(Sgd(THETA, 1.0), 0.25)
    params, state = {"a": torch.tensor([[0.6, -0.2]]), "b": torch.tensor([1.0])}, {"step": 0}
    none = {name: torch.zeros_like(value) for name, value in params.items()}
    params, state = rule(params, none, torch.zeros(1), state)
    torch.testing.assert_close(params["a"], torch.tensor([[0.35, 0.0]]))
    for _ in range(3):
        params, state = rule(params, none, torch.zeros(1), state)
    assert params["a"].tolist() == [[0.0, 0.0]]
    assert params["b"].tolist() == [0.0]


def test_bad_bounds_are_refused():
    with pytest.raises(HfmetaError, match="inner_clip must be a positive norm, not 0"):
        Clip(Sgd(THETA, 1.0), 0)
    with pytest.raises(HfmetaError, match="L1 threshold must be zero or more, not -1"):
        Shrink(Sgd(THETA, 1.0), -1)


def test_named_tensors_step_by_a_rule_of_their_own():
    params = {"a": torch.zeros(1, 2), "b": torch.zeros(1)}
    grads = {"a": torch.full((1, 2), 2.0), "b": torch.full((1,), 2.0)}
    for names, expected in ((["b"], {"a": -2.0, "b": -0.1}), (["a", "b"], {"a": -0.1, "b": -0.1})):
        rule = Apart(Sgd(THETA, 1.0), Adam(0.1), names)
        moved, _ = rule(params, grads, torch.zeros(1), rule.start(params))
        assert list(moved) == ["a", "b"]
        for name, value in expected.items():
            torch.testing.assert_close(moved[name], torch.full_like(params[name], value))


def test_a_task_that_waits_keeps_its_values_and_its_moments():
    params = {"a": torch.zeros(2, 2)}
    rule = Waiting(Adam(0.1), [torch.tensor([True, False]), None])
    state = rule.start(params)
    moved, state = rule(params, {"a": torch.full((2, 2), 5.0)}, torch.zeros(2), state)
    assert (moved["a"][1] == 0).all()
    assert state["inner"]["steps"].tolist() == [1, 0]
    moved, _ = rule(moved, {"a": torch.ones(2, 2)}, torch.zeros(2), state)
    torch.testing.assert_close(moved["a"][1], torch.full((2,), -0.1))
