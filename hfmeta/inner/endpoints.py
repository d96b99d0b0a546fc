"""Outer gradients that need where the inner loop ended, not how it got there: implicit (iMAML) and difference (Reptile).

Both take values that were found without a graph, by any rule and in any number of steps, and give them (or the losses at them) a
backward pass of their own. Memory does not grow with the number of inner steps.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from hfmeta.inner.attention import twice_differentiable
from hfmeta.inner.gradients import Conditions, check_finite, gradients
from hfmeta.inner.modes import Implicit
from hfmeta.inner.types import Evaluation, LossesOf, Params

Values = list[Tensor]

LONGEST = 4.0
"""Length of a solution, relative to its right-hand side, past which a task goes no further: for convex losses it is at most one."""


def implicit_solution(
    losses_of: LossesOf, start: Params, end: Params, steps: int, options: Implicit, shared: Sequence[Tensor]
) -> Params:
    """The end of an inner loop, differentiable as the solution of the regularised problem.

        phi = argmin L(phi) + lam / 2 |phi - theta|^2,   A = I + H / lam,   H the Hessian of L at phi
        d phi / d theta = A^-1,   d phi / d s = -A^-1 (d grad L / d s) / lam   for any other tensor s that L depends on

    (Rajeswaran et al. 2019, equation 6; the second line by the same implicit differentiation.) The backward pass solves A x = v for
    each task by conjugate gradients on exact Hessian-vector products, all tasks at once.

    Args:
        losses_of: support losses `[T]`, without the regulariser.
        start: theta, `[T, ...]` each.
        end: phi, `[T, ...]` each, without a graph.
        steps: how many inner steps led there.
        options: lam, steps and damping.
        shared: every further tensor that `losses_of` depends on.

    Returns:
        phi, with gradients for `start` and `shared`. The better phi solves the problem, the closer they are to the exact ones.

    Raises:
        NonFiniteLossError: the support loss at the end is not finite.
    """
    with torch.no_grad():
        check_finite(losses_of(end, steps), steps)
    names, wanted = list(end), [tensor for tensor in shared if tensor.requires_grad]
    problem = _Problem(losses_of, names, steps, options, wanted)
    found = _Solution.apply(problem, *end.values(), *(start[name] for name in names), *wanted)
    return dict(zip(names, found, strict=True))


class _Problem:
    """The inner problem of one pass: what its backward needs to build the gradient of the losses once more."""

    def __init__(self, losses_of: LossesOf, names: list[str], steps: int, options: Implicit, shared: Values):
        self.losses_of, self.names, self.steps, self.options, self.shared = losses_of, names, steps, options, shared
        self.conditions = Conditions()

    def solve(self, end: Sequence[Tensor], wanted: Values) -> tuple[Values, Sequence[Tensor | None]]:
        """x with A x = `wanted`, and the gradient by the shared tensors; `[T, ...]` each."""
        options = self.options
        with torch.enable_grad(), self.conditions.restore(), twice_differentiable(True):
            probe = {name: value.detach().requires_grad_() for name, value in zip(self.names, end, strict=True)}
            slopes = list(gradients(self.losses_of(probe, self.steps), probe, create_graph=True).values())
            values = list(probe.values())

            def operator(direction: Values) -> Values:
                curved = _products(slopes, values, direction)
                return [
                    (1 + options.damping) * d + (0.0 if c is None else c / options.lam)
                    for d, c in zip(direction, curved, strict=True)
                ]

            found = conjugate_gradient(operator, wanted, options.cg_steps)
            if not self.shared:
                return found, []
            along = [value / -options.lam for value in found]
            return found, _products(slopes, self.shared, along)


def _products(slopes: Values, by: Values, direction: Values) -> Sequence[Tensor | None]:
    """Derivative, by some tensors, of the inner product of the gradient with a direction; None where there is none."""
    pairs = [(s, d) for s, d in zip(slopes, direction, strict=True) if s.requires_grad]
    if not pairs:  # a loss that is linear in what adapts
        return [None] * len(by)
    return torch.autograd.grad([s for s, _ in pairs], by, [d for _, d in pairs], retain_graph=True, allow_unused=True)


class _Solution(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, problem: _Problem, *tensors: Tensor) -> tuple[Tensor, ...]:
        end = tensors[: len(problem.names)]
        ctx.problem = problem
        ctx.save_for_backward(*end)
        return tuple(value.clone() for value in end)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grad_outputs: Tensor) -> tuple[Tensor | None, ...]:
        problem: _Problem = ctx.problem
        found, by_shared = problem.solve(ctx.saved_tensors, list(grad_outputs))
        return None, *[None] * len(found), *found, *by_shared


def conjugate_gradient(operator: Callable[[Values], Values], wanted: Values, steps: int) -> Values:
    """Solve A x = `wanted` for every task of a stack at once (Hestenes and Stiefel 1952).

    A task whose residual has vanished keeps the x that it has. So does one along whose direction A is not positive, or whose x would
    become `LONGEST` times as long as what it solves for (Steihaug 1983): where phi does not solve its problem well, I + H / lam may be
    indefinite, and x would grow without bound.

    Args:
        operator: A, symmetric, on stacks `[T, ...]`; it must not mix tasks.
        wanted: the right-hand side, `[T, ...]` each.
        steps: at most so many applications of A.

    Returns:
        x, `[T, ...]` each.
    """
    x = [torch.zeros_like(value) for value in wanted]
    residual, direction = list(wanted), list(wanted)
    size = first = _inner(residual, residual)
    for _ in range(steps):
        applied = operator(direction)
        curvature = _inner(direction, applied)
        going = (curvature > 0) & (size > first * torch.finfo(size.dtype).eps ** 2)
        pace = torch.where(going, size / torch.where(going, curvature, 1.0), 0.0)
        further = [a + _scaled(pace, d) for a, d in zip(x, direction, strict=True)]
        going &= _inner(further, further) <= first * LONGEST**2
        if not bool(going.any()):
            break
        pace = torch.where(going, pace, 0.0)
        x = [torch.where(_wide(going, new), new, old) for new, old in zip(further, x, strict=True)]
        residual = [r - _scaled(pace, a) for r, a in zip(residual, applied, strict=True)]
        before, size = size, _inner(residual, residual)
        turn = torch.where(going, size / torch.where(going, before, 1.0), 0.0)
        # The direction of a task that has stopped is zero, so that it stays where it is.
        direction = [
            torch.where(_wide(going, r), r + _scaled(turn, d), 0.0) for r, d in zip(residual, direction, strict=True)
        ]
    return x


def _wide(tasks: Tensor, like: Tensor) -> Tensor:
    """`[T]` with as many dimensions as another tensor."""
    return tasks.view(-1, *[1] * (like.dim() - 1))


def _inner(a: Values, b: Values) -> Tensor:
    """The inner product of each task, `[T]`."""
    products = [(one * other).reshape(one.shape[0], -1).sum(1) for one, other in zip(a, b, strict=True)]
    return torch.stack(products).sum(0)


def _scaled(factor: Tensor, value: Tensor) -> Tensor:
    return _wide(factor, value).to(value.dtype) * value


def difference_of(losses_at: Callable[[Params], Evaluation], start: Params) -> Callable[[Params], Evaluation]:
    """Losses at the end of the inner loop whose gradient by the start is the start minus the end (Reptile).

    A gradient step of rate eps on their mean over tasks is theta + eps * mean(phi - theta) (Nichol, Achiam, Schulman 2018,
    algorithm 2). The losses are reported as they are and give no gradient.

    Args:
        losses_at: a bound evaluator.
        start: theta, `[T, ...]` each.
    """

    def evaluate(params: Params) -> Evaluation:
        with torch.no_grad():
            found = losses_at(params)
        ends = (params[name].detach() for name in start)
        return found._replace(losses=_Towards.apply(found.losses, len(start), *start.values(), *ends))

    return evaluate


class _Towards(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, losses: Tensor, count: int, *tensors: Tensor) -> Tensor:
        ctx.save_for_backward(*(a - b for a, b in zip(tensors[:count], tensors[count:], strict=True)))
        return losses.clone()

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        found = [_scaled(grad, gap) for gap in ctx.saved_tensors]
        return None, None, *found, *[None] * len(found)
