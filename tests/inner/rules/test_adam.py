"""Adam as an inner rule: torch's own steps, task by task; differentiable where a gradient is zero; refusals."""

from __future__ import annotations

import pytest
import torch

from hfmeta.inner import HfmetaError
from hfmeta.inner.rules import Adam


@pytest.mark.parametrize("betas", [(0.9, 0.999), (0.0, 0.999)])
def test_tasks_step_as_torch_steps_each_of_them(betas):
    generator = torch.Generator().manual_seed(0)
    start = torch.randn(3, 4, dtype=torch.float64, generator=generator)
    grads = [torch.randn(3, 4, dtype=torch.float64, generator=generator) for _ in range(5)]
    rule = Adam(0.01, betas)
    params, state = {"w": start}, rule.start({"w": start})
    for grad in grads:
        params, state = rule(params, {"w": grad}, torch.zeros(3), state)
    for task in range(3):
        own = start[task].clone().requires_grad_()
        optimizer = torch.optim.Adam([own], lr=0.01, betas=betas)
        for grad in grads:
            own.grad = grad[task].clone()
            optimizer.step()
        torch.testing.assert_close(params["w"][task], own.detach(), rtol=1e-12, atol=1e-12)


def test_a_gradient_of_zero_has_a_finite_derivative():
    grad = torch.tensor([[0.0, 1.0]], requires_grad=True)
    rule, value = Adam(0.1), torch.ones(1, 2)
    moved, _ = rule({"w": value}, {"w": grad}, torch.zeros(1), rule.start({"w": value}))
    moved["w"].sum().backward()
    assert moved["w"][0, 0] == 1
    assert torch.isfinite(grad.grad).all()


def test_impossible_options_are_refused():
    with pytest.raises(HfmetaError, match="rate of Adam must be a positive number, not 0"):
        Adam(0)
    with pytest.raises(HfmetaError, match="betas of Adam"):
        Adam(0.1, (0.9, 1.0))
