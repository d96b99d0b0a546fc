"""MAML: learn a start from which a few gradient steps do well (Finn, Abbeel, Levine 2017, algorithm 2)."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor, nn

from hfmeta.algorithms.base import Algorithm
from hfmeta.inner.rules import Sgd


@dataclass
class Maml(Algorithm):
    """MAML at either order, with fixed or learned inner rates.

    Args (besides those of `Algorithm`):
        rates: `fixed`, or learned by the outer loop per `scalar`, `tensor` or `element`.
        rates_per_step: a learned rate of its own for every inner step.

    Example:
        >>> Maml(inner_steps=3, inner_lr=0.1, order=2).eval_steps
        3
    """

    rates: str = "fixed"
    rates_per_step: bool = False

    def rule(self, theta: dict[str, Tensor]) -> nn.Module:
        """Gradient descent with the rates that the options name."""
        steps = max(self.inner_steps, 1) if self.rates_per_step else None
        return self.wrap(Sgd(theta, self.inner_lr, self.rates, steps))
