"""One LSTM cell for very many small sequences at once: its step keeps its inputs alone, and its backward pass is written out.

Here: the arithmetic of the first layer of the LSTM meta-learner, where every adapted scalar is a sequence. Not here: what goes in and
what its hidden state decides (lstm.py).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

COLUMNS = {"cpu": 2048}
"""Columns taken at a time: on a CPU so many that their gates stay in its cache."""
MANY = 1 << 20


def lstm_cell(x: Tensor, h: Tensor, c: Tensor, weight: Tensor, bias: Tensor) -> tuple[Tensor, Tensor]:
    """One step of an LSTM shared by all columns (Hochreiter and Schmidhuber 1997, with forget gates).

    Gates are recomputed in the backward pass: of 8 numbers per hidden unit and column only `h` and `c` stay in memory. It can be
    differentiated once, which is all that an outer gradient asks of a rule: inner gradients do not pass through it.

    Args:
        x: inputs, `[T, m, P]`.
        h: hidden states, `[T, d, P]`.
        c: cell states, `[T, d, P]`.
        weight: `[4 d, m + d]`: rows of the input gate, the forget gate, the output gate and the candidate.
        bias: `[4 d]`, in the same order.

    Returns:
        the next `h` and `c`.
    """
    result: tuple[Tensor, Tensor] = _Cell.apply(x, h, c, weight, bias)
    return result


def _pieces(x: Tensor) -> Iterator[tuple[int, slice]]:
    """Task and columns of each piece of work: plain matrix products, several times faster than batched ones on a CPU."""
    size = COLUMNS.get(x.device.type, MANY)
    for task in range(x.shape[0]):
        for first in range(0, x.shape[2], size):
            yield task, slice(first, first + size)


def _inputs(x: Tensor, h: Tensor) -> Tensor:
    """Inputs, hidden states and a one for the bias, `[m + d + 1, columns]`."""
    return torch.cat([x, h, x.new_ones(1, x.shape[1])])


def _activated(inputs: Tensor, weight: Tensor, d: int) -> Tensor:
    """The three gates and the candidate of some columns, `[4 d, columns]`."""
    z = torch.mm(weight, inputs)
    z[: 3 * d].sigmoid_()
    z[3 * d :].tanh_()
    return z


class _Cell(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, h: Tensor, c: Tensor, weight: Tensor, bias: Tensor) -> tuple[Tensor, Tensor]:
        """The next h and c, piece by piece; gates are not kept."""
        ctx.save_for_backward(x, h, c, weight, bias)
        d, whole = h.shape[1], torch.cat([weight, bias.unsqueeze(1)], 1)
        next_h, next_c = torch.empty_like(h), torch.empty_like(c)
        for t, at in _pieces(x):
            i, f, o, g = _activated(_inputs(x[t, :, at], h[t, :, at]), whole, d).split(d)
            cell = f.mul_(c[t, :, at]).addcmul_(i, g)
            next_c[t, :, at] = cell
            torch.mul(o, cell.tanh_(), out=next_h[t, :, at])
        return next_h, next_c

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_h: Tensor, grad_c: Tensor) -> tuple[Tensor | None, ...]:
        """Gradients of what the cell read, its gates computed again."""
        x, h, c, weight, bias = ctx.saved_tensors
        m, d, whole = x.shape[1], h.shape[1], torch.cat([weight, bias.unsqueeze(1)], 1)
        to_x = torch.empty_like(x) if ctx.needs_input_grad[0] else None
        to_h, to_c, to_whole = torch.empty_like(h), torch.empty_like(c), torch.zeros_like(whole)
        for t, at in _pieces(x):
            inputs, before = _inputs(x[t, :, at], h[t, :, at]), c[t, :, at]
            z = _activated(inputs, whole, d)
            i, f, o, g = z.split(d)
            squashed = (f * before).addcmul_(i, g).tanh_()
            of_h = grad_h[t, :, at]
            of_c = torch.addcmul(grad_c[t, :, at], of_h * o, 1 - squashed.square())
            of_z = torch.cat([of_c * g, of_c * before, of_h * squashed, of_c * i])
            to_c[t, :, at] = of_c.mul_(f)
            of_z[: 3 * d].mul_(z[: 3 * d] - z[: 3 * d].square())
            of_z[3 * d :].mul_(1 - g.square())
            to_whole.addmm_(of_z, inputs.t())
            to_h[t, :, at] = torch.mm(weight[:, m:].t(), of_z)
            if to_x is not None:
                to_x[t, :, at] = torch.mm(weight[:, :m].t(), of_z)
        return to_x, to_h, to_c, to_whole[:, :-1], to_whole[:, -1]
