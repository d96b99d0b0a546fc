"""How the tensors of the task gate are drawn, as in the authors' code: Glorot-uniform, truncated normals, constants."""

from __future__ import annotations

from typing import TypedDict

import torch
from torch import Tensor, nn


class Like(TypedDict):
    """Type and device of the tensors to make."""

    dtype: torch.dtype
    device: torch.device


def like(tensor: Tensor) -> Like:
    """The type and device of a tensor."""
    return {"dtype": tensor.dtype, "device": tensor.device}


def glorot(shape: tuple[int, ...], fan_in: int, fan_out: int, where: Like) -> nn.Parameter:
    """Uniform within sqrt(6 / (fan_in + fan_out)) (Glorot and Bengio 2010, equation 16)."""
    limit = (6 / (fan_in + fan_out)) ** 0.5
    return nn.Parameter(torch.empty(shape, **where).uniform_(-limit, limit))


def normal(shape: tuple[int, ...], std: float, where: Like) -> nn.Parameter:
    """Normal, cut at two standard deviations."""
    return nn.Parameter(nn.init.trunc_normal_(torch.empty(shape, **where), std=std, a=-2 * std, b=2 * std))


def constant(shape: tuple[int, ...], value: float, where: Like) -> nn.Parameter:
    """The same value everywhere."""
    return nn.Parameter(torch.full(shape, value, **where))


class Dense(nn.Module):
    """`x W + b`: Glorot-uniform kernel `[inputs, outputs]`, constant bias.

    Args:
        inputs, outputs: widths.
        where: type and device.
        bias: initial value of the bias.
    """

    def __init__(self, inputs: int, outputs: int, where: Like, bias: float = 0.0):
        super().__init__()
        self.weight = glorot((inputs, outputs), inputs, outputs, where)
        self.bias = constant((outputs,), bias, where)

    def forward(self, x: Tensor) -> Tensor:
        """`[..., inputs]` to `[..., outputs]`."""
        return x @ self.weight + self.bias
