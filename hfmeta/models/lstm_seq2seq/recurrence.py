"""One LSTM layer over a padded batch: fast where one derivative is enough, exact where two are needed.

torch's fused LSTM kernels (oneDNN, cuDNN) have no second derivative. So a layer runs the fused kernel, and its backward pass does
too unless it is itself to be differentiated (`create_graph=True`): then it runs the layer again as a loop of ordinary operations.
Under torch.func transforms, which the fused kernels do not support, the loop serves throughout. This file is the only place where
that choice is made. Not here: embedding, dropout and the stack of layers (`encoder.py`).
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from transformers import initialization as init

HELD = 1e4
"""Added to (taken from) a gate's input to open (close) it: the sigmoid of it is exactly 1 (0), and its slope exactly 0."""


class LstmLayer(nn.Module):
    """A unidirectional LSTM layer with zero initial state; padded positions leave the state as it is.

    Its gates are in the order input, forget, cell, output, and its tensors are named and shaped as in `nn.LSTMCell`. They belong to
    the kernel rather than to linear modules of their own, so no adapter of linear layers can claim them and go unheard.

    Args:
        input_size: width of what enters (E).
        hidden_size: width of the state (H).
    """

    def __init__(self, input_size: int, hidden_size: int):
        super().__init__()
        self.weight_ih = nn.Parameter(torch.empty(4 * hidden_size, input_size))
        self.weight_hh = nn.Parameter(torch.empty(4 * hidden_size, hidden_size))
        self.bias_ih = nn.Parameter(torch.empty(4 * hidden_size))
        self.bias_hh = nn.Parameter(torch.empty(4 * hidden_size))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw all tensors as `nn.LSTM` does: uniform within 1 / sqrt(H)."""
        bound = 1 / math.sqrt(self.weight_hh.shape[1])
        for value in self.parameters():
            init.uniform_(value, -bound, bound)

    def forward(self, x: Tensor, mask: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Read a batch of sequences.

        Args:
            x: [B, L, E].
            mask: [B, L], true where there is a token; None: everywhere.

        Returns:
            the outputs [B, L, H], which mean nothing at padded positions, and the cell state after the last token [B, H].
        """
        weights = (self.weight_ih, self.weight_hh, self.bias_ih, self.bias_hh)
        x = x.to(self.weight_ih.dtype)
        with torch.autocast(x.device.type, enabled=False):
            if torch._C._are_functorch_transforms_active() or (mask is not None and _has_gaps(mask)):
                return looped_lstm(x, mask, *weights)
            if not torch.is_grad_enabled():
                return fused_lstm(x, mask, *weights)
            outputs, cell = _FusedOnceLoopedTwice.apply(x, mask, *weights)
        return outputs, cell

    def extra_repr(self) -> str:
        """What is shown beside the class name when a model is printed."""
        return f"{self.weight_ih.shape[1]}, {self.weight_hh.shape[1]}"


def looped_lstm(
    x: Tensor, mask: Tensor | None, weight_ih: Tensor, weight_hh: Tensor, bias_ih: Tensor, bias_hh: Tensor
) -> tuple[Tensor, Tensor]:
    """An LSTM layer as a loop over time of ordinary operations: differentiable any number of times, and under vmap.

    Args:
        x: [B, L, E].
        mask: [B, L] bool, or None.
        weight_ih: [4H, E].
        weight_hh: [4H, H].
        bias_ih: [4H].
        bias_hh: [4H].

    Returns:
        outputs [B, L, H] and the last cell state [B, H].
    """
    into_gates = functional.linear(x, weight_ih, bias_ih + bias_hh).transpose(0, 1).contiguous()
    state = cell = into_gates.new_zeros(x.shape[0], weight_hh.shape[1])
    outputs = []
    for t, from_input in enumerate(into_gates.unbind(0)):
        new_state, new_cell = lstm_cell(torch.addmm(from_input, state, weight_hh.t()), cell)
        state, cell = held((new_state, new_cell), (state, cell), None if mask is None else mask[:, t])
        outputs.append(state)
    return torch.stack(outputs, 1), cell


