"""A Gaussian policy whose values may differ from task to task: positions to actions, and the likelihood of actions."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from hfmeta.inner.errors import HfmetaError
from hfmeta.inner.types import Params

LEAST_LOG_STD = math.log(1e-6)


class GaussianPolicy(nn.Module):
    """A perceptron with ReLU that gives the mean of an action, and a standard deviation that depends on nothing.

    The module holds the meta-learned start; calls take stacked values, so that every task acts by its own.

    Args:
        state_size: numbers of a state.
        action_size: numbers of an action, A.
        hidden_sizes: width of every hidden layer; 100 and 100 in the MAML paper.
        initial_std: where the standard deviation starts, in units of an action.
        seed: of the drawn weights (uniform by Glorot; biases zero; the last layer a hundredth of that, so that a fresh
            policy leans nowhere).

    Raises:
        HfmetaError: a size below 1, or a standard deviation that is not positive.
    """

    def __init__(
        self,
        state_size: int = 2,
        action_size: int = 2,
        hidden_sizes: Sequence[int] = (100, 100),
        initial_std: float = 1.0,
        seed: int = 0,
    ):
        super().__init__()
        sizes = [state_size, *hidden_sizes, action_size]
        if min(sizes) < 1 or not 0 < initial_std < math.inf:
            raise HfmetaError(
                f"a policy needs sizes of at least 1 and a positive standard deviation; received {sizes} and {initial_std}."
            )
        draw = torch.Generator().manual_seed(seed)
        self.weights, self.biases = nn.ParameterList(), nn.ParameterList()
        for number, (entering, leaving) in enumerate(zip(sizes[:-1], sizes[1:], strict=True), start=1):
            bound = math.sqrt(6 / (entering + leaving)) * (0.01 if number == len(sizes) - 1 else 1.0)
            self.weights.append(nn.Parameter((2 * torch.rand(entering, leaving, generator=draw) - 1) * bound))
            self.biases.append(nn.Parameter(torch.zeros(leaving)))
        self.log_std = nn.Parameter(torch.full((action_size,), math.log(initial_std)))

    def theta(self) -> dict[str, Tensor]:
        """The module's own values by name, without a task dimension."""
        return dict(self.named_parameters())

    def forward(self, params: Params, states: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and logarithm of the standard deviation of the actions.

        Args:
            params: `[T, ...]` each, by the names of `theta`.
            states: `[T, ..., state_size]`.

        Returns:
            The mean `[T, ..., A]` and the logarithm `[T, 1, ..., A]`.
        """
        tasks, last = len(states), len(self.weights) - 1
        hidden = states.reshape(tasks, -1, states.shape[-1])
        for layer in range(last + 1):
            hidden = torch.baddbmm(params[f"biases.{layer}"].unsqueeze(1), hidden, params[f"weights.{layer}"])
            hidden = hidden if layer == last else hidden.relu()
        log_std = params["log_std"].clamp(min=LEAST_LOG_STD)
        log_std = log_std.reshape(tasks, *[1] * (states.dim() - 2), -1)
        return hidden.reshape(*states.shape[:-1], -1), log_std

    def log_prob(self, params: Params, states: Tensor, actions: Tensor) -> Tensor:
        """Logarithm of the density of actions, in nats.

        Args:
            params: `[T, ...]` each.
            states: `[T, ..., state_size]`.
            actions: `[T, ..., A]`.

        Returns:
            `[T, ...]`.
        """
        mean, log_std = self(params, states)
        scaled = (actions - mean) * (-log_std).exp()
        return (-0.5 * scaled.square() - log_std - 0.5 * math.log(2 * math.pi)).sum(-1)
