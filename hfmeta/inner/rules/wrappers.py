"""Rules that hold another rule: clip its gradients, shrink its result, keep some entries or some tasks where they are, share the
tensors out between two rules, or pull towards the start.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils import _pytree as pytree

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


class Apart(nn.Module):
    """Some tensors step by a rule of their own.

    Args:
        rule: of all other tensors.
        own: of the named ones.
        names: which tensors step by `own`.
    """

    def __init__(self, rule: nn.Module, own: nn.Module, names: Collection[str]):
        super().__init__()
        self.rule, self.own, self.names = rule, own, frozenset(names)

    def start(self, params: Params) -> Any:
        """The state of both rules."""
        rest, named = self._parted(params)
        return {"rule": self.rule.start(rest), "own": self.own.start(named)}  # type: ignore[operator]

    def forward(self, params: Params, grads: Params, losses: Tensor, state: Any) -> tuple[Params, Any]:
        """Step, each tensor by its rule; `[T, ...]` throughout."""
        (rest, named), (of_rest, of_named) = self._parted(params), self._parted(grads)
        moved, others = (self.rule(rest, of_rest, losses, state["rule"])) if rest else ({}, state["rule"])
        found, own = self.own(named, of_named, losses, state["own"])
        return {name: {**moved, **found}[name] for name in params}, {"rule": others, "own": own}

    def _parted(self, values: Params) -> tuple[Params, Params]:
        rest = {name: value for name, value in values.items() if name not in self.names}
        return rest, {name: value for name, value in values.items() if name in self.names}


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
        before = state["inner"]
        moved, inner = self.rule(params, grads, losses, before)
        active = self.active[state["step"] % len(self.active)]
        if active is not None:

            def held(new: Any, old: Any) -> Any:
                return torch.where(active.view(-1, *[1] * (new.dim() - 1)), new, old) if torch.is_tensor(new) else new

            moved = {name: held(value, params[name]) for name, value in moved.items()}
            inner = pytree.tree_map(held, inner, before)
        return moved, {"step": state["step"] + 1, "inner": inner}


class Pulled(nn.Module):
    """The inner problem has a proximal term, lam / 2 |phi - theta|^2 (Rajeswaran et al. 2019, equation 3).

    Args:
        rule: takes the step.
        lam: weight of the term.
        last: None: the term is part of every step's gradient. K: after step K the term alone takes one step more, and no other (the
            authors' code).
    """

    def __init__(self, rule: Any, lam: float, last: int | None = None):
        super().__init__()
        self.rule, self.lam, self.last = rule, lam, last

    def start(self, params: Params) -> Any:
        """The number of the step, where the task started, and the inner rule's own state."""
        return {"step": 0, "start": params, "inner": self.rule.start(params)}

    def forward(self, params: Params, grads: Params, losses: Tensor, state: Any) -> tuple[Params, Any]:
        """Step with the term; `[T, ...]` throughout."""
        start, step = state["start"], state["step"] + 1
        if self.last is None:
            grads = {name: grad + self.lam * (params[name] - start[name]) for name, grad in grads.items()}
        moved, inner = self.rule(params, grads, losses, state["inner"])
        if step == self.last:
            back = {name: self.lam * (value - start[name]) for name, value in moved.items()}
            moved, inner = self.rule(moved, back, losses, inner)
        return moved, {"step": step, "start": start, "inner": inner}
