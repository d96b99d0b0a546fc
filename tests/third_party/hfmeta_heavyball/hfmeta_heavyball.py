"""Heavy-ball MAML, a plugin of hfmeta: an inner loop with a learned rate and a learned momentum."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from hfmeta.algorithms.base import Algorithm
from hfmeta.inner.errors import HfmetaError

__all__ = ["HeavyBall", "HeavyBallMaml"]


class HeavyBall(nn.Module):
    """speed <- momentum * speed + gradient; theta <- theta - rate * speed (Polyak 1964).

    Args:
        rate: initial rate of an inner step; learned.
        momentum: initial share of the last direction that is kept; learned.
        like: a tensor that gives type and device.
    """

    def __init__(self, rate: float, momentum: float, like: Tensor):
        super().__init__()
        self.rate = nn.Parameter(torch.tensor(rate, dtype=like.dtype, device=like.device))
        self.momentum = nn.Parameter(torch.tensor(momentum, dtype=like.dtype, device=like.device))

    def start(self, params: dict[str, Tensor]) -> dict[str, Tensor]:
        """The state is each task's speed, `[T, ...]`, at first zero."""
        return {name: torch.zeros_like(value) for name, value in params.items()}

    def forward(
        self, params: dict[str, Tensor], grads: dict[str, Tensor], losses: Tensor, state: dict[str, Tensor]
    ) -> tuple[dict[str, Tensor], Any]:
        """One step; everything is stacked over tasks, `[T, ...]`."""
        speed = {name: self.momentum * state[name] + grads[name] for name in params}
        return {name: value - self.rate * speed[name] for name, value in params.items()}, speed


@dataclass
class HeavyBallMaml(Algorithm):
    """MAML with momentum in the inner loop.

    Args (besides those of `Algorithm`):
        momentum: initial share of the last direction that is kept, 0 to 1; learned.
    """

    inner_steps: int = 3
    inner_lr: float = 0.05
    momentum: float = 0.5

    def __post_init__(self) -> None:
        """Check the options.

        Raises:
            HfmetaError: an option out of its range.
        """
        super().__post_init__()
        if not 0 <= self.momentum < 1:
            raise HfmetaError(f"HeavyBallMaml: momentum must be at least 0 and below 1, not {self.momentum!r}.")

    def rule(self, theta: dict[str, Tensor]) -> nn.Module:
        """Momentum with learned numbers."""
        return self.wrap(HeavyBall(self.inner_lr, self.momentum, next(iter(theta.values()))))
