"""The LSTM meta-learner: a recurrent network learns how a gradient moves the values (Ravi and Larochelle 2017).

Here: its options. The rule itself: hfmeta.inner.rules.lstm. The network of the paper, with its running statistics: hfmeta-conv4.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor, nn

from hfmeta.algorithms.base import Algorithm
from hfmeta.inner.errors import HfmetaError
from hfmeta.inner.rules import Lstm


@dataclass
class LstmMetaLearner(Algorithm):
    """Values that step as the cell state of an LSTM: a learned input gate for the gradient, a learned forget gate for the values.

    The rule is shared by all adapted scalars and has 2,046 numbers whatever the model. Its cell starts (the paper's c_0) at the
    learner's own adapted tensors. With the forget gate at one and the input gate at alpha it is gradient descent.

    Args (besides those of `Algorithm`, where the paper's values are the defaults here):
        inner_steps: K; 12 for one shot, 8 for five in the authors' code (5 in the paper). More steps in a test are allowed, and said.
        inner_lr: where the input gate starts, between 0 and 1: its bias is drawn within 0.5 of logit(inner_lr), from -5 to -4 at the
            default, as in the paper.
        order: 1, as in the paper, takes losses and gradients as constants: what is differentiated is the way through the gates and the
            values. 2 is the exact gradient.
        forget_bias: where the forget gate starts: its bias is drawn within 0.5 of this; 4.5 keeps about 0.99 of a value at each step.
        hidden_size: width of the rule's first layer.
        gradient_divisor: what the gradient of the mean loss is divided by before the rule sees it. The authors' code divides by the
            size of the support set (5 or 25), a second time; the paper does not say so.
        seed: draws what the rule starts from.
    """

    inner_steps: int = 12
    inner_lr: float = 0.011
    order: int = 1
    forget_bias: float = 4.5
    hidden_size: int = 20
    gradient_divisor: float = 1.0
    seed: int = 0

    def __post_init__(self) -> None:
        """Check every option; see the class for their meaning."""
        super().__post_init__()
        problems = []
        if not self.inner_lr < 1:
            problems.append(f"inner_lr is where the input gate starts, below 1, not {self.inner_lr!r}")
        if not abs(self.forget_bias) < float("inf"):
            problems.append(f"forget_bias must be a finite number, not {self.forget_bias!r}")
        if not isinstance(self.hidden_size, int) or self.hidden_size < 1:
            problems.append(f"hidden_size must be a whole number of at least 1, not {self.hidden_size!r}")
        if not 0 < self.gradient_divisor < float("inf"):
            problems.append(f"gradient_divisor must be a positive number, not {self.gradient_divisor!r}")
        if not isinstance(self.seed, int):
            problems.append(f"seed must be a whole number, not {self.seed!r}")
        if problems:
            raise HfmetaError(f"{type(self).__name__}: " + "; ".join(problems) + ".")

    def rule(self, theta: dict[str, Tensor]) -> nn.Module:
        """The LSTM, with the wrappers that the options ask for."""
        return self.wrap(
            Lstm(theta, self.inner_lr, self.hidden_size, self.forget_bias, self.gradient_divisor, self.seed)
        )
