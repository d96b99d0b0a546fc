"""The loop itself: what it yields, and what it refuses."""

from __future__ import annotations

import pytest
import torch

from hfmeta.inner import GradientMode, HfmetaError, NonFiniteLossError, UnusedParameterError, inner_loop
from hfmeta.inner.rules import Sgd

START = {"w": torch.tensor([[1.0], [2.0]], requires_grad=True)}
RULE = Sgd({"w": torch.zeros(1)}, 0.25)


def squares(params, step):
    return params["w"].square().sum(1)


@pytest.mark.parametrize("track", [True, False])
@pytest.mark.parametrize("order", [1, 2])
@pytest.mark.parametrize("backward", ["full", "recompute"])
def test_it_yields_the_start_and_every_step(order, backward, track):
    values = list(inner_loop(squares, START, RULE, steps=2, mode=GradientMode(order, backward, track)))
    assert [value["w"].flatten().tolist() for value in values] == [[1.0, 2.0], [0.5, 1.0], [0.25, 0.5]]
    assert values[-1]["w"].requires_grad is track


def test_on_a_linear_loss_both_orders_agree():
    grads = []
    for order in (1, 2):
        start = {"w": torch.tensor([[1.0]], requires_grad=True)}
        mode = GradientMode(order)
        *_, last = inner_loop(lambda p, _: 3 * p["w"].sum(1), start, RULE, steps=3, mode=mode)
        grads.append(torch.autograd.grad(last["w"].square().sum(), start["w"])[0])
    assert torch.equal(*grads)


def test_refusals():
    mode = GradientMode()
    with pytest.raises(HfmetaError, match="inner_steps must be zero or more, not -1"):
        list(inner_loop(squares, START, RULE, steps=-1, mode=mode))
    sharded = {"w": START["w"].detach().clone()}
    sharded["w"].placements = ("Shard(0)",)
    with pytest.raises(HfmetaError, match="sharded over devices.*: w. Adapted tensors must be whole"):
        list(inner_loop(squares, sharded, RULE, steps=1, mode=mode))
    both = {"w": START["w"], "idle": torch.ones(2, 1)}
    with pytest.raises(UnusedParameterError, match="1 adapted tensor.s.: idle"):
        list(inner_loop(squares, both, RULE, steps=1, mode=mode))
    with pytest.raises(NonFiniteLossError) as caught:
        list(inner_loop(lambda p, _: squares(p, 0) / torch.tensor([1.0, 0.0]), START, RULE, steps=1, mode=mode))
    assert (caught.value.rows, caught.value.step) == ([1], 0)
