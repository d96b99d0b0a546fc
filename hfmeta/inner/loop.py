"""The inner loop, written once, over stacked parameters: where gradients of gradients happen, and nowhere else.

    phi_0 = start;  phi_{k+1} = rule(phi_k, grad of the support losses at phi_k)       (Finn et al. 2017, equation 1)

The loop knows neither the model nor the data (they hide in `losses_of`), nor how a step is differentiated (`GradientMode`).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from hfmeta.inner.errors import HfmetaError
from hfmeta.inner.gradients import GradientMode, recomputed_step, take_step
from hfmeta.inner.types import LossesOf, Params, Rule


def inner_loop(
    losses_of: LossesOf,
    start: Params,
    rule: Rule,
    *,
    steps: int,
    mode: GradientMode,
    shared: Sequence[Tensor] = (),
) -> Iterator[Params]:
    """Yield the values before the first step and after every step: `steps + 1` stacks.

    Args:
        losses_of: `(params, k) -> losses [T]`; mean support loss of each task at inner step k.
        start: where each task begins, `[T, ...]` each.
        rule: how a gradient changes the values.
        steps: K, zero or more.
        mode: exact, first order, or untracked.
        shared: further tensors that `losses_of` depends on and that the outer loop trains; needed by recomputation, which
            must know every input of a step.

    Raises:
        HfmetaError: `steps` is negative, or a tensor is sharded over devices.
        NonFiniteLossError, UnusedParameterError: see `take_step`.
    """
    if steps < 0:
        raise HfmetaError(f"inner_steps must be zero or more, not {steps}.")
    refuse_sharded(start)
    params = start if mode.track else {name: p.detach() for name, p in start.items()}
    yield params
    state = rule.start(params)
    wanted = [*shared, *rule.parameters()]
    for step in range(steps):
        if mode.exact and mode.backward == "recompute":
            params, state = recomputed_step(losses_of, rule, params, state, step, wanted)
        elif mode.track:
            params, state = take_step(losses_of, rule, params, state, step, exact=mode.exact)
        else:
            with torch.no_grad():
                params, state = take_step(losses_of, rule, params, state, step, exact=False)
        yield params


def refuse_sharded(params: Params) -> None:
    """Raise when an adapted tensor is a DTensor: a functional call cannot replace one shard by a task's own values."""
    sharded = [
        name for name, value in params.items() if hasattr(value, "placements") or hasattr(value, "_local_tensor")
    ]
    if sharded:
        raise HfmetaError(
            f"adapted tensors are sharded over devices (FSDP, tensor parallel or ZeRO-3): {', '.join(sharded[:3])}. "
            "Adapted tensors must be whole on every device: use plain data parallelism (DDP), or shard only the frozen base "
            "and adapt a LoRA."
        )
