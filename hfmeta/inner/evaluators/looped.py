"""One functional call per task: works for any model, and with one task a pass needs the least memory."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.func import functional_call

from hfmeta.inner.types import Batch, Evaluation, Params, per_task


def loss_and_logits(output: object) -> tuple[Tensor, Tensor | None]:
    """Read loss and logits from what a transformers model returns (a ModelOutput or a tuple)."""
    if isinstance(output, dict):
        return output["loss"], output.get("logits")
    if isinstance(output, tuple):
        return output[0], output[1] if len(output) > 1 else None
    loss: Tensor = output.loss  # type: ignore[attr-defined]
    return loss, getattr(output, "logits", None)


class Looped:
    """Tasks one after the other.

    Args:
        model: returns a loss when given `labels`.
        shared: the trainable tensors that do not adapt.
    """

    name = "looped"

    def __init__(self, model: nn.Module, shared: list[Tensor]):
        self.model, self.shared = model, shared

    def bind(self, batch: Batch) -> BoundLoop:
        """Split the batch into tasks once, for all inner steps."""
        return BoundLoop(self.model, self.shared, per_task(batch))


class BoundLoop:
    """`Looped` on one batch."""

    def __init__(self, model: nn.Module, shared: list[Tensor], tasks: list[dict[str, Tensor]]):
        self.model, self.shared, self.tasks = model, shared, tasks

    def __call__(self, params: Params) -> Evaluation:
        """Losses `[T]` and logits `[T, rows, ...]`."""
        results = [
            loss_and_logits(functional_call(self.model, own, args=(), kwargs=inputs))
            for own, inputs in zip(per_task(params), self.tasks, strict=True)
        ]
        logits = [result[1] for result in results if result[1] is not None]
        return Evaluation(torch.stack([loss for loss, _ in results]), torch.stack(logits) if logits else None)
