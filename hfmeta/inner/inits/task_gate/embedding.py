"""Auto-encoders that turn the rows of a support set into one vector g, `[T, d]`, and say how well they can be told from it.

A recurrent one (section 4.1 of Yao et al. 2019, equations 2 to 4) and a pooled one; sizes, means and initial values are those of the
authors' code. Not here: how a row becomes a vector (rows.py).
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from hfmeta.inner.inits.task_gate.initial import Dense, Like, constant, glorot, normal


class Gru(nn.Module):
    """A gated recurrent cell whose reset gate acts before the product: c = tanh(x V + (r * h) U + b), h' = u * h + (1 - u) * c.

    torch's own cell resets after the product and keeps (1 - u) of the state instead.

    Args:
        inputs, size: widths of x and h.
        where: type and device.
    """

    def __init__(self, inputs: int, size: int, where: Like):
        super().__init__()
        self.size = size
        # Reset gate, update gate and candidate read x side by side; fans are those of the reference's joint kernels.
        gates = glorot((inputs + size, 2 * size), inputs + size, 2 * size, where)
        candidate = glorot((inputs + size, size), inputs + size, size, where)
        self.from_input = nn.Parameter(torch.cat([gates[:inputs], candidate[:inputs]], 1).detach())
        self.gates = nn.Parameter(gates[inputs:].detach().clone())
        self.candidate = nn.Parameter(candidate[inputs:].detach().clone())
        self.bias = nn.Parameter(torch.cat([torch.ones(2 * size, **where), torch.zeros(size, **where)]))

    def read(self, x: Tensor) -> Tensor:
        """What the input adds before the nonlinearities, `[..., 3 d]`: for all steps at once where x is known."""
        return x @ self.from_input + self.bias

    def forward(self, read: Tensor, state: Tensor) -> Tensor:
        """The next state `[T, d]` from `read(x)` `[T, 3 d]`."""
        gates = torch.sigmoid(torch.addmm(read[:, : 2 * self.size], state, self.gates))
        reset, update = gates[:, : self.size], gates[:, self.size :]
        candidate = torch.tanh(torch.addmm(read[:, 2 * self.size :], reset * state, self.candidate))
        return torch.lerp(candidate, state, update)


class RecurrentEmbedding(nn.Module):
    """g is the mean of a GRU's states over the rows in their order; a second GRU tells the rows backwards from the last state.

    Args:
        width: numbers of a row.
        mapped: width of a linear layer before the encoder, whose output is then what is to be told; None: no such layer.
        size: d.
        decode: whether reconstruction is wanted.
        where: type and device.
    """

    sees_order = True

    def __init__(self, width: int, mapped: int | None, size: int, decode: bool, where: Like):
        super().__init__()
        self.map = None if mapped is None else Dense(width, mapped, where)
        width = width if mapped is None else mapped
        self.encoder = Gru(width, size, where)
        self.decoder = Gru(width, size, where) if decode else None
        if decode:
            self.tell = normal((size, width), 1.0, where)
            self.tell_bias = constant((width,), 0.1, where)

    def forward(self, rows: Tensor, real: Tensor | None) -> tuple[Tensor, Tensor | None]:
        """g `[T, d]` and the mean squared error of the reconstruction `[T]`.

        Args:
            rows: `[T, S, width]`.
            real: which rows are no padding, `[T, S]`, padding last; None: all.
        """
        if self.map is not None:
            rows = self.map(rows)
        state = rows.new_zeros(rows.shape[0], self.encoder.size)
        states = []
        for place, read in enumerate(self.encoder.read(rows).unbind(1)):
            after = self.encoder(read, state)
            state = after if real is None else torch.where(real[:, place, None], after, state)
            states.append(state)
        g = _mean(torch.stack(states, 1), real)
        return g, None if self.decoder is None else _error(
            self._told(state, rows.shape[1]), _backwards(rows, real), real
        )

    def _told(self, state: Tensor, steps: int) -> Tensor:
        """The rows as the decoder tells them, last row first, `[T, S, width]`."""
        assert self.decoder is not None
        told = []
        x = state.new_zeros(state.shape[0], self.tell.shape[1])
        for _ in range(steps):
            state = self.decoder(self.decoder.read(x), state)
            x = torch.addmm(self.tell_bias, state, self.tell)
            told.append(x)
        return torch.stack(told, 1)


class PooledEmbedding(nn.Module):
    """Each row is encoded alone; g is a dense layer of the mean, or the maximum, of the codes. The order of the rows does not count.

    Args:
        width: numbers of a row.
        inner: width of the layer between a row and its code.
        size: d.
        pool: `mean` or `max`.
        decode: whether reconstruction is wanted.
        where: type and device.
    """

    sees_order = False

    def __init__(self, width: int, inner: int, size: int, pool: str, decode: bool, where: Like):
        super().__init__()
        self.pool = pool
        self.encode, self.code = Dense(width, inner, where), Dense(inner, size, where)
        self.out = Dense(size, size, where)
        self.decode = Dense(size, inner, where) if decode else None
        self.tell = Dense(inner, width, where) if decode else None

    def forward(self, rows: Tensor, real: Tensor | None) -> tuple[Tensor, Tensor | None]:
        """g `[T, d]` and half the mean squared error of the reconstruction `[T]`; see `RecurrentEmbedding`."""
        codes = F.relu(self.code(F.relu(self.encode(rows))))
        if self.pool == "mean":
            pooled = _mean(codes, real)
        else:
            # Codes are not negative, so a padded row at zero is never the maximum of a set that has a row.
            pooled = (codes if real is None else codes * real.unsqueeze(-1)).amax(1)
        g = F.relu(self.out(pooled))
        if self.decode is None or self.tell is None:
            return g, None
        return g, 0.5 * _error(self.tell(F.relu(self.decode(codes))), rows, real)


def _mean(values: Tensor, real: Tensor | None) -> Tensor:
    """Mean over rows, `[T, S, d]` to `[T, d]`."""
    if real is None:
        return values.mean(1)
    return (values * real.unsqueeze(-1)).sum(1) / real.sum(1, keepdim=True).clamp_min(1)


def _error(told: Tensor, rows: Tensor, real: Tensor | None) -> Tensor:
    """Mean squared error over rows and numbers, `[T]`."""
    return _mean((told - rows).square(), real).mean(1)


def _backwards(rows: Tensor, real: Tensor | None) -> Tensor:
    """The rows of each set, last one first; padding stays at the end."""
    if real is None:
        return rows.flip(1)
    counts = real.sum(1, keepdim=True)
    places = counts - 1 - torch.arange(rows.shape[1], device=rows.device)
    return rows.gather(1, places.clamp_min(0).unsqueeze(-1).expand_as(rows))
