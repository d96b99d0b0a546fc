"""How an inner step is differentiated: exact or first order, with its graph kept or recomputed, or not at all.

Here: the step. Which of these a run takes: modes.py; gradients that need only the end of the loop: endpoints.py.

One step is one function, `take_step`; the modes differ only in what is detached and in who keeps the graph. First order (Finn et
al. 2017, section 5.2) detaches the inner gradient and keeps the identity path from the start to the end, so that learned rates and
the start itself still receive their gradients.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.utils import _pytree as pytree

from hfmeta.inner.attention import twice_differentiable
from hfmeta.inner.errors import NonFiniteLossError, UnusedParameterError
from hfmeta.inner.types import LossesOf, Params, Rule


def take_step(
    losses_of: LossesOf, rule: Rule, params: Params, state: Any, step: int, exact: bool
) -> tuple[Params, Any]:
    """One inner step: losses, their gradient, the rule.

    Args:
        losses_of: support losses `[T]` of stacked parameters.
        params: `[T, ...]` each.
        step: index from 0.
        exact: keep the graph of the gradient itself.

    Raises:
        NonFiniteLossError: a loss is infinite or NaN.
        UnusedParameterError: an adapted tensor does not influence the losses.
    """
    if exact:
        probe = {name: p if p.requires_grad else p.detach().requires_grad_() for name, p in params.items()}
        params = probe
    else:
        probe = {name: p.detach().requires_grad_() for name, p in params.items()}
    with torch.enable_grad(), twice_differentiable(exact):
        losses = losses_of(probe, step)
        check_finite(losses, step)
        grads = gradients(losses, probe, create_graph=exact)
    if not exact:
        losses = losses.detach()
    return rule(params, grads, losses, state)


def check_finite(losses: Tensor, step: int) -> None:
    """Raise `NonFiniteLossError` naming the batch positions whose loss `[T]` is not finite."""
    finite = torch.isfinite(losses.detach())
    if not bool(finite.all()):
        raise NonFiniteLossError((~finite).nonzero().flatten().tolist(), step)


def gradients(losses: Tensor, probe: Params, create_graph: bool) -> Params:
    """Each task's gradient of its own loss.

    Args:
        losses: `[T]`.
        probe: `[T, ...]` each.
        create_graph: whether it will itself be differentiated.

    Raises:
        UnusedParameterError: an adapted tensor does not influence the losses.
    """
    names, values = list(probe), list(probe.values())
    if not losses.requires_grad:
        raise UnusedParameterError(names)
    # Tasks do not touch each other, so the gradient of the sum holds, slice by slice, each task's own gradient.
    grads = torch.autograd.grad(losses.sum(), values, create_graph=create_graph, allow_unused=True)
    unused = [name for name, grad in zip(names, grads, strict=True) if grad is None]
    if unused:
        raise UnusedParameterError(unused)
    return {name: grad for name, grad in zip(names, grads, strict=True) if grad is not None}


def recomputed_step(
    losses_of: LossesOf, rule: Rule, params: Params, state: Any, step: int, shared: Sequence[Tensor]
) -> tuple[Params, Any]:
    """An exact inner step that keeps nothing but its inputs and runs again in the backward pass.

    Args:
        shared: every tensor, besides parameters and state, that the step depends on and that wants a gradient (the frozen-in
            model tensors that the outer loop trains, features, the rule's own parameters).
    """
    leaves, spec = pytree.tree_flatten((params, state))
    wanted = [tensor for tensor in shared if tensor.requires_grad]
    call = _StepCall(losses_of, rule, step, leaves, spec, wanted)
    tensors = [leaf for leaf in leaves if isinstance(leaf, Tensor)]
    outputs = _RecomputedStep.apply(call, *tensors, *wanted)
    return call.rebuild(outputs)


class _StepCall:
    """One step with its structure: rebuilds parameters and state from a flat list of tensors, then takes the step."""

    def __init__(self, losses_of: LossesOf, rule: Rule, step: int, leaves: list[Any], spec: Any, shared: list[Tensor]):
        self.losses_of, self.rule, self.step, self.spec, self.shared = losses_of, rule, step, spec, shared
        self.is_tensor = [isinstance(leaf, Tensor) for leaf in leaves]
        self.constants = [None if isinstance(leaf, Tensor) else leaf for leaf in leaves]
        self.wants = [leaf.requires_grad for leaf in leaves if isinstance(leaf, Tensor)]
        self.conditions = Conditions()
        self.out_spec: Any = None
        self.out_is_tensor: list[bool] = []
        self.out_constants: list[Any] = []

    def __call__(self, tensors: Sequence[Tensor], exact: bool) -> list[Tensor]:
        params, state = _rebuild(tensors, self.is_tensor, self.constants, self.spec)
        result = take_step(self.losses_of, self.rule, params, state, self.step, exact)
        out_leaves, self.out_spec = pytree.tree_flatten(result)
        self.out_is_tensor = [isinstance(leaf, Tensor) for leaf in out_leaves]
        self.out_constants = [None if isinstance(leaf, Tensor) else leaf for leaf in out_leaves]
        return [leaf for leaf in out_leaves if isinstance(leaf, Tensor)]

    def rebuild(self, outputs: Sequence[Tensor]) -> tuple[Params, Any]:
        return _rebuild(outputs, self.out_is_tensor, self.out_constants, self.out_spec)


def _rebuild(tensors: Sequence[Tensor], is_tensor: list[bool], constants: list[Any], spec: Any) -> tuple[Params, Any]:
    values = iter(tensors)
    leaves = [next(values) if tensor else constant for tensor, constant in zip(is_tensor, constants, strict=True)]
    params, state = pytree.tree_unflatten(leaves, spec)
    return params, state


class Conditions:
    """Random state and autocast at the time of the forward pass, so that what runs again later is the same function."""

    def __init__(self) -> None:
        self.cpu = torch.get_rng_state()
        self.device = (
            torch.cuda.get_rng_state_all() if torch.cuda.is_available() and torch.cuda.is_initialized() else None
        )
        self.autocast = [
            (kind, torch.get_autocast_dtype(kind)) for kind in ("cpu", "cuda") if torch.is_autocast_enabled(kind)
        ]

    def restore(self) -> ExitStack:
        """A context within which they are as they were."""
        stack = ExitStack()
        stack.enter_context(torch.random.fork_rng(enabled=True))
        torch.set_rng_state(self.cpu)
        if self.device is not None:
            torch.cuda.set_rng_state_all(self.device)
        for kind, dtype in self.autocast:
            # The cast of a weight made under one graph must not be reused in another.
            stack.enter_context(torch.autocast(kind, dtype=dtype, cache_enabled=False))
        return stack


class _RecomputedStep(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, call: _StepCall, *tensors: Tensor) -> tuple[Tensor, ...]:
        """Run the step, keeping its inputs alone."""
        own = tensors[: len(call.wants)]
        ctx.call = call
        ctx.save_for_backward(*own)
        outputs = call([tensor.detach() for tensor in own], exact=False)
        ctx.mark_non_differentiable(*(tensor for tensor in outputs if not tensor.is_floating_point()))
        return tuple(outputs)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grad_outputs: Tensor) -> tuple[Tensor | None, ...]:
        """Run it again with its graph, and differentiate that."""
        call = ctx.call
        own = [tensor.detach().requires_grad_(tensor.is_floating_point()) for tensor in ctx.saved_tensors]
        inputs = [tensor for tensor in own if tensor.requires_grad]
        with torch.enable_grad(), call.conditions.restore():
            outputs = call(own, exact=True)
        pairs = [(out, grad) for out, grad in zip(outputs, grad_outputs, strict=True) if out.requires_grad]
        grads = torch.autograd.grad(
            [out for out, _ in pairs], inputs + call.shared, [grad for _, grad in pairs], allow_unused=True
        )
        of_inputs = iter(grads[: len(inputs)])
        own_grads = [next(of_inputs) if tensor.requires_grad else None for tensor in own]
        kept = [grad if wanted else None for grad, wanted in zip(own_grads, call.wants, strict=True)]
        return None, *kept, *grads[len(inputs) :]
