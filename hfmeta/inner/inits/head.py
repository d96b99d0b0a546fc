"""Where a task's values start: the learned values, with the head left alone, zeroed, or made from the support set.

In N-way episodes labels are dealt afresh each time, so a shared head has no lasting meaning for its rows and its start matters
(Ye and Chao 2022). Prototypes (Proto-MAML, Triantafillou et al. 2020, section 3) start it as the nearest-class-mean
classifier: with c the mean feature of a class, weight = 2 c and bias = -|c|^2.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from hfmeta.inner.errors import HfmetaError
from hfmeta.inner.types import Batch, Params, stack_expanded

OUT_OF_THE_QUESTION = -1e4
"""The logit of a class that an episode does not have: far below all others, finite in half precision."""
HEADS = ("shared", "zero", "prototype")


class Plain(nn.Module):
    """Every task starts from the learned values."""

    def forward(self, theta: Params, support: Batch, features: Callable[[], Tensor]) -> Params:
        """Theta without task dimension to a stack `[T, ...]`; the support set is `[T, S, ...]`."""
        return stack_expanded(theta, support["labels"].shape[0])


class HeadInit(nn.Module):
    """The learned values, but for the head.

    Args:
        weight, bias: names of the head's tensors (bias None where it has none).
        head: `zero` or `prototype`.
        scale: learned factor on the prototype logits, so that features of any length give useful ones; it starts at this value.

    Raises:
        HfmetaError: prototypes for a head without bias.
    """

    def __init__(self, weight: str, bias: str | None, head: str, scale: float = 1.0, dtype: torch.dtype | None = None):
        super().__init__()
        if head not in ("zero", "prototype"):
            raise HfmetaError(f"head must be one of {', '.join(HEADS)}, not {head!r}.")
        if head == "prototype" and bias is None:
            raise HfmetaError(
                'head="prototype" needs a head with a bias (weight = 2c, bias = -|c|^2); this one has none.'
            )
        if not scale > 0:
            raise HfmetaError(f"prototype_scale must be positive, not {scale!r}.")
        self.weight, self.bias, self.head = weight, bias, head
        self.own_classes = False
        """Whether labels are dealt afresh in each episode, so that a class without a support row does not exist."""
        if head == "prototype":
            self.log_scale = nn.Parameter(torch.tensor(scale, dtype=dtype or torch.float32).log())

    def forward(self, theta: Params, support: Batch, features: Callable[[], Tensor]) -> Params:
        """Theta to a stack `[T, ...]`; the labels of the support set are `[T, S]`, features `[T, S, d]`."""
        labels = support["labels"]
        start = stack_expanded(theta, labels.shape[0])
        if self.head == "zero":
            for name in filter(None, (self.weight, self.bias)):
                start[name] = torch.zeros_like(start[name])
        else:
            assert self.bias is not None
            # A class without a support row keeps the learned head's row: it has no mean.
            means, present = class_means(features(), labels, theta[self.weight].shape[0])
            scale = self.log_scale.exp().to(means.dtype)
            start[self.weight] = torch.where(present.unsqueeze(-1), 2 * scale * means, start[self.weight])
            start[self.bias] = torch.where(present, -scale * means.square().sum(-1), start[self.bias])
        return self._without_absent(start, labels) if self.own_classes else start

    def _without_absent(self, start: Params, labels: Tensor) -> Params:
        """Classes that an episode does not have are out of the question: fewer ways than the head has rows."""
        classes = start[self.weight].shape[1]
        absent = ~F.one_hot(labels.clamp_min(0), classes).bool().logical_and((labels >= 0).unsqueeze(-1)).any(1)
        if not bool(absent.any()):
            return start
        if self.bias is None or self.bias not in start:
            raise HfmetaError(
                "these episodes have fewer classes than the head, which needs an adapted bias to leave the others out; train with as "
                "many ways as are tested."
            )
        start[self.weight] = start[self.weight].masked_fill(absent.unsqueeze(-1), 0.0)
        start[self.bias] = start[self.bias].masked_fill(absent, OUT_OF_THE_QUESTION)
        return start


def class_means(features: Tensor, labels: Tensor, classes: int) -> tuple[Tensor, Tensor]:
    """Mean feature of each class.

    Args:
        features: `[T, S, d]`.
        labels: `[T, S]`, 0 to classes - 1, or -100 for padding.

    Returns:
        means `[T, C, d]` and which classes have a row at all, `[T, C]`.
    """
    member = F.one_hot(labels.clamp_min(0), classes).to(features.dtype) * (labels >= 0).unsqueeze(-1)
    counts = member.sum(1)
    return member.transpose(1, 2) @ features / counts.clamp_min(1).unsqueeze(-1), counts > 0
