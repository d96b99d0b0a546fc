"""Ordinary fine-tuning of a copy of the model on each support set, and no adaptation at all.

Dropout is off throughout, so that a score depends on the arguments alone.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from hfmeta.baselines.features import device_of, frozen_features, moved
from hfmeta.inner.errors import HfmetaError
from hfmeta.inner.evaluators import passes_of_like_length, rows_trimmed
from hfmeta.inner.evaluators.lengths import ROWS_PER_PASS
from hfmeta.inner.evaluators.looped import loss_and_logits
from hfmeta.inner.losses import task_losses
from hfmeta.metrics.likelihood import evaluation_mode
from hfmeta.metrics.scores import task_accuracy
from hfmeta.models.heads import head_of, mixes_rows

ADAPT = ("all", "head")
OPTIMIZERS: dict[str, Any] = {"adamw": partial(torch.optim.AdamW, fused=True), "sgd": torch.optim.SGD}
"""A fused step reads and writes each tensor once: on a CPU a quarter of the time of a step of plain tensor operations."""

TUNED_ROWS = 9
"""Rows of like length that pass a text model together, forward and back: 25 questions of BANKING77 take 0.7 of the padded time."""


def fine_tuning(
    model: nn.Module,
    episodes: Iterable[Mapping[str, Any]],
    steps: int,
    lr: float,
    *,
    adapt: str = "all",
    optimizer: str = "adamw",
    reset_head: bool | None = None,
    seed: int = 0,
) -> Tensor:
    """Query scores after ordinary fine-tuning of a fresh copy of the model on each support set, all rows at every step.

    Args:
        model: left as it is; its frozen tensors stay frozen in the copies.
        episodes: T episodes, as for `frozen_features`.
        steps: optimizer steps per task.
        lr: learning rate.
        adapt: "all" trainable tensors, or the linear "head" on frozen features.
        optimizer: "adamw" (torch's defaults otherwise) or "sgd" (plain).
        reset_head: start every task from a newly drawn head (normal, std 0.02 or the model's own; biases 0). None: yes for class
            labels, since those of an episode mean nothing elsewhere; no for numbers and tokens.
        seed: of the drawn heads, together with the position of the task.

    Returns:
        [T], float64: accuracy for class labels; mean loss for numbers (mean squared error) and tokens (nats).

    Raises:
        HfmetaError: an unknown choice, a negative number of steps, no head where one is needed, or no logits for class labels.
    """
    if adapt not in ADAPT:
        raise HfmetaError(f"unknown adapt={adapt!r} for fine-tuning; choose one of {', '.join(ADAPT)}.")
    if optimizer not in OPTIMIZERS:
        raise HfmetaError(f"unknown optimizer {optimizer!r} for fine-tuning; choose one of {', '.join(OPTIMIZERS)}.")
    if steps < 0:
        raise HfmetaError(f"steps={steps} is impossible for fine-tuning; it must be 0 or more.")
    scores = []
    with torch.enable_grad():
        for number, trial in enumerate((_head_trials if adapt == "head" else _whole_trials)(model, episodes)):
            if trial.kind == "classification" if reset_head is None else reset_head:
                _draw(head_of(trial.module)[1], _head_std(model), [seed, number])
            trainable = [p for p in trial.module.parameters() if p.requires_grad]
            if not trainable:
                raise HfmetaError(
                    f"every tensor of {type(model).__name__} is frozen, so there is nothing to fine-tune; adapt='head' works."
                )
            stepper = OPTIMIZERS[optimizer](trainable, lr=lr)
            portions = trial.portions()
            for _ in range(steps):
                stepper.zero_grad()
                for rows, share in portions:
                    (trial.loss(rows) * share).backward()
                stepper.step()
            with torch.no_grad():
                scores.append(trial.score(trial.query))
    return torch.stack(scores).cpu()


def no_adaptation(model: nn.Module, episodes: Iterable[Mapping[str, Any]]) -> Tensor:
    """Query scores of the model as it stands.

    Args:
        model: any model that returns a loss when given labels.
        episodes: T episodes, as for `frozen_features`.

    Returns:
        [T], float64, as for `fine_tuning`.
    """
    device = device_of(model)
    with evaluation_mode(model), torch.no_grad():
        trials = (_Trial(model, {}, moved(episode["query"], device)) for episode in episodes)
        return torch.stack([trial.score(trial.query) for trial in trials]).cpu()


@dataclass
class _Trial:
    """One task of fine-tuning: a module that takes the rows of a set and returns a loss and logits."""

    module: nn.Module
    support: dict[str, Tensor]
    query: dict[str, Tensor]

    @property
    def kind(self) -> str:
        labels = self.query["labels"]
        if labels.is_floating_point():
            return "regression"
        return "classification" if labels.dim() == 1 else "tokens"

    def loss(self, rows: dict[str, Tensor]) -> Tensor:
        return loss_and_logits(self.module(**rows))[0]

    def portions(self) -> list[tuple[dict[str, Tensor], float]]:
        """The support set in passes of like length, each with its share of the rows, or as it is.

        Whole where the shares do not add up to the loss of the set: a loss with weights of classes is no mean over rows.
        """
        rows, passes = len(self.support["labels"]), self._passes(self.support, TUNED_ROWS)
        whole, parts = [(self.support, 1.0)], [(one, len(one["labels"]) / rows) for one in passes]
        if len(parts) == 1:
            return whole
        with torch.no_grad():
            expected = self.loss(self.support)
            found = torch.stack([self.loss(one) * share for one, share in parts]).sum()
        return parts if torch.allclose(found, expected, rtol=1e-4, atol=0.0) else whole

    def score(self, rows: dict[str, Tensor]) -> Tensor:
        """Accuracy for class labels, else the mean loss; a float64 scalar.

        Class labels are scored in passes of like length: a query set takes several times as long when padded to its longest text.
        """
        if self.kind != "classification":
            return loss_and_logits(self.module(**rows))[0].double()
        sets = self._passes(rows, ROWS_PER_PASS)
        logits, labels = torch.cat([self._logits(one) for one in sets]), torch.cat([one["labels"] for one in sets])
        return task_accuracy(logits[None], labels[None])[0]

    def _passes(self, rows: dict[str, Tensor], most: int) -> list[dict[str, Tensor]]:
        """Rows with class labels, as many as `most` of like length at a time; others, and rows that depend on each other, at once."""
        separable = self.kind == "classification" and not mixes_rows(self.module)
        passes = passes_of_like_length(rows, most) if separable else None
        return [rows] if passes is None else [rows_trimmed(rows, one) for one in passes]

    def _logits(self, rows: dict[str, Tensor]) -> Tensor:
        logits = loss_and_logits(self.module(**rows))[1]
        if logits is None:
            raise HfmetaError(f"{type(self.module).__name__} returns a loss alone; class labels are scored by logits.")
        return logits


class _HeadOnFeatures(nn.Module):
    """A model's head by itself, on features that were computed once."""

    def __init__(self, head: nn.Linear):
        super().__init__()
        self.head = copy.deepcopy(head).requires_grad_(True)

    def forward(self, features: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        logits = self.head(features)
        kind = "regression" if labels.is_floating_point() else "classification"
        return task_losses(kind, logits[None], labels[None])[0], logits


def _head_trials(model: nn.Module, episodes: Iterable[Mapping[str, Any]]) -> Iterator[_Trial]:
    for support, support_labels, query, query_labels in frozen_features(model, episodes):
        yield _Trial(
            _HeadOnFeatures(head_of(model)[1]),
            {"features": support, "labels": support_labels},
            {"features": query, "labels": query_labels},
        )


def _whole_trials(model: nn.Module, episodes: Iterable[Mapping[str, Any]]) -> Iterator[_Trial]:
    tuned, device = copy.deepcopy(model).eval(), device_of(model)
    start = {name: value.clone() for name, value in tuned.state_dict().items()}
    for episode in episodes:
        tuned.load_state_dict(start)
        yield _Trial(tuned, moved(episode["support"], device), moved(episode["query"], device))


def _draw(head: nn.Linear, std: float, seed: Sequence[int]) -> None:
    values = np.random.default_rng(list(seed)).normal(scale=std, size=tuple(head.weight.shape))
    with torch.no_grad():
        head.weight.copy_(torch.from_numpy(values))
        if head.bias is not None:
            head.bias.zero_()


def _head_std(model: nn.Module) -> float:
    """The spread from which the model's own configuration draws its head, or 0.02."""
    config = getattr(model, "config", None)
    for name in ("head_init_std", "init_std", "initializer_range"):
        if isinstance(std := getattr(config, name, None), float):
            return std
    return 0.02
