"""MAML++: MAML with the remedies of Antoniou, Edwards and Storkey (2019).

Here: the multi-step query loss (section 4.1 of that paper), a learned rate per tensor and inner step (section 4.5), and annealing
from first order to exact (section 4.3, off by default as in the authors' configuration). The cosine schedule of the outer rate is
the Trainer's `lr_scheduler_type`; its best-model ensemble is not built in.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor, nn

from hfmeta.algorithms.base import Algorithm
from hfmeta.inner.rules import Sgd


@dataclass
class MamlPlusPlus(Algorithm):
    """MAML with a multi-step query loss and learned rates per tensor and step."""

    inner_steps: int = 5
    inner_lr: float = 0.1
    query_loss: str = "every_step"

    def rule(self, theta: dict[str, Tensor]) -> nn.Module:
        """Gradient descent with a learned rate per tensor and inner step."""
        return self.wrap(Sgd(theta, self.inner_lr, "tensor", max(self.inner_steps, 1)))
