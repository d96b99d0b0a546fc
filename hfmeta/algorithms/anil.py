"""ANIL: only the head moves in the inner loop, everything learns in the outer loop (Raghu et al. 2020)."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor, nn

from hfmeta.algorithms.base import Algorithm
from hfmeta.inner.rules import Sgd


@dataclass
class Anil(Algorithm):
    """MAML whose inner loop moves the head alone; the body runs once per task, however many inner steps there are.

    Args (besides those of `Algorithm`):
        rates: `fixed`, or learned by the outer loop per `scalar`, `tensor` or `element`.
    """

    adapt: str = "head"
    rates: str = "fixed"

    def rule(self, theta: dict[str, Tensor]) -> nn.Module:
        """Gradient descent with the rates that the options name."""
        return self.wrap(Sgd(theta, self.inner_lr, self.rates))
