"""What a support row is to an init that reads whole rows: its shape, from the model's configuration, and its pooled features."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from hfmeta.algorithms import RowShape
from hfmeta.inner.errors import HfmetaError
from hfmeta.inner.evaluators import captured_input, head_features
from hfmeta.inner.types import Batch
from hfmeta.learner.moving import KINDS, Moving
from hfmeta.models import mixes_rows


def row_shape(model: Any, moving: Moving, task_type: str | None) -> RowShape:
    """What the model's configuration tells of a support row.

    Args:
        model: any model.
        moving: says where its head is.
        task_type: of the model, where known.
    """
    kind, config = KINDS.get(task_type or ""), getattr(model, "config", None)
    layer = _reader(model, moving)
    channels, side = (getattr(config, name, None) for name in ("num_channels", "image_size"))
    image = (channels, side) if isinstance(channels, int) and isinstance(side, int) else None
    labels = None
    if moving.head is not None:
        labels = model.get_submodule(moving.head.module).weight.shape[0]
    return RowShape(
        kind=kind,
        name=getattr(model, "main_input_name", ""),
        size=getattr(config, "input_size", None) if kind == "regression" else None,
        image=image if kind == "classification" else None,
        labels=labels,
        features=layer.weight.shape[1] if isinstance(layer, nn.Linear) else None,
    )


def support_features(model: Any, moving: Moving, batch: Batch) -> Tensor:
    """One vector a row, `[T, S, d]`, from the learned start: the inputs of the head; of a language model the mean of what its output
    layer reads, over the tokens that count in its loss.

    Raises:
        HfmetaError: a model with neither.
    """
    layer = _reader(model, moving)
    if layer is None:
        raise HfmetaError(
            f"{type(model).__name__} has neither a linear head nor an output layer to take features from."
        )
    if moving.head is None:
        return _token_features(model, layer, batch)
    if not mixes_rows(model):
        return head_features(model, layer, batch)
    tasks = [{name: value[t : t + 1] for name, value in batch.items()} for t in range(batch["labels"].shape[0])]
    return torch.cat([head_features(model, layer, one) for one in tasks])


def _reader(model: Any, moving: Moving) -> nn.Module | None:
    """The layer whose inputs are the features."""
    if moving.head is not None:
        return model.get_submodule(moving.head.module)
    found = getattr(model, "get_output_embeddings", lambda: None)()
    return found if isinstance(found, nn.Module) else None


def _token_features(model: Any, layer: nn.Module, batch: Batch) -> Tensor:
    labels = batch["labels"]
    with captured_input(layer) as seen:
        model(**{name: value.flatten(0, 1) for name, value in batch.items()})
    if len(seen) != 1 or seen[0].dim() != 3 or seen[0].shape[:2] != labels.flatten(0, 1).shape:
        raise HfmetaError(
            f"the output layer of {type(model).__name__} was given inputs of shape {[list(value.shape) for value in seen]} for labels "
            f"{list(labels.shape)}; features need one vector a token."
        )
    counts = (labels != -100).unsqueeze(-1)
    hidden = seen[0].unflatten(0, labels.shape[:2])
    return (hidden * counts).sum(2) / counts.sum(2).clamp_min(1)
