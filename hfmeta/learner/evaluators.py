"""Which evaluator computes the losses of a model's tasks, and the check that it gives the loop's numbers."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from hfmeta.inner.errors import HfmetaError
from hfmeta.inner.evaluators import Batched, Head, LikeLength, Looped, Vectorised, unsupported
from hfmeta.inner.loop import refuse_sharded
from hfmeta.inner.types import Batch, Evaluator, Params, stack_expanded
from hfmeta.learner.moving import KINDS, Moving
from hfmeta.models import mixes_rows

logger = logging.getLogger(__name__)

SMALL = 1_000_000
"""Adapted scalars below which vmap beats the loop on a CPU (measured on an MLP and on conv4); a GPU gains at any size."""

FEW_IMAGES = 10
"""Rows of a task up to which convolutions of all tasks at once beat the loop on a CPU; measured on conv4 with 64 filters and 28 x 28
pixels: an inner step on 5 rows takes 0.7 of the loop's time, a query pass of 75 rows 1.5 times as long."""


def make_evaluator(name: str, model: Any, moving: Moving, task_type: str | None) -> Evaluator:
    """The evaluator of that name, or for `auto` the one that should be fastest.

    Raises:
        HfmetaError: an explicit choice that this model cannot have.
    """
    others, kind = moving.others(model), KINDS.get(task_type or "")
    causal = kind == "causal-lm"
    most_rows = None
    if name == "auto":
        name = _fastest(model, moving, kind)
        most_rows = FEW_IMAGES if not _on_gpu(model) and _convolves(model) else None
    if name == "looped":
        return Looped(model, others)
    if name == "vectorised":
        return Vectorised(model, others, causal, most_rows)
    if kind is None:
        raise HfmetaError(
            f'evaluator="batched" needs to know the loss of each row; the task type of {type(model).__name__} is unknown. Use '
            'evaluator="looped".'
        )
    if mixes_rows(model):
        raise HfmetaError(
            f'evaluator="batched" passes rows of several tasks together, but {type(model).__name__} normalises with batch '
            'statistics, which would mix them. Use evaluator="looped" or "vectorised".'
        )
    if moving.only_head:
        assert moving.head is not None
        names = {moving.head.weight, moving.head.bias}
        own = [
            value for key, value in model.named_parameters() if key in names - set(moving.names) and value.requires_grad
        ]
        layer: Any = model.get_submodule(moving.head.module)
        return Head(model, layer, moving.head.weight, moving.head.bias, own, kind)
    return Batched(model, moving.names, others, kind, _decoder_inputs(model) if kind == "tokens" else None)


def _fastest(model: nn.Module, moving: Moving, kind: str | None) -> str:
    adapted = sum(value.numel() for value in moving.theta(model).values())
    whole = sum(value.numel() for value in model.parameters())
    rows_are_free = kind is not None and not mixes_rows(model)
    if rows_are_free and (moving.only_head or (adapted < 0.25 * whole and not unsupported(model, moving.names))):
        return "batched"
    return "vectorised" if _on_gpu(model) or adapted <= SMALL else "looped"


def _on_gpu(model: nn.Module) -> bool:
    return next(model.parameters()).device.type != "cpu"


def _convolves(model: nn.Module) -> bool:
    return any(isinstance(module, nn.modules.conv._ConvNd) for module in model.modules())


def _decoder_inputs(model: Any) -> Callable[[dict[str, Tensor]], dict[str, Tensor]]:
    def prepare(inputs: dict[str, Tensor]) -> dict[str, Tensor]:
        labels = inputs.pop("labels")
        return {**inputs, "decoder_input_ids": model.prepare_decoder_input_ids_from_labels(labels=labels)}

    return prepare


def checked_evaluator(name: str, model: Any, moving: Moving, task_type: str | None, batch: Batch) -> Evaluator:
    """An evaluator whose losses on the first tasks of a batch equal the loop's; texts to classify go in passes of like length.

    Args:
        batch: a support batch `[T, S, ...]`.

    Raises:
        HfmetaError: an explicit choice that fails or gives other numbers (`auto` then falls back to the loop and says so), or
            adapted tensors that were sharded over devices since the learner was made.
    """
    refuse_sharded(moving.theta(model))
    evaluator = make_evaluator(name, model, moving, task_type)
    classifies = KINDS.get(task_type or "") == "classification" and not isinstance(evaluator, Head)
    sorts = classifies and "attention_mask" in batch and not mixes_rows(model)
    loop = Looped(model, moving.others(model))
    if isinstance(evaluator, Looped) and not sorts:
        logger.info("evaluator: looped.")
        return evaluator
    few = {key: value[:2, : getattr(evaluator, "most_rows", None)] for key, value in batch.items()}
    params = stack_expanded(moving.theta(model), next(iter(few.values())).shape[0])
    with torch.no_grad():
        expected = loop.bind(few)(params).losses
        trouble = "" if isinstance(evaluator, Looped) else _trouble(evaluator, few, params, expected)
        if trouble and name != "auto":
            raise HfmetaError(
                f'{_sentence(evaluator, model)}: {trouble}. Use evaluator="looped", which works for any model.'
            )
        if trouble:
            logger.warning("%s: %s; falling back to the loop over tasks.", _sentence(evaluator, model), trouble)
            evaluator = loop
        sorts = sorts and not _trouble(LikeLength(evaluator, rows=1), few, params, expected)
    logger.info("evaluator: %s (%s%s).", evaluator.name, type(evaluator).__name__, ", rows by length" if sorts else "")
    return LikeLength(evaluator) if sorts else evaluator


def _sentence(evaluator: Evaluator, model: nn.Module) -> str:
    return f"evaluator={evaluator.name!r} does not work with {type(model).__name__}"


def _trouble(evaluator: Evaluator, few: Batch, params: Params, expected: Tensor) -> str:
    try:
        return _difference(expected, evaluator.bind(few)(params).losses)
    except (RuntimeError, ValueError, TypeError, KeyError) as error:
        return str(error).split("\n")[0]


def _difference(expected: Tensor, found: Tensor) -> str:
    coarse = torch.is_autocast_enabled(expected.device.type) or expected.dtype in (torch.float16, torch.bfloat16)
    bound = 5e-2 if coarse else 1e-3 if expected.dtype == torch.float32 else 1e-8
    if not torch.isfinite(expected).all():
        return ""  # the inner loop reports that, with its task
    if torch.allclose(expected, found.to(expected.dtype), rtol=bound, atol=bound):
        return ""
    return f"its losses are {found.tolist()}, the loop's {expected.tolist()}"
