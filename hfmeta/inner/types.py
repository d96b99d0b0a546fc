"""The few types that every file of the inner loop speaks. A leading `T` (tasks) stands on every tensor of a stack."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, Protocol

import torch
from torch import Tensor

Params = dict[str, Tensor]
"""Adapted tensors by the model's own names, each stacked over tasks: `[T, ...]`."""

Batch = Mapping[str, Tensor]
"""Model inputs and `labels` of one set (support or query) of T tasks: `[T, rows, ...]`."""


class Evaluation(NamedTuple):
    """Losses `[T]` (mean over rows or tokens, nats or squared units) and, where the model gives them, logits `[T, rows, ...]`."""

    losses: Tensor
    logits: Tensor | None


class Start(NamedTuple):
    """Where each task begins, `[T, ...]` by name, and `aux` `[T]`: a further outer loss in training, already weighted (None: none)."""

    params: Params
    aux: Tensor | None = None


class Bound(Protocol):
    """An evaluator bound to one batch: parameters in, losses out; may be called once for every inner step.

    `shared` lists every tensor that the losses depend on besides the parameters: recomputation differentiates with respect
    to these too.
    """

    shared: list[Tensor]

    def __call__(self, params: Params) -> Evaluation:
        """Losses `[T]` of the batch's tasks, each with its own parameters, `[T, ...]` by name."""
        ...


class Evaluator(Protocol):
    """How the losses of a stack of tasks are computed; all evaluators give the same numbers."""

    name: str

    def bind(self, batch: Batch) -> Bound:
        """Fix the rows, `[T, S, ...]` or `[T, Q, ...]` by name, whose losses are wanted."""
        ...


class Rule(Protocol):
    """How a gradient changes the values. State is any nest of dicts, lists, tensors and plain numbers."""

    def start(self, params: Params) -> Any:
        """The state before the first step; None for a rule without one."""
        ...

    def __call__(self, params: Params, grads: Params, losses: Tensor, state: Any) -> tuple[Params, Any]:
        """One step.

        Args:
            params: values before it, `[T, ...]` by name.
            grads: gradient of each task's own support loss, of the same shapes.
            losses: support losses, `[T]`.
            state: what `start` or the step before returned.

        Returns:
            the values and the state after it.
        """
        ...

    def parameters(self) -> Any:
        """Tensors of the rule that the outer loop learns, such as rates."""
        ...


LossesOf = Callable[[Params, int], Tensor]
"""Support losses `[T]` of a stack of parameters at inner step k."""


def stack_expanded(tensors: Mapping[str, Tensor], tasks: int) -> Params:
    """Give every tensor a leading task dimension `[T, ...]` without copying it."""
    return {name: value.unsqueeze(0).expand(tasks, *value.shape) for name, value in tensors.items()}


def per_task(values: Mapping[str, Tensor]) -> list[dict[str, Tensor]]:
    """Split stacks `[T, ...]` into T dictionaries; one unbind per tensor, whose backward writes each gradient once."""
    columns = {name: torch.unbind(value, 0) for name, value in values.items()}
    tasks = len(next(iter(columns.values())))
    return [{name: column[t] for name, column in columns.items()} for t in range(tasks)]
