"""MAML++: MAML with the remedies of Antoniou, Edwards and Storkey (2019).

Here: the multi-step query loss (section 4.1 of that paper), annealing from first order to exact (section 4.3, off by default as in the
authors' configuration), normalisation weights per inner step (section 4.4) and a learned rate per tensor and inner step (section
4.5). The cosine schedule of the outer rate is the Trainer's `lr_scheduler_type`; the test by several checkpoints together is
`hfmeta evaluate --ensemble`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from torch import Tensor, nn

from hfmeta.algorithms.base import Algorithm
from hfmeta.inner.errors import HfmetaError
from hfmeta.inner.rules import Apart, PerStep, Sgd


@dataclass
class MamlPlusPlus(Algorithm):
    """MAML with a multi-step query loss and learned rates per tensor and step.

    Args (besides those of `Algorithm`):
        per_step: regular expression on the names of adapted tensors that have a learned value for every inner step instead of being
            moved by it, such as `norm` for the shifts (and scales) of a normalisation. An adapted model has the last ones.
    """

    inner_steps: int = 5
    inner_lr: float = 0.1
    query_loss: str = "every_step"
    per_step: str | None = None

    def __post_init__(self) -> None:
        """Check every option; see the class for their meaning."""
        super().__post_init__()
        if self.per_step is None:
            return
        if self.inner_batch_size is not None:
            raise HfmetaError(
                "MamlPlusPlus: per_step counts inner steps and inner_batch_size makes passes of many; use one of them."
            )
        try:
            re.compile(self.per_step)
        except re.error as error:
            raise HfmetaError(f"MamlPlusPlus: per_step={self.per_step!r} is no regular expression: {error}.") from error

    def rule(self, theta: dict[str, Tensor]) -> nn.Module:
        """Gradient descent with a learned rate per tensor and inner step, and values per step where `per_step` asks for them."""
        steps = max(self.inner_steps, 1)
        if self.per_step is None:
            return self.wrap(Sgd(theta, self.inner_lr, "tensor", steps))
        own = {name: value for name, value in theta.items() if re.search(self.per_step, name)}
        moved = {name: value for name, value in theta.items() if name not in own}
        if not own or not moved:
            raise HfmetaError(
                f"MamlPlusPlus: per_step={self.per_step!r} matches {'none' if moved else 'all'} of the {len(theta)} adapted tensors "
                f"({', '.join(list(theta)[:3])}, ...). It is to name some that `adapt` names too, and leave others that move."
            )
        return Apart(self.wrap(Sgd(moved, self.inner_lr, "tensor", steps)), PerStep(own, steps), own)
