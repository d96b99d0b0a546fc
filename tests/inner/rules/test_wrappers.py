"""Clip bounds each task's own norm; Shrink reaches zero exactly."""

from __future__ import annotations

import pytest
import torch

from hfmeta.inner import HfmetaError
from hfmeta.inner.rules import Clip, Sgd, Shrink

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
