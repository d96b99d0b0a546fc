"""Adam as an inner rule (Kingma and Ba 2015, algorithm 1): steps of about `lr` whatever the size of a tensor's gradient.

Its moments start anew for each task. Differentiable at either order; what is learned is nothing.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from hfmeta.inner.errors import HfmetaError
from hfmeta.inner.types import Params


class Adam(nn.Module):
    """Adam on stacked values, without weight decay.

    Args:
        lr: alpha, the size of a step.
        betas: decay of the first and of the second moment; a first of 0 keeps no mean (Reptile's inner optimiser).
        eps: added to the root of the second moment.

    Raises:
        HfmetaError: a rate that is not positive, or decays outside [0, 1).
    """

    def __init__(self, lr: float, betas: tuple[float, float] = (0.9, 0.999), eps: float = 1e-8):
        super().__init__()
        if not 0 < lr < float("inf"):
            raise HfmetaError(f"the rate of Adam must be a positive number, not {lr!r}.")
        if not all(0 <= beta < 1 for beta in betas):
            raise HfmetaError(f"the betas of Adam are two numbers from 0 up to, not including, 1, not {betas!r}.")
        self.lr, self.betas, self.eps = lr, tuple(betas), eps

    def start(self, params: Params) -> dict[str, Any]:
        """Moments of zero `[T, ...]`, and how many steps each task has taken, `[T]`."""
        first = next(iter(params.values()))
        zeros = {name: torch.zeros_like(value) for name, value in params.items()}
        return {"steps": first.new_zeros(first.shape[0]), "mean": zeros, "square": dict(zeros)}

    def forward(self, params: Params, grads: Params, losses: Tensor, state: dict[str, Any]) -> tuple[Params, Any]:
        """One step, all `[T, ...]`."""
        (b1, b2), steps = self.betas, state["steps"] + 1
        mean = {name: b1 * state["mean"][name] + (1 - b1) * grad for name, grad in grads.items()}
        square = {name: b2 * state["square"][name] + (1 - b2) * grad.square() for name, grad in grads.items()}
        moved = {}
        for name, value in params.items():
            count = steps.view(-1, *[1] * (value.dim() - 1))
            # The root of zero has no finite derivative.
            size = (square[name] / (1 - b2**count)).clamp_min(torch.finfo(value.dtype).tiny).sqrt()
            moved[name] = value - self.lr * (mean[name] / (1 - b1**count)) / (size + self.eps)
        return moved, {"steps": steps, "mean": mean, "square": square}
