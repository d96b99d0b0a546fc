"""Reference gradients: central differences, and an unroll of the inner loop in plain torch that shares no code with hfmeta."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.func import functional_call
from torch.nn.attention import SDPBackend, sdpa_kernel

from hfmeta.learner import MetaLearner

Gradients = dict[str, Tensor]


def outer_gradient(learner: MetaLearner, batch: dict[str, Any]) -> tuple[Tensor, Gradients]:
    """The outer loss and its gradient by every trainable tensor of the learner (zeros where it is not reached)."""
    named = {name: value for name, value in learner.named_parameters() if value.requires_grad}
    loss = learner.train()(**batch)["loss"]
    grads = torch.autograd.grad(loss, list(named.values()), allow_unused=True)
    return loss.detach(), {
        name: torch.zeros_like(value) if grad is None else grad
        for (name, value), grad in zip(named.items(), grads, strict=True)
    }


def random_direction(learner: MetaLearner, seed: int = 1) -> Gradients:
    """A random direction in all trainable tensors."""
    dice = torch.Generator().manual_seed(seed)
    return {
        name: torch.randn(value.shape, generator=dice, dtype=value.dtype)
        for name, value in learner.named_parameters()
        if value.requires_grad
    }


def central_difference(learner: MetaLearner, batch: dict[str, Any], direction: Gradients, step: float) -> float:
    """The slope of the outer loss along a direction."""
    named = dict(learner.named_parameters())
    start = {name: named[name].detach().clone() for name in direction}
    losses = []
    for sign in (1, -1, 0):
        with torch.no_grad():
            for name, along in direction.items():
                named[name].copy_(start[name] + sign * step * along)
            if sign:
                losses.append(learner.train()(**batch)["loss"].item())
    return (losses[0] - losses[1]) / (2 * step)


def unroll(
    model: Any, adapted: list[str], batch: dict[str, Any], steps: int, lr: float, order: int = 2
) -> tuple[Tensor, Gradients]:
    """The outer loss and its gradient, task by task, step by step."""
    named = {name: value for name, value in model.named_parameters() if value.requires_grad}
    losses = []
    with sdpa_kernel([SDPBackend.MATH]):
        for t in range(len(batch["task"])):
            support, query = ({name: rows[t] for name, rows in batch[part].items()} for part in ("support", "query"))
            phi = {name: named[name] for name in adapted}
            for _ in range(steps):
                loss = functional_call(model, phi, args=(), kwargs=support).loss
                grads = torch.autograd.grad(loss, list(phi.values()), create_graph=order == 2)
                phi = {name: value - lr * grad for (name, value), grad in zip(phi.items(), grads, strict=True)}
            losses.append(functional_call(model, phi, args=(), kwargs=query).loss)
        mean = torch.stack(losses).mean()
        found = torch.autograd.grad(mean, list(named.values()), allow_unused=True)
    return mean.detach(), {
        name: torch.zeros_like(value) if grad is None else grad
        for (name, value), grad in zip(named.items(), found, strict=True)
    }


def relative_gap(one: Gradients, other: Gradients) -> float:
    """The norm of the difference over the norm of `other`, over all tensors that `other` names."""
    gap = sum((one[name] - value).square().sum().item() for name, value in other.items())
    return (gap / sum(value.square().sum().item() for value in other.values())) ** 0.5


def of_model(grads: Gradients) -> Gradients:
    """Gradients of the learner by the model's own names, without those of rule and init."""
    return {name.removeprefix("model."): value for name, value in grads.items() if name.startswith("model.")}
