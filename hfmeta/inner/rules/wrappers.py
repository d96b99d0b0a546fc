"""Rules that hold another rule: clip its gradients, shrink its result."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from hfmeta.inner.errors import HfmetaError
from hfmeta.inner.types import Params


class Clip(nn.Module):
    """Scale each task's gradient so that its norm over all adapted tensors is at most `max_norm`.

    Args:
        rule: the rule that uses the clipped gradient.
        max_norm: positive bound on the Euclidean norm, task by task.
    """

    def __init__(self, rule: nn.Module, max_norm: float):
        super().__init__()
        if not max_norm > 0:
            raise HfmetaError(f"inner_clip must be a positive norm, not {max_norm!r}.")
        self.rule, self.max_norm = rule, max_norm

    def start(self, params: Params) -> Any:
        """The inner rule's own state."""
        return self.rule.start(params)  # type: ignore[operator]

    def forward(self, params: Params, grads: Params, losses: Tensor, state: Any) -> tuple[Params, Any]:
        """Clip, then step; `[T, ...]` throughout."""
        squares = sum(grad.flatten(1).square().sum(1) if grad.dim() > 1 else grad.square() for grad in grads.values())
        # The root of zero has no finite derivative, which would turn a task at its optimum into NaN at order 2.
        norm = torch.as_tensor(squares).clamp_min(torch.finfo(losses.dtype).tiny).sqrt()
        scale = (self.max_norm / norm).clamp_max(1.0)
        clipped = {name: grad * scale.view(-1, *[1] * (grad.dim() - 1)) for name, grad in grads.items()}
        return self.rule(params, clipped, losses, state)


class Shrink(nn.Module):
    """Proximal L1: after each step move every value towards zero by `threshold`, and stop at zero.

    A plain gradient step on an L1 term never reaches zero; soft thresholding does (Parikh and Boyd 2014, section 6.5.2).

    Args:
        rule: the rule that takes the step.
        threshold: inner rate times L1 weight, not negative.
    """

    def __init__(self, rule: nn.Module, threshold: float):
        super().__init__()
        if not threshold >= 0:
            raise HfmetaError(f"the L1 threshold must be zero or more, not {threshold!r}.")
        self.rule, self.threshold = rule, threshold

    def start(self, params: Params) -> Any:
        """The inner rule's own state."""
        return self.rule.start(params)  # type: ignore[operator]

    def forward(self, params: Params, grads: Params, losses: Tensor, state: Any) -> tuple[Params, Any]:
        """Step, then soft-threshold; `[T, ...]` throughout."""
        moved, state = self.rule(params, grads, losses, state)
        return {name: torch.nn.functional.softshrink(p, self.threshold) for name, p in moved.items()}, state
