"""Gates on the learned values, computed from a vector of the task: sigmoids between 0 and `scale` (Yao et al. 2019, equation 11)."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from hfmeta.inner.inits.task_gate.initial import Like, constant, glorot
from hfmeta.inner.types import Params


class Gates(nn.Module):
    """`scale * sigmoid(z W + b)` for every gated tensor: a dense layer each, in one matrix.

    Args:
        shapes: of each tensor's gates, which broadcast over the tensor: its own shape for a gate per element, ones for a gate per
            tensor.
        width: of z.
        scale: 1 as in the paper, where values start at half their size and can only shrink; 2 starts them near their own.
        where: type and device.
    """

    def __init__(self, shapes: Mapping[str, torch.Size | tuple[int, ...]], width: int, scale: float, where: Like):
        super().__init__()
        self.shapes = {name: tuple(shape) for name, shape in shapes.items()}
        self.sizes = [torch.Size(shape).numel() for shape in self.shapes.values()]
        self.scale = scale
        # Each tensor's layer is drawn by its own fan-out.
        blocks = [glorot((width, size), width, size, where).detach() for size in self.sizes]
        self.weight = nn.Parameter(torch.cat(blocks, 1))
        self.bias = constant((sum(self.sizes),), 0.0, where)

    def forward(self, z: Tensor) -> Params:
        """Gates `[T, ...]` by name from z `[T, width]`."""
        gates = self.scale * torch.sigmoid(torch.addmm(self.bias, z, self.weight))
        parts = zip(self.shapes.items(), gates.split(self.sizes, 1), strict=True)
        return {name: part.reshape(-1, *shape) for (name, shape), part in parts}


class Ones(nn.Module):
    """Gates frozen at one: what is left is the algorithm without them.

    Args:
        shapes: as of `Gates`.
    """

    def __init__(self, shapes: Mapping[str, torch.Size | tuple[int, ...]]):
        super().__init__()
        self.shapes = {name: tuple(shape) for name, shape in shapes.items()}

    def forward(self, z: Tensor) -> Params:
        """Ones `[T, ...]` by name for z `[T, width]`."""
        return {name: z.new_ones(z.shape[0], *shape) for name, shape in self.shapes.items()}
