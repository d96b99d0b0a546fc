"""The inner loop, written once, over stacked parameters: where gradients of gradients happen, and nowhere else.

    phi_0 = start;  phi_{k+1} = rule(phi_k, grad of the support losses at phi_k)       (Finn et al. 2017, equation 1)

The loop knows neither the model nor the data (they hide in `losses_of`), nor how a step is differentiated (`GradientMode`).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from hfmeta.inner.endpoints import implicit_solution
from hfmeta.inner.errors import HfmetaError
from hfmeta.inner.gradients import recomputed_step, take_step
from hfmeta.inner.modes import GradientMode
from hfmeta.inner.rules.wrappers import Pulled
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
        mode: exact, first order, untracked, or one that needs the end alone: then the steps between start and end carry no graph,
            and neither does the end where the gradient is their difference (`endpoints.difference_of` makes it).
        shared: further tensors that `losses_of` depends on and that the outer loop trains; needed by recomputation, which
            must know every input of a step, and by the implicit gradient.

    Raises:
        HfmetaError: `steps` is negative, a tensor is sharded over devices, or what a rule learns would get no gradient.
        NonFiniteLossError, UnusedParameterError: see `take_step`.
    """
    if steps < 0:
        raise HfmetaError(f"inner_steps must be zero or more, not {steps}.")
    refuse_sharded(start)
    if mode.at_end:
        refuse_learned(rule)
    if mode.pull:
        rule = Pulled(rule, mode.pull, steps if mode.pull_last else None)
    kept = mode.track and not mode.at_end
    yield start if mode.track else _without_graph(start)
    params = start if kept else _without_graph(start)
    state = rule.start(params)
    wanted = [*shared, *rule.parameters()]
    for step in range(steps):
        if mode.exact and mode.backward == "recompute":
            params, state = recomputed_step(losses_of, rule, params, state, step, wanted)
        elif kept:
            params, state = take_step(losses_of, rule, params, state, step, exact=mode.exact)
        else:
            with torch.no_grad():
                params, state = take_step(losses_of, rule, params, state, step, exact=False)
        if mode.track and mode.implicit is not None and step == steps - 1:
            params = implicit_solution(losses_of, start, params, steps, mode.implicit, shared)
        yield params


def _without_graph(params: Params) -> Params:
    return {name: value.detach() for name, value in params.items()}


def refuse_learned(rule: Rule) -> None:
    """Raise when a rule learns something: a gradient that sees the end of the loop alone does not reach it."""
    count = sum(value.numel() for value in rule.parameters() if value.requires_grad)
    if count:
        raise HfmetaError(
            f"the rule learns {count} values (rates, say), which get no gradient where the outer gradient depends on the end of the "
            "inner loop alone (implicit MAML, Reptile). Use a rule with fixed rates, or MAML."
        )


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
