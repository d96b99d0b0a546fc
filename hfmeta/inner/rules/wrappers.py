"""Rules that hold another rule: clip its gradients, shrink its result, keep some entries or some tasks where they are."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
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
        names: the tensors that shrink; None: all.
    """

    def __init__(self, rule: nn.Module, threshold: float, names: Collection[str] | None = None):
        super().__init__()
        if not threshold >= 0:
            raise HfmetaError(f"the L1 threshold must be zero or more, not {threshold!r}.")
        self.rule, self.threshold = rule, threshold
        self.names = None if names is None else frozenset(names)

    def start(self, params: Params) -> Any:
        """The inner rule's own state."""
        return self.rule.start(params)  # type: ignore[operator]

    def forward(self, params: Params, grads: Params, losses: Tensor, state: Any) -> tuple[Params, Any]:
        """Step, then soft-threshold; `[T, ...]` throughout."""
        moved, state = self.rule(params, grads, losses, state)
        shrunk = moved if self.names is None else [name for name in moved if name in self.names]
        return {**moved, **{n: torch.nn.functional.softshrink(moved[n], self.threshold) for n in shrunk}}, state


class Masked(nn.Module):
    """Only the entries that a task kept move: its gradients are zero elsewhere.

    Args:
        rule: the rule that uses the masked gradient.
        masks: bool by tensor name, `[T, ...]`; tensors without a mask move whole.
    """

    def __init__(self, rule: nn.Module, masks: Mapping[str, Tensor]):
        super().__init__()
        self.rule, self.masks = rule, dict(masks)

    def start(self, params: Params) -> Any:
        """The inner rule's own state."""
        return self.rule.start(params)  # type: ignore[operator]

    def forward(self, params: Params, grads: Params, losses: Tensor, state: Any) -> tuple[Params, Any]:
        """Mask, then step; `[T, ...]` throughout."""
        kept = {name: grad * self.masks[name] if name in self.masks else grad for name, grad in grads.items()}
        moved, state = self.rule(params, kept, losses, state)
        return {n: torch.where(self.masks[n], v, params[n]) if n in self.masks else v for n, v in moved.items()}, state


class Waiting(nn.Module):
    """Some tasks sit out some steps: those whose support set has no portion left for them.

    Args:
        rule: the rule of the steps that are taken.
        active: for each step of a pass, which tasks take it, `[T]` bool, or None for all; passes follow one another.
    """

    def __init__(self, rule: nn.Module, active: Sequence[Tensor | None]):
        super().__init__()
        self.rule, self.active = rule, list(active)

    def start(self, params: Params) -> Any:
        """The number of the step, and the inner rule's own state."""
        return {"step": 0, "inner": self.rule.start(params)}  # type: ignore[operator]

    def forward(self, params: Params, grads: Params, losses: Tensor, state: Any) -> tuple[Params, Any]:
        """Step, then put the tasks that wait back; `[T, ...]` throughout."""
        moved, inner = self.rule(params, grads, losses, state["inner"])
        active = self.active[state["step"] % len(self.active)]
        state = {"step": state["step"] + 1, "inner": inner}
        if active is None:
            return moved, state
        return {n: torch.where(active.view(-1, *[1] * (v.dim() - 1)), v, params[n]) for n, v in moved.items()}, state
