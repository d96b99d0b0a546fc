"""Implicit MAML: the meta-gradient of a converged inner problem, without a way back through its steps (Rajeswaran et al. 2019)."""

from __future__ import annotations

from dataclasses import dataclass

from hfmeta.algorithms.base import Algorithm, refuse_options_of_the_path
from hfmeta.inner.errors import HfmetaError
from hfmeta.inner.modes import GradientMode, Implicit


@dataclass
class ImplicitMaml(Algorithm):
    """Inner steps on L(phi) + lam / 2 |phi - theta|^2, then (I + H / lam)^-1 times the query gradient, by conjugate gradients.

    The gradient is that of the problem's solution, so it is as exact as the inner steps are close to it. Memory does not grow with
    their number. Tensors that do not adapt get their exact gradient too. Rates are fixed: they do not move a solution.

    Args (besides those of `Algorithm`; the defaults are the authors' for Omniglot at 5 ways, on mean losses):
        lam: weight of the proximal term.
        test_lam: the same in evaluation and `adapt` (None: `lam`; the authors test with 0).
        proximal: `every_step`: the term is part of every inner step; `last`: the inner steps leave it out and one step on it alone
            follows them (the authors' code), which is not the problem whose gradient is taken.
        cg_steps: conjugate gradient steps, one Hessian-vector product each.
        damping: added to the operator, which is (1 + damping) I + H / lam.
    """

    inner_steps: int = 16
    inner_lr: float = 0.1
    lam: float = 2.0
    test_lam: float | None = None
    proximal: str = "every_step"
    cg_steps: int = 5
    damping: float = 0.0

    def __post_init__(self) -> None:
        """Check every option; see the class for their meaning."""
        super().__post_init__()
        refuse_options_of_the_path(self, 2)
        for name, plain, why in (
            ("inner_batch_size", None, "the Hessian is that of the whole support set's loss"),
            ("inner_l1", 0.0, "the inner problem must be smooth"),
        ):
            if getattr(self, name) != plain:
                raise HfmetaError(
                    f"ImplicitMaml: {name}={getattr(self, name)!r} cannot be had, since {why}. Leave it out."
                )
        if self.proximal not in ("every_step", "last"):
            raise HfmetaError(f"ImplicitMaml: proximal must be 'every_step' or 'last', not {self.proximal!r}.")
        if self.test_lam is not None and not 0 <= self.test_lam < float("inf"):
            raise HfmetaError(f"ImplicitMaml: test_lam must be zero or more, not {self.test_lam!r}.")
        self._implicit()

    def gradient_mode(self, progress: float = 1.0, track: bool = False, training: bool = False) -> GradientMode:
        """Implicit; the proximal term with its weight in training or in evaluation."""
        lam = self.lam if training or self.test_lam is None else self.test_lam
        last = self.proximal == "last"
        return GradientMode(track=track, implicit=self._implicit(), pull=lam, pull_last=last)

    @property
    def meta_gradient(self) -> str:
        """`implicit`."""
        return "implicit"

    def _implicit(self) -> Implicit:
        return Implicit(self.lam, self.cg_steps, self.damping)
