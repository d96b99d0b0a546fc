"""Ordinary training on the rows of all tasks together: the start that MAML's is compared with.

Not here: adapting the trained model to a task, which is the inner loop's work.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from hfmeta.baselines.features import device_of, moved
from hfmeta.episodes import EpisodeDataset
from hfmeta.inner.errors import HfmetaError
from hfmeta.inner.evaluators.looped import loss_and_logits


def pretrain(
    model: nn.Module, episodes: EpisodeDataset, iterations: int, lr: float = 1e-3, tasks_per_batch: int = 25
) -> nn.Module:
    """Train a model on pooled tasks with Adam, each batch being all support and query rows of some episodes.

    Args:
        model: changed in place; its trainable tensors are trained.
        episodes: training episodes; every epoch goes through them once, in their order.
        iterations: Adam steps; 0 leaves the model as it is.
        lr: constant learning rate.
        tasks_per_batch: episodes pooled in one batch.

    Returns:
        the model, in evaluation mode.

    Raises:
        HfmetaError: nothing to train, or an impossible number.

    Source: the "pretrained" baseline of Finn, Abbeel, Levine 2017, section 5.1.
    """
    trainable = [p for p in model.parameters() if p.requires_grad]
    if not trainable:
        raise HfmetaError(f"every tensor of {type(model).__name__} is frozen, so there is nothing to pretrain.")
    if iterations < 0 or tasks_per_batch < 1 or not lr > 0:
        raise HfmetaError(
            f"pretraining needs iterations >= 0, tasks_per_batch >= 1 and lr > 0; received {iterations}, {tasks_per_batch}, {lr}."
        )
    adam = torch.optim.Adam(trainable, lr=lr)
    per_epoch = max(1, len(episodes) // tasks_per_batch)
    device = device_of(model)
    model.train()
    with torch.enable_grad():
        for iteration in range(iterations):
            epoch, batch = divmod(iteration, per_epoch)
            first = batch * tasks_per_batch
            last = min(first + tasks_per_batch, len(episodes))
            pooled = episodes.collate(episodes.episodes([(epoch, index) for index in range(first, last)]))
            adam.zero_grad(set_to_none=True)
            _pooled_loss(model, pooled, device).backward()
            adam.step()
    return model.eval()


def _pooled_loss(model: nn.Module, batch: Mapping[str, Any], device: torch.device) -> Tensor:
    """Mean loss over all rows of support and query sets; the two pass separately, as their padded widths may differ."""
    total, count = torch.zeros((), device=device), 0
    for side in ("support", "query"):
        rows = moved({name: value.flatten(0, 1) for name, value in batch[side].items()}, device)
        size = len(rows["labels"])
        total, count = total + size * loss_and_logits(model(**rows))[0], count + size
    return total / count
