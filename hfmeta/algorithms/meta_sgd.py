"""Meta-SGD: MAML with a learned rate for every weight (Li, Zhou, Chen, Li 2017, equation 3)."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor, nn

from hfmeta.algorithms.base import Algorithm
from hfmeta.inner.rules import Sgd


@dataclass
class MetaSgd(Algorithm):
    """One inner step along the gradient times a learned vector of rates, which starts at `inner_lr` and may change sign."""

    def rule(self, theta: dict[str, Tensor]) -> nn.Module:
        """Gradient descent with a learned rate per element."""
        return self.wrap(Sgd(theta, self.inner_lr, "element"))
