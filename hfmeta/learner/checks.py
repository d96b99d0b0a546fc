"""Refusals: combinations that would be wrong without a sound, each refused by one sentence before anything runs."""

from __future__ import annotations

import functools
import logging
from collections.abc import Sequence
from typing import Any

import torch
from torch import nn

from hfmeta.algorithms import Algorithm
from hfmeta.inner.errors import HfmetaError
from hfmeta.inner.loop import refuse_sharded
from hfmeta.learner.moving import Moving

logger = logging.getLogger(__name__)


def check_model(model: nn.Module, algorithm: Algorithm, moving: Moving, dropout: bool) -> None:
    """Refuse models whose gradients would be wrong.

    Raises:
        HfmetaError: gradient checkpointing, adapted tensors sharded over devices, half precision with an exact gradient,
            batch-norm statistics that leak.
    """
    refuse_sharded(moving.theta(model))
    # The older name of the flag warns of its removal in transformers 6.
    if getattr(model, "is_activation_checkpointing", False):
        raise HfmetaError(
            "the model has gradient checkpointing on: its recomputation runs after a task's values are taken away again, which "
            'gives a wrong gradient without an error. Call model.gradient_checkpointing_disable() and use backward="recompute".'
        )
    half = [name for name, value in moving.theta(model).items() if value.dtype == torch.float16]
    if algorithm.order == 2 and half:
        raise HfmetaError(
            f"an exact gradient (order=2) in float16 overflows in its second derivatives; {half[0]} is float16. Load the model in "
            "bfloat16 or float32, or use order=1."
        )
    leaking = [name for name, module in model.named_modules() if _leaks(module, dropout)]
    if leaking:
        raise HfmetaError(
            f"{leaking[0]} is a batch norm with running statistics"
            + (
                ", which in training mode would carry one task's data to the next."
                if dropout
                else " that were never filled."
            )
            + " Use batch statistics (track_running_stats=False), a pretrained network in evaluation mode (dropout=False), or "
            "another norm."
        )


def _leaks(module: nn.Module, dropout: bool) -> bool:
    if not isinstance(module, nn.modules.batchnorm._BatchNorm) or not module.track_running_stats:
        return False
    return dropout or module.num_batches_tracked is None or int(module.num_batches_tracked) == 0


def check_parts(model: Any, algorithm: Any) -> None:
    """Refuse a name where the thing itself is wanted.

    Args:
        model: what should be a model.
        algorithm: what should be the options of an algorithm.

    Raises:
        HfmetaError: says how to get it.
    """
    if not isinstance(model, nn.Module):
        raise HfmetaError(
            f"a learner is made of a model, received {model!r}. Open it: hfmeta.models.load_model(name, task), or from_pretrained of "
            "a transformers class; a saved learner by MetaLearner.from_pretrained."
        )
    if not isinstance(algorithm, Algorithm):
        known = algorithm.__name__ if isinstance(algorithm, type) else "Maml"
        raise HfmetaError(
            f"an algorithm is given with its options, as {known}(inner_steps=3, inner_lr=0.1); received {algorithm!r}."
        )


def check_ways(learner: Any, datasets: Sequence[Any]) -> None:
    """Refuse episodes of more classes than the head has outputs.

    Args:
        learner: of a model that classifies, or any other.
        datasets: of episodes; those that are not made by label are left alone.

    Raises:
        HfmetaError: both numbers.
    """
    outputs = getattr(learner.config, "num_labels", None) if learner.kind == "classification" else None
    for dataset in datasets:
        draws = getattr(getattr(dataset, "dataset", dataset), "n_way_draws", None)
        if outputs is not None and draws is not None and draws.n_way > outputs:
            raise HfmetaError(
                f"the episodes have {draws.n_way} classes (n_way), and the head of the model has {outputs} outputs: open it with "
                f"num_labels={draws.n_way}."
            )


def say_long_loop(algorithm: Algorithm, rule: nn.Module, steps: int) -> None:
    """Say once in the log when a learned rule takes more inner steps than it was trained for, which is allowed.

    Args:
        algorithm: how many it was trained for.
        rule: one that learns nothing is not spoken of.
        steps: how many it takes (passes, with `inner_batch_size`).
    """
    if steps > algorithm.inner_steps > 0 and any(value.requires_grad for value in rule.parameters()):
        _say_once(
            f"{type(algorithm).__name__} learned its rule on {algorithm.inner_steps} inner steps and now takes {steps}: what it does "
            "beyond them was never trained."
        )


@functools.cache
def _say_once(sentence: str) -> None:
    logger.warning(sentence)


def differentiable_attention(model: Any, algorithm: Algorithm) -> None:
    """For an exact gradient, see to an attention that can be differentiated twice, and say in the log what is used."""
    implementation = getattr(getattr(model, "config", None), "_attn_implementation", None)
    if algorithm.order != 2 or implementation is None:
        return
    if implementation == "sdpa":
        logger.info(
            "exact gradient: support passes use the mathematical attention kernel, query passes keep the fast one."
        )
    elif implementation != "eager":
        model.set_attn_implementation("sdpa")
        logger.warning(
            "exact gradient: attention %r has no second derivative and was replaced by 'sdpa' (mathematical kernel in support "
            "passes).",
            implementation,
        )
