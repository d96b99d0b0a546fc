"""All tasks in one call: `torch.func.vmap` over the forward pass only, ordinary autograd outside.

The order matters: an outer gradient over `vmap(grad)` is silently wrong through torch's native batch, layer and instance norm;
a vmapped forward differentiated by plain autograd is right (held to 1e-12 in double by the tests).
"""

from __future__ import annotations

from torch import Tensor, nn
from torch.func import functional_call, vmap

from hfmeta.inner.attention import additive_mask, twice_differentiable
from hfmeta.inner.evaluators.looped import BoundLoop, loss_and_logits
from hfmeta.inner.types import Batch, Evaluation, Params, per_task


class Vectorised:
    """Tasks side by side under vmap.

    Args:
        model: returns a loss when given `labels`.
        shared: the trainable tensors that do not adapt.
        causal: whether the padding mask belongs to a causal attention.
        most_rows: sets of more rows a task go task by task, where that is faster; None: none do.
    """

    name = "vectorised"

    def __init__(self, model: nn.Module, shared: list[Tensor], causal: bool = False, most_rows: int | None = None):
        self.model, self.shared, self.causal, self.most_rows = model, shared, causal, most_rows

    def bind(self, batch: Batch) -> BoundVmap | BoundLoop:
        """Make the padding mask one that vmap can carry, once for all inner steps."""
        if self.most_rows is not None and batch["labels"].shape[1] > self.most_rows:
            return BoundLoop(self.model, self.shared, per_task(batch))
        inputs = dict(batch)
        if "attention_mask" in inputs:
            dtype = next(self.model.parameters()).dtype
            inputs["attention_mask"] = additive_mask(inputs["attention_mask"], self.causal, dtype)
        return BoundVmap(self.model, self.shared, inputs)


class BoundVmap:
    """`Vectorised` on one batch."""

    def __init__(self, model: nn.Module, shared: list[Tensor], inputs: dict[str, Tensor]):
        self.model, self.shared, self.inputs = model, shared, inputs

    def __call__(self, params: Params) -> Evaluation:
        """Losses `[T]` and logits `[T, rows, ...]`."""

        def one(own: Params, inputs: dict[str, Tensor]) -> tuple[Tensor, ...]:
            loss, logits = loss_and_logits(functional_call(self.model, own, args=(), kwargs=inputs))
            return (loss,) if logits is None else (loss, logits)

        # The fused attention of the CPU has no batching rule either: vmap would warn and go task by task.
        with twice_differentiable(next(iter(params.values())).device.type == "cpu"):
            results = vmap(one, randomness="different")(params, self.inputs)
        return Evaluation(results[0], results[1] if len(results) > 1 else None)