def lstm_cell(gates: Tensor, cell: Tensor) -> tuple[Tensor, Tensor]:
    """One step of an LSTM: from the inputs of its gates [B, 4H] and its cell state [B, H] to the new state and cell state."""
    opened, kept, new, shown = gates.chunk(4, -1)
    cell = torch.sigmoid(kept) * cell + torch.sigmoid(opened) * torch.tanh(new)
    return torch.sigmoid(shown) * torch.tanh(cell), cell


def held(new: tuple[Tensor, Tensor], old: tuple[Tensor, Tensor], is_token: Tensor | None) -> tuple[Tensor, Tensor]:
    """The new states [B, H] in the rows that read a token (`is_token` [B], bool; None: all), the old ones in the others."""
    if is_token is None:
        return new
    return torch.where(is_token[:, None], new[0], old[0]), torch.where(is_token[:, None], new[1], old[1])


def fused_lstm(
    x: Tensor, mask: Tensor | None, weight_ih: Tensor, weight_hh: Tensor, bias_ih: Tensor, bias_hh: Tensor
) -> tuple[Tensor, Tensor]:
    """The same layer by torch's kernel, for masks whose tokens are contiguous in every row; once differentiable.

    The kernel returns the cell state of the last position only and knows no mask. A further input, 1 at padding, opens the forget
    gate and closes the input gate there: the cell state passes through padding after the tokens, and stays zero, and so does the
    output, in padding before them.
    """
    if mask is not None:
        x = torch.cat([x, (~mask).unsqueeze(-1).to(x.dtype)], -1)
        gates = x.new_zeros(4, weight_hh.shape[1])
        gates[0], gates[1] = -HELD, HELD
        weight_ih = torch.cat([weight_ih, gates.view(-1, 1)], 1)
    start = x.new_zeros(1, x.shape[0], weight_hh.shape[1])
    weights = (weight_ih, weight_hh, bias_ih, bias_hh)
    keeps_for_backward = torch.is_grad_enabled()
    outputs, _, cell = torch.lstm(x, (start, start), weights, True, 1, 0.0, keeps_for_backward, False, True)
    return outputs, cell[0]


def _has_gaps(mask: Tensor) -> bool:
    """Whether padding stands between the tokens of any row."""
    starts = mask[:, 1:] & ~mask[:, :-1]
    return bool((starts.sum(1) + mask[:, 0] > 1).any())


class _FusedOnceLoopedTwice(torch.autograd.Function):
    """`fused_lstm`, whose gradient is that kernel's, or the loop's where the gradient is to be differentiated in turn."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, mask: Tensor | None, *weights: Tensor) -> tuple[Tensor, Tensor]:
        """The fused kernel's results, its graph kept aside."""
        ctx.mask = mask
        ctx.save_for_backward(x, *weights)
        with torch.enable_grad():
            ctx.inner = [value.detach().requires_grad_(value.requires_grad) for value in (x, *weights)]
            ctx.results = fused_lstm(ctx.inner[0], mask, *ctx.inner[1:])
        return ctx.results[0].detach(), ctx.results[1].detach()

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        """The kernel's gradient, or the loop's under create_graph."""
        twice = torch.is_grad_enabled()  # backward passes run with gradients enabled under create_graph only
        with torch.autocast(gradients[0].device.type, enabled=False):
            if twice:
                # Aliases: a gradient with respect to what enters here, whatever else of the graph depends on it.
                inner = [value.view_as(value) for value in ctx.saved_tensors]
                results = looped_lstm(inner[0], ctx.mask, *inner[1:])
            else:
                inner, results = ctx.inner, ctx.results
            wanted = [value for value in inner if value.requires_grad]
            found = iter(torch.autograd.grad(results, wanted, gradients, retain_graph=True, create_graph=twice))
        first, *others = [next(found) if value.requires_grad else None for value in inner]
        return (first, None, *others)
