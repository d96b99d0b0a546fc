"""Only a linear head adapts: the body runs once, its features serve every inner step of every task.

The gradient stays exact with a body that the outer loop trains: features keep their graph, and an inner gradient on the head is
differentiated through them. The body is differentiated once only, so its attention keeps the fast kernel.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from hfmeta.inner.errors import HfmetaError
from hfmeta.inner.evaluators.lengths import passes_of_like_length, rows_trimmed
from hfmeta.inner.losses import task_losses
from hfmeta.inner.types import Batch, Evaluation, Params


@contextmanager
def captured_input(layer: nn.Module) -> Iterator[list[Tensor]]:
    """Collect what goes into a layer while the context is open."""
    seen: list[Tensor] = []

    def hook(_: nn.Module, inputs: tuple[Any, ...]) -> None:
        seen.append(inputs[0])

    handle = layer.register_forward_pre_hook(hook)
    try:
        yield seen
    finally:
        handle.remove()


def head_features(model: nn.Module, head: nn.Module, batch: Batch) -> Tensor:
    """What the model feeds its head, for the rows of all tasks in one pass: `[T, rows, d]`.

    Raises:
        HfmetaError: the head is not called exactly once, or not on one vector per row.
    """
    labels = batch["labels"]
    inputs = {name: value.flatten(0, 1) for name, value in batch.items() if name != "labels"}
    distinct, where = _distinct(inputs)
    passes = passes_of_like_length(distinct)
    if passes is None:
        features = _features(model, head, distinct)
    else:
        found = [_features(model, head, rows_trimmed(distinct, rows)) for rows in passes]
        features = torch.cat(found)[torch.argsort(torch.cat(passes))]
    return (features if where is None else features[where]).unflatten(0, labels.shape[:2])


def _features(model: nn.Module, head: nn.Module, inputs: dict[str, Tensor]) -> Tensor:
    count = next(iter(inputs.values())).shape[0]
    with captured_input(head) as seen:
        model(**inputs)
    if len(seen) != 1 or seen[0].dim() != 2 or seen[0].shape[0] != count:
        shapes = [list(value.shape) for value in seen]
        raise HfmetaError(
            f"the head was given inputs of shape {shapes} for {count} rows; features need one vector a row. "
            'Use head="shared" or "zero" with this model, and another evaluator.'
        )
    return seen[0]


def _distinct(inputs: dict[str, Tensor]) -> tuple[dict[str, Tensor], Tensor | None]:
    """In evaluation, rows of tokens that occur more than once (in many tasks, say) pass through the body once.

    Returns:
        the distinct rows, and for every row which of them it is (None: all rows as they were).
    """
    shapes = {tuple(value.shape) for value in inputs.values()}
    if (
        torch.is_grad_enabled()
        or len(shapes) > 1
        or any(v.dim() != 2 or v.is_floating_point() for v in inputs.values())
    ):
        return inputs, None
    together = torch.cat([value.long() for value in inputs.values()], 1)
    rows, where = torch.unique(together, dim=0, return_inverse=True)
    if len(rows) == len(together):
        return inputs, None
    columns = rows.split(next(iter(inputs.values())).shape[1], 1)
    return {name: column.to(inputs[name].dtype) for name, column in zip(inputs, columns, strict=True)}, where


class Head:
    """A linear head on features that are computed once.

    Args:
        model: the whole model.
        head: its last linear layer, whose output is the model's logits.
        weight, bias: the names of the head's tensors (bias may be absent).
        shared: the head's own tensors that the outer loop trains and that do not adapt.
        kind: which per-task loss, see `task_losses`.
    """

    name = "batched"

    def __init__(
        self, model: nn.Module, head: nn.Linear, weight: str, bias: str | None, shared: list[Tensor], kind: str
    ):
        self.model, self.head, self.weight, self.bias, self.shared, self.kind = model, head, weight, bias, shared, kind

    def bind(self, batch: Batch) -> BoundHead:
        """Run the body once for the rows of all tasks."""
        return BoundHead(self, head_features(self.model, self.head, batch), batch["labels"])


class BoundHead:
    """`Head` on one batch; `features` is `[T, rows, d]`."""

    def __init__(self, evaluator: Head, features: Tensor, labels: Tensor):
        self.evaluator, self.features, self.labels = evaluator, features, labels
        self.shared = [features, *evaluator.shared]

    def __call__(self, params: Params) -> Evaluation:
        """Losses `[T]` and logits `[T, rows, C]`."""
        evaluator, tasks = self.evaluator, self.features.shape[0]
        weight = params.get(evaluator.weight)
        if weight is None:
            weight = evaluator.head.weight.expand(tasks, *evaluator.head.weight.shape)
        logits = torch.bmm(self.features, weight.transpose(1, 2).to(self.features.dtype))
        bias = params.get(evaluator.bias) if evaluator.bias is not None else None
        if bias is None and evaluator.head.bias is not None:
            bias = evaluator.head.bias.expand(tasks, -1)
        if bias is not None:
            logits = logits + bias.unsqueeze(1)
        return Evaluation(task_losses(evaluator.kind, logits, self.labels), logits)
