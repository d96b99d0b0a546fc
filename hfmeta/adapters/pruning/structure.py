"""Which tensors form a private network: stacks of linear layers and LoRA pairs, told by name. Not here: models, thresholds.

A task's structure is a dict `{tensor name: bool mask of the tensor's shape}`, with a leading `[T]` where tasks are stacked; this
file defines what such a dict is about, and checks that a dict of tensors fits.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from hfmeta.adapters.ids import nearest
from hfmeta.inner.errors import HfmetaError

Masks = dict[str, Tensor]

_LAYER = re.compile(r"(?P<prefix>.*\.|)layers\.(?P<index>\d+)\.(?P<kind>weight|bias)")
_LORA = re.compile(r"(?P<head>.*lora_(?:embedding_)?)(?P<side>[AB])(?P<tail>(?:\.[^.]+)?(?:\.weight)?)")


@dataclass(frozen=True)
class Stack:
    """The linear layers of one MLP, bottom (input side) to top.

    Args:
        layers: (weight name, bias name or None) of each layer; a weight is `[out, in]`, a bias `[out]`.
    """

    layers: tuple[tuple[str, str | None], ...]

    def __post_init__(self) -> None:
        if not self.layers:
            raise HfmetaError("a Stack needs at least one layer: (weight name, bias name or None), bottom to top.")

    @property
    def names(self) -> list[str]:
        """Every tensor of the stack, bottom to top."""
        return [name for layer in self.layers for name in layer if name is not None]

    @property
    def weights(self) -> list[str]:
        """The weights, bottom to top."""
        return [weight for weight, _ in self.layers]

    def thinnable(self, keep_first: bool = True, keep_last: bool = True) -> list[str]:
        """The weights that pruning may thin."""
        return self.weights[int(keep_first) : len(self.layers) - int(keep_last)]


@dataclass(frozen=True)
class RankPair:
    """The two matrices of one LoRA, whose rank j is row j of A and column j of B.

    Args:
        a: name of A, `[r, in]`.
        b: name of B, `[out, r]`.
        scale: what the product B A is multiplied by in the forward pass (alpha / r), where strengths should count it.
    """

    a: str
    b: str
    scale: float = 1.0

    @property
    def names(self) -> list[str]:
        """A and B."""
        return [self.a, self.b]

    @property
    def weights(self) -> list[str]:
        """A and B."""
        return [self.a, self.b]

    def thinnable(self, keep_first: bool = True, keep_last: bool = True) -> list[str]:
        """A and B: a LoRA has no first or last layer, so nothing of it is kept whole."""
        return [self.a, self.b]


Part = Stack | RankPair
Structure = Part | Sequence[Part]


def parts_of(structure: Structure) -> list[Part]:
    """The stacks and pairs of a structure as a list.

    Raises:
        HfmetaError: none, something else, or a tensor that belongs to two of them.
    """
    parts = [structure] if isinstance(structure, Stack | RankPair) else list(structure)
    for part in parts:
        if not isinstance(part, Stack | RankPair):
            raise HfmetaError(f"a structure is made of Stack and RankPair objects; received {type(part).__name__}.")
    names = [name for part in parts for name in part.names]
    if not names:
        raise HfmetaError(
            "the structure is empty: name at least one Stack or RankPair (see find_stacks, find_rank_pairs)."
        )
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise HfmetaError(f"{twice[0]!r} belongs to two parts of the structure; a tensor belongs to one.")
    return parts


def weights_of(structure: Structure) -> list[str]:
    """Names of the weights (edges) of a structure, without biases."""
    return [name for part in parts_of(structure) for name in part.weights]


def thinnable_of(structure: Structure, keep_first: bool = True, keep_last: bool = True) -> list[str]:
    """Names of the weights that `prune` may thin with these options."""
    return [name for part in parts_of(structure) for name in part.thinnable(keep_first, keep_last)]


def find_stacks(names: Iterable[str]) -> list[Stack]:
    """The private MLPs among parameter names: `<prefix>.layers.<i>.weight` and, where there is one, `.bias`.

    Args:
        names: names, or a dict keyed by them; in any order. Others are passed over.

    Raises:
        HfmetaError: a stack with a missing layer.
    """
    found: dict[str, dict[int, dict[str, str]]] = {}
    for name in names:
        match = _LAYER.fullmatch(name)
        if match:
            found.setdefault(match["prefix"], {}).setdefault(int(match["index"]), {})[match["kind"]] = name
    stacks = []
    for prefix, layers in found.items():
        for index in range(max(layers) + 1):
            if "weight" not in layers.get(index, {}):
                raise HfmetaError(
                    f"{prefix}layers.{index}.weight is missing from a stack that goes up to layer {max(layers)}."
                )
        stacks.append(Stack(tuple((layers[i]["weight"], layers[i].get("bias")) for i in sorted(layers))))
    return stacks


def find_rank_pairs(names: Iterable[str]) -> list[RankPair]:
    """The LoRAs among parameter names: `....lora_A[.<adapter>].weight` with its `lora_B`, also of embeddings.

    Args:
        names: names, or a dict keyed by them; in any order. Others are passed over.

    Raises:
        HfmetaError: an A without its B, or a B without its A.
    """
    known = dict.fromkeys(names)
    pairs = {}
    for name in known:
        match = _LORA.fullmatch(name)
        if match:
            sides = {side: f"{match['head']}{side}{match['tail']}" for side in "AB"}
            for other in sides.values():
                if other not in known:
                    raise HfmetaError(f"{name!r} has no partner: {other!r} is not among the names.")
            pairs[sides["A"]] = RankPair(sides["A"], sides["B"])
    return list(pairs.values())


def check_values(values: Mapping[str, Tensor], parts: Sequence[Part]) -> int | None:
    """Check that the tensors of a structure are there, finite and fit together.

    Args:
        values: tensors by name, each of its own shape or all with a leading `[T]`.
        parts: what `parts_of` gives.

    Returns:
        T, or None where no tasks are stacked.

    Raises:
        HfmetaError: a missing tensor, one of a wrong shape, or values that are not finite.
    """
    for part in parts:
        for name in part.names:
            if name not in values:
                raise HfmetaError(
                    f"the structure names {name!r}, which is not among the values.{nearest(name, values)}"
                )
            if not values[name].is_floating_point() or not bool(torch.isfinite(values[name]).all()):
                raise HfmetaError(
                    f"{name} holds values that are not finite numbers; a threshold says nothing about them."
                )
    first = parts[0].weights[0]
    stacked = values[first].dim() == 3
    lead = tuple(values[first].shape[:1]) if stacked else ()
    for part in parts:
        for name, shape in _expected(part, values).items():
            if tuple(values[name].shape) != lead + shape:
                raise HfmetaError(
                    f"{name} has shape {tuple(values[name].shape)} where {lead + shape} fits the rest of its structure "
                    f"({'stacked, T = ' + str(lead[0]) if stacked else 'one task'})."
                )
    return lead[0] if stacked else None


def _expected(part: Part, values: Mapping[str, Tensor]) -> dict[str, tuple[int, ...]]:
    """The shapes, without `[T]`, that the tensors of one part must have, going by its weights' last dimensions."""
    shapes: dict[str, tuple[int, ...]] = {}
    for weight in part.weights:
        if values[weight].dim() < 2:
            raise HfmetaError(
                f"{weight} has shape {tuple(values[weight].shape)}; a weight is [out, in] or [T, out, in]."
            )
    if isinstance(part, RankPair):
        rank, inputs = values[part.a].shape[-2:]
        return {part.a: (rank, inputs), part.b: (values[part.b].shape[-2], rank)}
    inputs = values[part.weights[0]].shape[-1]
    for weight, bias in part.layers:
        outputs = values[weight].shape[-2]
        shapes[weight] = (outputs, inputs)
        if bias is not None:
            shapes[bias] = (outputs,)
        inputs = outputs
    return shapes
