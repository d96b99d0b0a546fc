"""Reptile: move the start towards where the inner loop ends (Nichol, Achiam, Schulman 2018, algorithm 2)."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor, nn

from hfmeta.algorithms.base import Algorithm, refuse_options_of_the_path
from hfmeta.inner.errors import HfmetaError
from hfmeta.inner.modes import GradientMode
from hfmeta.inner.rules import Adam, Sgd


@dataclass
class Reptile(Algorithm):
    """The outer gradient is mean(theta - phi): with plain SGD of rate eps outside (`optim="sgd"`), theta += eps * mean(phi - theta).

    In training the query set gives the loss in the log and nothing else. `inner_batch_size` makes an inner step on each portion of
    the support set; `inner_steps` then counts passes over it. With Adam inside, the second moments start anew for each task; the
    authors carry them from task to task, which would make a task's result depend on those before it, and on the process it runs in.

    Args (besides those of `Algorithm`):
        optimiser: of the inner loop: `adam` without a first moment, as the authors', or `sgd`.
        beta2: decay of Adam's second moment.
    """

    inner_steps: int = 5
    inner_lr: float = 1e-3
    order: int = 1
    optimiser: str = "adam"
    beta2: float = 0.999

    def __post_init__(self) -> None:
        """Check every option; see the class for their meaning."""
        super().__post_init__()
        refuse_options_of_the_path(self, 1)
        if self.optimiser not in ("adam", "sgd"):
            raise HfmetaError(f"Reptile: optimiser must be 'adam' or 'sgd', not {self.optimiser!r}.")
        if not 0 <= self.beta2 < 1:
            raise HfmetaError(f"Reptile: beta2 is a number from 0 up to, not including, 1, not {self.beta2!r}.")
        if self.head == "prototype":
            raise HfmetaError(
                'Reptile: head="prototype" makes the head from features, and the start cannot move to where a made head ended. Use '
                'head="shared" or "zero".'
            )

    def rule(self, theta: dict[str, Tensor]) -> nn.Module:
        """Adam without a first moment, or gradient descent."""
        adam = self.optimiser == "adam"
        return self.wrap(Adam(self.inner_lr, (0.0, self.beta2)) if adam else Sgd(theta, self.inner_lr))

    def gradient_mode(self, progress: float = 1.0, track: bool = False, training: bool = False) -> GradientMode:
        """The difference of start and end."""
        return GradientMode(track=track, difference=True)

    @property
    def meta_gradient(self) -> str:
        """`difference`."""
        return "difference"
