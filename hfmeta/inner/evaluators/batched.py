"""Rows of all tasks through the shared model in one batch, each row with its own task's values of the adapted layers.

Where only small layers adapt (a LoRA, a head, layer norms), the frozen base is the cost, and it is the same for every task: one
pass serves all. Each adapted layer multiplies the rows of a task by that task's weights in a batched product. The gradient of the
summed losses reaches, slice by slice, each task's own values; nothing here knows about PEFT, since the two matrices of a LoRA are
linear layers like any other.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from hfmeta.inner.errors import HfmetaError
from hfmeta.inner.losses import task_losses
from hfmeta.inner.types import Batch, Evaluation, Params


def owners(model: nn.Module, names: list[str]) -> dict[str, tuple[nn.Module, list[str]]]:
    """Group adapted tensors by the layer that owns them: module name to (module, [weight, bias])."""
    found: dict[str, tuple[nn.Module, list[str]]] = {}
    for name in names:
        owner, _, leaf = name.rpartition(".")
        found.setdefault(owner, (model.get_submodule(owner), []))[1].append(leaf)
    return found


def unsupported(model: nn.Module, names: list[str]) -> list[str]:
    """Adapted tensors whose layer this evaluator cannot give different values in different rows."""
    bad = []
    for owner, (module, leaves) in owners(model, names).items():
        if not isinstance(module, nn.Linear | nn.LayerNorm) or set(leaves) - {"weight", "bias"}:
            bad += [f"{owner}.{leaf} ({type(module).__name__})" for leaf in leaves]
    return bad


class Batched:
    """Rows of all tasks together through the shared part of the model.

    Args:
        model: its output must carry logits with one entry per row.
        names: the adapted tensors; their layers must be `nn.Linear` or `nn.LayerNorm`.
        shared: the trainable tensors that do not adapt.
        kind: which per-task loss, see `task_losses`.
        prepare: optional change of the flattened inputs before the call (seq2seq: labels to decoder inputs).

    Raises:
        HfmetaError: an adapted tensor belongs to another kind of layer.
    """

    name = "batched"

    def __init__(
        self,
        model: nn.Module,
        names: list[str],
        shared: list[Tensor],
        kind: str,
        prepare: Callable[[dict[str, Tensor]], dict[str, Tensor]] | None = None,
    ):
        bad = unsupported(model, names)
        if bad:
            raise HfmetaError(
                f"evaluator='batched' adapts linear layers and layer norms (a LoRA, a head); it cannot adapt {', '.join(bad[:3])}. "
                'Use evaluator="looped" or "vectorised", or adapt less.'
            )
        self.model, self.shared, self.kind, self.prepare = model, shared, kind, prepare
        self.owners = owners(model, names)

    def bind(self, batch: Batch) -> BoundRows:
        """Flatten `[T, rows, ...]` to `[T * rows, ...]`, once for all inner steps."""
        tasks = batch["labels"].shape[0]
        inputs = {name: value.flatten(0, 1) for name, value in batch.items() if name != "labels"}
        if self.prepare is not None:
            inputs = self.prepare({**inputs, "labels": batch["labels"].flatten(0, 1)})
        return BoundRows(self, inputs, batch["labels"], tasks)


class BoundRows:
    """`Batched` on one batch."""

    def __init__(self, evaluator: Batched, inputs: dict[str, Tensor], labels: Tensor, tasks: int):
        self.evaluator, self.inputs, self.labels, self.tasks = evaluator, inputs, labels, tasks
        self.shared = evaluator.shared

    def __call__(self, params: Params) -> Evaluation:
        """Losses `[T]` and logits `[T, rows, ...]`."""
        with own_values(self.evaluator.owners, params, self.tasks):
            output: Any = self.evaluator.model(**self.inputs)
        logits: Tensor = output["logits"] if isinstance(output, Mapping) else output[0]
        logits = logits.unflatten(0, (self.tasks, -1))
        return Evaluation(task_losses(self.evaluator.kind, logits, self.labels), logits)


@contextmanager
def own_values(layers: dict[str, tuple[nn.Module, list[str]]], params: Params, tasks: int) -> Iterator[None]:
    """Within this context the named layers use, in the rows of task t, slice t of the stacked values."""
    handles = [
        module.register_forward_hook(_replace_output(owner, leaves, params, tasks))
        for owner, (module, leaves) in layers.items()
    ]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def _replace_output(
    owner: str, leaves: list[str], params: Params, tasks: int
) -> Callable[[nn.Module, tuple[Any, ...], Any], Tensor]:
    own = {leaf: params[f"{owner}.{leaf}" if owner else leaf] for leaf in leaves}

    def hook(module: nn.Module, inputs: tuple[Any, ...], output: Any) -> Tensor:
        """The layer's output with each task's own values, in place of its output with common ones."""
        rows: Tensor = inputs[0]
        if rows.shape[0] % tasks:
            raise HfmetaError(
                f"layer {owner} was given {rows.shape[0]} rows for {tasks} tasks: its rows do not belong to tasks, so "
                'evaluator="batched" cannot adapt it. Use evaluator="looped".'
            )
        stacked = rows.reshape(tasks, -1, rows.shape[-1])
        values = {leaf: own[leaf] if leaf in own else _common(module, leaf, tasks) for leaf in ("weight", "bias")}
        result = _linear(stacked, values) if isinstance(module, nn.Linear) else _layer_norm(module, stacked, values)
        return result.reshape(*rows.shape[:-1], result.shape[-1])

    return hook


def _common(module: nn.Module, leaf: str, tasks: int) -> Tensor | None:
    value: Tensor | None = getattr(module, leaf)
    return None if value is None else value.unsqueeze(0).expand(tasks, *value.shape)


def _linear(rows: Tensor, values: dict[str, Tensor | None]) -> Tensor:
    weight, bias = values["weight"], values["bias"]
    assert weight is not None
    weight = weight.to(rows.dtype)
    if bias is None:
        return torch.bmm(rows, weight.transpose(1, 2))
    return torch.baddbmm(bias.to(rows.dtype).unsqueeze(1), rows, weight.transpose(1, 2))


def _layer_norm(module: nn.Module, rows: Tensor, values: dict[str, Tensor | None]) -> Tensor:
    assert isinstance(module, nn.LayerNorm)
    result = F.layer_norm(rows, module.normalized_shape, None, None, module.eps)
    if values["weight"] is not None:
        result = result * values["weight"].unsqueeze(1)
    return result if values["bias"] is None else result + values["bias"].unsqueeze(1)
