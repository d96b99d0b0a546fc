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

    def __call__(self, params: Params) -> Evaluation: ...


class Evaluator(Protocol):
    """How the losses of a stack of tasks are computed; all evaluators give the same numbers."""

    name: str

    def bind(self, batch: Batch) -> Bound: ...


class Rule(Protocol):
    """How a gradient changes the values. State is any nest of dicts, lists, tensors and plain numbers."""

    def start(self, params: Params) -> Any: ...

    def __call__(self, params: Params, grads: Params, losses: Tensor, state: Any) -> tuple[Params, Any]: ...

    def parameters(self) -> Any: ...


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
