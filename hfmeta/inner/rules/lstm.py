"""A learned rule: an LSTM whose cell state is the adapted values and whose candidate is their negative gradient.

    theta_t = sigmoid(F_t) * theta_(t-1) - sigmoid(I_t) * gradient_t                (Ravi and Larochelle 2017, equation 2)

Every adapted scalar is a sequence of its own, and all of them share the 2,046 numbers of the rule. Of the two layers the first is an
ordinary LSTM (cell.py), the second the line above. As in the authors' code the second layer is fed its own last F and I before their
sigmoid, where the paper shows the gates. Where the values start (the paper's c_0) is not the rule's: it is the learner's theta.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from hfmeta.inner.errors import HfmetaError
from hfmeta.inner.rules.cell import lstm_cell
from hfmeta.inner.types import Params

P = 10.0
"""The p of `preprocess`."""
LIMIT = 1e4
"""Bound on the fed back F and I: far into saturation, and a weight of zero times it is zero."""
Gates = Callable[[Tensor, Tensor], None]


def preprocess(values: Tensor) -> tuple[Tensor, Tensor]:
    """Size and sign of numbers of any magnitude (Andrychowicz et al. 2016, appendix A).

    (ln|v| / p, sign v) where |v| is at least e^-p, else (-1, e^p v), with p = 10; both are (-1, ±1) at the border.

    Args:
        values: any shape.

    Returns:
        two tensors of that shape.
    """
    size = values.abs()
    large = size >= math.exp(-P)
    # The logarithm of what the other branch takes is never formed: its derivative would be infinite.
    logarithm = torch.where(large, size, torch.ones_like(size)).log() / P
    sign = torch.where(large, values.sign(), values * math.exp(P))
    return torch.where(large, logarithm, -torch.ones_like(size)), sign


class Lstm(nn.Module):
    """The two-layer meta-learner of Ravi and Larochelle, shared by all coordinates.

    What it learns is kept and computed in single precision at least. Memory: the state of a task is `2 hidden_size + 2` numbers per
    adapted scalar, and a step that is differentiated keeps about as much again.

    Args:
        theta: the adapted tensors, by name, without the task dimension; give type and device.
        lr: where the input gate starts, below 1: its bias is drawn within 0.5 of logit(lr); the paper's -5 to -4 is 0.011.
        hidden_size: width of the first layer.
        forget_bias: where the forget gate starts: its bias is drawn within 0.5 of this.
        gradient_divisor: what a mean gradient is divided by before anything else sees it.
        seed: draws what the rule starts from, weights uniform within 0.01.

    Raises:
        HfmetaError: a rate outside (0, 1), a width below 1, or a divisor that is not positive.
    """

    def __init__(
        self,
        theta: dict[str, Tensor],
        lr: float = 0.011,
        hidden_size: int = 20,
        forget_bias: float = 4.5,
        gradient_divisor: float = 1.0,
        seed: int = 0,
    ):
        super().__init__()
        if not 0 < lr < 1:
            raise HfmetaError(f"inner_lr is where the input gate starts, between 0 and 1, not {lr!r}.")
        if hidden_size < 1:
            raise HfmetaError(f"hidden_size must be at least 1, not {hidden_size!r}.")
        if not 0 < gradient_divisor < float("inf"):
            raise HfmetaError(f"gradient_divisor must be a positive number, not {gradient_divisor!r}.")
        self.hidden_size, self.gradient_divisor = hidden_size, gradient_divisor
        like = next(iter(theta.values()))
        dtype = torch.promote_types(like.dtype, torch.float32)
        dice = torch.Generator().manual_seed(seed)

        def drawn(*shape: int, around: float = 0.0, within: float = 0.01) -> nn.Parameter:
            uniform = 2 * torch.rand(shape, generator=dice, dtype=torch.float64) - 1
            return nn.Parameter((around + within * uniform).to(like.device, dtype))

        d = hidden_size
        self.cell_weight, self.cell_bias = drawn(4 * d, 4 + d), drawn(4 * d)
        self.forget_weight, self.input_weight = drawn(d + 2), drawn(d + 2)
        self.forget_bias = drawn(1, around=forget_bias, within=0.5)
        self.input_bias = drawn(1, around=math.log(lr / (1 - lr)), within=0.5)

    @property
    def dtype(self) -> torch.dtype:
        """What it computes in."""
        return self.cell_weight.dtype

    def start(self, params: Params) -> dict[str, Tensor]:
        """States of zero: `h` and `c` of the first layer `[T, d, P]`, and `forget` and `input`, the second's F and I, `[T, P]`."""
        first = next(iter(params.values()))
        tasks, scalars = first.shape[0], sum(value[0].numel() for value in params.values())
        deep, flat = (tasks, self.hidden_size, scalars), (tasks, scalars)
        shapes = {"h": deep, "c": deep, "forget": flat, "input": flat}
        return {name: torch.zeros(shape, dtype=self.dtype, device=first.device) for name, shape in shapes.items()}

    def forward(
        self, params: Params, grads: Params, losses: Tensor, state: dict[str, Tensor]
    ) -> tuple[Params, dict[str, Tensor]]:
        """One step of all coordinates of all tasks; `[T, ...]` throughout, losses `[T]`."""
        # Half precision would take the logarithm of a gradient that it has no digits for.
        with torch.autocast(losses.device.type, enabled=False):
            theta, grad = self._flat(params), self._flat(grads) / self.gradient_divisor
            of_loss = [part.unsqueeze(1).expand_as(grad) for part in preprocess(losses.to(self.dtype))]
            x = torch.stack([*of_loss, *preprocess(grad)], 1)
            h, c = lstm_cell(x, state["h"], state["c"], self.cell_weight, self.cell_bias)
            forget = self._gate(self.forget_weight, self.forget_bias, h, theta, state["forget"])
            enter = self._gate(self.input_weight, self.input_bias, h, theta, state["input"])
            moved = torch.sigmoid(forget) * theta - torch.sigmoid(enter) * grad
        return self._shaped(moved, params), {"h": h, "c": c, "forget": forget, "input": enter}

    def _gate(self, weight: Tensor, bias: Tensor, h: Tensor, theta: Tensor, last: Tensor) -> Tensor:
        """F or I: W [h ; theta ; last] + b, `[T, P]`."""
        d = self.hidden_size
        return torch.matmul(weight[:d], h) + weight[d] * theta + weight[d + 1] * last.clamp(-LIMIT, LIMIT) + bias

    def _flat(self, values: Params) -> Tensor:
        return torch.cat([value.reshape(len(value), -1) for value in values.values()], 1).to(self.dtype)

    def _shaped(self, flat: Tensor, like: Params) -> Params:
        parts = flat.split([value[0].numel() for value in like.values()], 1)
        return {
            name: part.reshape(value.shape).to(value.dtype)
            for (name, value), part in zip(like.items(), parts, strict=True)
        }

    def gates(self, state: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
        """The input and the forget gate of the step that led to a state, `[T, P]` each, in the order of the adapted tensors."""
        return torch.sigmoid(state["input"].detach()), torch.sigmoid(state["forget"].detach())

    def summary(self) -> dict[str, float]:
        """Both gates of a coordinate at rest, that is by their biases alone; what they really were is measured by the learner."""
        return {
            "input_gate_at_rest": torch.sigmoid(self.input_bias.detach()).item(),
            "forget_gate_at_rest": torch.sigmoid(self.forget_bias.detach()).item(),
        }


def gated_modules(rule: nn.Module) -> list[nn.Module]:
    """The modules of a rule, itself or what it wraps, that have `gates(state)`."""
    return [module for module in rule.modules() if hasattr(module, "gates")]


@contextmanager
def watched_gates(rule: nn.Module, see: Gates) -> Iterator[None]:
    """Within this context `see(input, forget)` is called with the gates `[T, P]` of every step of a rule that has gates.

    Args:
        rule: a module with `gates(state)`, or a wrapper of one; of a rule without gates nothing is seen.
        see: is given the gates; a step that is recomputed is seen again.
    """

    def hook(module: Any, _: Any, result: tuple[Params, Any]) -> None:
        see(*module.gates(result[1]))

    handles = [module.register_forward_hook(hook) for module in gated_modules(rule)]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()
