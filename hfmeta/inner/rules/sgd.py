"""Gradient descent with a fixed or a learned rate: theta - alpha * gradient.

Learned rates cover MAML's scalar, Meta-SGD's element per weight (Li et al. 2017) and MAML++'s rate per tensor and step (Antoniou et
al. 2019): one rule, two options. Rates are learned by the outer loop at either order, since the derivative of
`theta - alpha * g` by alpha is `-g`.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from hfmeta.inner.errors import HfmetaError
from hfmeta.inner.types import Params

RATES = ("fixed", "scalar", "tensor", "element")


def key(name: str) -> str:
    """A tensor's name as a key of ParameterDict, which refuses dots."""
    return name.replace(".", "|")


class Sgd(nn.Module):
    """Gradient descent on stacked values.

    Args:
        theta: the adapted tensors, by name, without the task dimension; give names and shapes.
        lr: alpha, the (initial) rate of every inner step.
        rates: `fixed`, or learned per `scalar`, `tensor` or `element`.
        steps: K where every inner step has a learned rate of its own, else None. Steps beyond K use the last rate.

    Raises:
        HfmetaError: unknown `rates`, a rate that is not positive and finite, or rates per step of a fixed rate.
    """

    def __init__(self, theta: dict[str, Tensor], lr: float, rates: str = "fixed", steps: int | None = None):
        super().__init__()
        if rates not in RATES:
            raise HfmetaError(f"rates must be one of {', '.join(RATES)}, not {rates!r}.")
        if not 0 < lr < float("inf"):
            raise HfmetaError(f"inner_lr must be a positive number, not {lr!r}.")
        if steps is not None and rates == "fixed":
            raise HfmetaError('rates_per_step=True needs learned rates: rates="scalar", "tensor" or "element".')
        self.lr, self.rates, self.steps = lr, rates, steps
        lead = () if steps is None else (steps,)
        like = next(iter(theta.values()))

        def full(shape: tuple[int, ...]) -> nn.Parameter:
            return nn.Parameter(torch.full((*lead, *shape), lr, dtype=like.dtype, device=like.device))

        self.alpha = nn.ParameterDict()
        if rates == "scalar":
            self.alpha["all"] = full(())
        elif rates != "fixed":
            for name, value in theta.items():
                self.alpha[key(name)] = full(tuple(value.shape) if rates == "element" else ())

    def start(self, params: Params) -> dict[str, Any]:
        """The state is the index of the step."""
        return {"step": 0}

    def forward(self, params: Params, grads: Params, losses: Tensor, state: dict[str, Any]) -> tuple[Params, Any]:
        """`theta - alpha * gradient`, all `[T, ...]`."""
        step = state["step"]
        moved = {name: value - self._rate(name, step) * grads[name] for name, value in params.items()}
        return moved, {"step": step + 1}

    def _rate(self, name: str, step: int) -> Tensor | float:
        if self.rates == "fixed":
            return self.lr
        alpha = self.alpha["all" if self.rates == "scalar" else key(name)]
        return alpha if self.steps is None else alpha[min(step, self.steps - 1)]

    def summary(self) -> dict[str, float]:
        """Mean, least and greatest learned rate, for the log."""
        if not len(self.alpha):
            return {}
        values = torch.cat([value.detach().flatten().float() for value in self.alpha.values()])
        return {
            "inner_lr_mean": values.mean().item(),
            "inner_lr_min": values.min().item(),
            "inner_lr_max": values.max().item(),
        }
