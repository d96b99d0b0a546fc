"""Storage of pruned tensors: the kept values under the tensor's own name, and one bit per entry under that name +
`_bits`.

A tensor of n entries, k of them kept, takes k values and n/8 bytes. Zeros of either sign come back as +0, which no sum
can tell apart. Not here: which entries are pruned (adapters/pruning); a pruned entry is one that is exactly zero.
"""

from __future__ import annotations

import torch
from torch import Tensor

from hfmeta.adapters.pruning.bits import pack, packed_size, unpack
from hfmeta.inner.errors import HfmetaError

BITS = "_bits"


def pack_sparse(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Replace every matrix that takes less room that way by its kept values [k] and its bits, uint8 [ceil(n / 8)], row by row."""
    packed: dict[str, Tensor] = {}
    for name, value in state.items():
        kept = value.detach() != 0
        count, entries = int(kept.sum()), value.numel()
        smaller = count * value.element_size() + packed_size(value.shape) < entries * value.element_size()
        if value.dim() != 2 or not smaller:
            packed[name] = value
            continue
        packed[name] = value.detach()[kept].contiguous()
        packed[name + BITS] = torch.from_numpy(pack(kept[None])[0])
    return packed


def unpack_sparse(state: dict[str, Tensor], shapes: dict[str, torch.Size]) -> dict[str, Tensor]:
    """Put the matrices together again that `pack_sparse` took apart.

    Args:
        state: tensors by name.
        shapes: what shape the tensors have where they go; names that it lacks are left as they are.

    Raises:
        HfmetaError: bits and values that do not belong to each other, or to a tensor of that shape.
    """
    found = dict(state)
    for name in [name for name in state if name.endswith(BITS) and name.removesuffix(BITS) in shapes]:
        own = name.removesuffix(BITS)
        bits, values, shape = found.pop(name), found.get(own), shapes[own]
        fits = bits.dtype == torch.uint8 and tuple(bits.shape) == (packed_size(shape),)
        kept = unpack(bits.cpu().numpy()[None], shape)[0] if fits else None
        if values is None or kept is None or values.dim() != 1 or int(kept.sum()) != len(values):
            stored = "no values" if values is None else f"{values.numel()} values"
            raise HfmetaError(
                f"the sparse tensor {own} does not fit its place of shape {tuple(shape)}: {stored} and "
                f"{bits.numel()} bytes of bits. The file is damaged, or the adapter belongs to another base model."
            )
        dense = torch.zeros(shape, dtype=values.dtype, device=values.device)
        dense[kept.to(values.device)] = values
        found[own] = dense
    return found
