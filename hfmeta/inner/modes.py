"""How a query loss reaches the start of the inner loop: the options, and nothing else. What they do: gradients.py and endpoints.py."""

from __future__ import annotations

import math
from dataclasses import dataclass

from hfmeta.inner.errors import HfmetaError


@dataclass(frozen=True)
class Implicit:
    """The meta-gradient of a converged inner problem, by conjugate gradients (Rajeswaran et al. 2019).

    Args:
        lam: weight of lam / 2 |phi - theta|^2 in the inner problem.
        cg_steps: conjugate gradient steps, each one Hessian-vector product; a task stops earlier once its residual vanishes.
        damping: added to the operator I + H / lam.
    """

    lam: float
    cg_steps: int = 5
    damping: float = 0.0

    def __post_init__(self) -> None:
        if not 0 < self.lam < math.inf:
            raise HfmetaError(f"lam must be a positive number, not {self.lam!r}: without it nothing ties phi to theta.")
        if not isinstance(self.cg_steps, int) or self.cg_steps < 1:
            raise HfmetaError(f"cg_steps must be a whole number of at least 1, not {self.cg_steps!r}.")
        if not 0 <= self.damping < math.inf:
            raise HfmetaError(f"damping must be zero or more, not {self.damping!r}.")


@dataclass(frozen=True)
class GradientMode:
    """How a query loss reaches the start of the inner loop.

    Two modes look at the end of the loop alone, whose steps then keep nothing: `implicit` and `difference`.

    Args:
        order: 2 for the exact meta-gradient, 1 for first order.
        backward: `"full"` keeps the graph of every inner step; `"recompute"` keeps only the values between steps and runs each
            step again in the backward pass (about a third more time; memory grows by the adapted values alone).
        track: False where no outer gradient is wanted (evaluation, adaptation): nothing is kept.
        implicit: differentiate the end as the solution of a regularised problem.
        difference: the outer gradient is the start minus the end (Reptile), whatever the query loss.
        pull: weight of lam / 2 |phi - theta|^2 in the inner loop itself.
        pull_last: that term takes one step of its own after the last one, rather than part in every step.
    """

    order: int = 2
    backward: str = "full"
    track: bool = True
    implicit: Implicit | None = None
    difference: bool = False
    pull: float = 0.0
    pull_last: bool = False

    def __post_init__(self) -> None:
        if self.order not in (1, 2):
            raise HfmetaError(f"order must be 1 (first order) or 2 (exact), not {self.order!r}.")
        if self.backward not in ("full", "recompute"):
            raise HfmetaError(f'backward must be "full" or "recompute", not {self.backward!r}.')
        if self.implicit is not None and self.difference:
            raise HfmetaError("a meta-gradient is implicit or the difference of end and start, not both.")
        if not 0 <= self.pull < math.inf:
            raise HfmetaError(f"the weight of the proximal term must be zero or more, not {self.pull!r}.")

    @property
    def exact(self) -> bool:
        """Whether inner gradients are themselves differentiated, step by step."""
        return self.track and self.order == 2 and not self.at_end

    @property
    def at_end(self) -> bool:
        """Whether the outer gradient depends on the end of the inner loop and not on the way there."""
        return self.track and (self.implicit is not None or self.difference)
