"""Private network pruning: which edges of a task's private network stay (Algorithm 1), or which ranks of its LoRA.

A pure function of values: it trains nothing and knows no model. Not here: reports and overlaps (reports.py), bits (store.py).
Biases follow their node: the bias of an upper node that is dropped is dropped too.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor

from hfmeta.adapters.pruning.reports import check_extremes
from hfmeta.adapters.pruning.structure import Masks, RankPair, Stack, Structure, check_values, parts_of
from hfmeta.inner.errors import HfmetaError

GAMMA = 0.05
GRANULARITIES = ("edge", "node", "rank")


def prune(
    values: Mapping[str, Tensor],
    structure: Structure,
    *,
    gamma: float | None = None,
    keep_ratio: float | None = None,
    granularity: str = "edge",
    keep_first: bool = True,
    keep_last: bool = True,
    on_empty: str = "warn",
    tasks: Sequence[str | int] | None = None,
) -> Masks:
    """The masks of a task's private network, or of many tasks' at once.

    `edge` goes from the top layer down: an edge of a thinnable layer stays iff its absolute weight exceeds gamma and its upper node
    is kept; a lower node is kept iff one of its edges is. First and last layer stay whole, unless told otherwise; in particular all
    lower nodes of the last layer are kept. `node` keeps every edge between two kept nodes; with `keep_first=False` and
    `keep_last=False` it is what the reference code does. `rank` is for LoRA pairs: rank j stays iff its strength
    `scale ||A[j]|| ||B[:, j]|| / sqrt(in * out)`, the root mean square of the entries that it adds to the weight, exceeds gamma.

    Args:
        values: tensors by name, weights `[out, in]` and biases `[out]`, or with a leading `[T]` each; others are passed over.
        structure: the stacks or LoRA pairs to prune.
        gamma: the threshold, in units of a weight; None: 0.05, unless `keep_ratio` is given.
        keep_ratio: share in [0, 1] of each thinnable layer's edges (of each pair's ranks) that may stay, instead of gamma: each
            layer, or pair, of each task gets its own gamma, the quantile of its absolute weights. Edges equal to it go, as do edges
            under a dropped node, so less may be kept: `keep_report` gives what was.
        granularity: `edge`, `node` or `rank`.
        keep_first, keep_last: whether a stack's first and last layer stay whole; without meaning for ranks.
        on_empty: `warn` or `error`, where nothing is left of a thinnable layer (of all pairs, for ranks).
        tasks: ids of the T tasks for messages; one where values are not stacked.

    Returns:
        `{name: bool mask}` for every tensor of the structure, of its shape and on its device.

    Raises:
        HfmetaError: options that exclude each other or are out of range, values that do not fit the structure, or an empty layer
            with `on_empty="error"`.

    Source: Song et al. 2020, CMAML (arXiv 1910.14326), Algorithm 1, with |e| for e as in the authors' code.
    """
    _check_options(gamma, keep_ratio, granularity, on_empty)
    parts = parts_of(structure)
    _check_kinds(parts, granularity)
    count = check_values(values, parts)
    threshold = GAMMA if gamma is None else gamma

    def strong(strength: Tensor) -> Tensor:
        return strength > threshold if keep_ratio is None else _strongest(strength, keep_ratio, count is not None)

    masks: Masks = {}
    for part in parts:
        if isinstance(part, Stack):
            masks.update(_prune_stack(part, values, strong, granularity, keep_first, keep_last))
        else:
            masks.update(_prune_pair(part, values, strong))
    check_extremes(masks, parts, keep_first, keep_last, error=on_empty == "error", tasks=tasks)
    return masks


def apply_masks(values: Mapping[str, Tensor], masks: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The values with zeros where the mask is false; tensors without a mask stay as they are. Differentiable in the values.

    Args:
        values: tensors by name, `[...]` or `[T, ...]`.
        masks: bool masks for some or all of them.

    Raises:
        HfmetaError: a mask of another shape than its tensor.
    """
    result = dict(values)
    for name in values.keys() & masks.keys():
        if values[name].shape != masks[name].shape:
            raise HfmetaError(
                f"the mask of {name} has shape {tuple(masks[name].shape)}; the tensor has {tuple(values[name].shape)}."
            )
        result[name] = torch.where(masks[name].bool(), values[name], values[name].new_zeros(()))
    return result


def _check_options(gamma: float | None, keep_ratio: float | None, granularity: str, on_empty: str) -> None:
    if gamma is not None and keep_ratio is not None:
        raise HfmetaError(f"give gamma or keep_ratio, not both; received gamma={gamma}, keep_ratio={keep_ratio}.")
    if gamma is not None and not gamma >= 0:
        raise HfmetaError(f"gamma is a threshold of absolute weights, at least 0; received {gamma}.")
    if keep_ratio is not None and not 0 <= keep_ratio <= 1:
        raise HfmetaError(f"keep_ratio is a share in [0, 1]; received {keep_ratio}.")
    if granularity not in GRANULARITIES:
        raise HfmetaError(f"granularity is one of {', '.join(GRANULARITIES)}; received {granularity!r}.")
    if on_empty not in ("warn", "error"):
        raise HfmetaError(f'on_empty is "warn" or "error"; received {on_empty!r}.')


def _check_kinds(parts: Sequence[Stack | RankPair], granularity: str) -> None:
    wanted = RankPair if granularity == "rank" else Stack
    wrong = next((part for part in parts if not isinstance(part, wanted)), None)
    if wrong is not None:
        kind, right = (
            ("LoRA pair", '"rank"') if isinstance(wrong, RankPair) else ("stack of layers", '"edge" or "node"')
        )
        raise HfmetaError(
            f"{wrong.names[0]} is in a {kind}, pruned with granularity={right}; received {granularity!r}."
        )


def _strongest(strength: Tensor, keep_ratio: float, stacked: bool) -> Tensor:
    """Where a strength exceeds the value that leaves at most this share of each task's entries above it."""
    flat = strength.flatten(1) if stacked else strength.flatten()
    entries = flat.shape[-1]
    kept = math.floor(keep_ratio * entries + 0.5)
    if kept == entries:
        return torch.ones_like(strength, dtype=torch.bool)
    threshold = flat.kthvalue(entries - kept, dim=-1, keepdim=True).values
    return (flat > threshold).view_as(strength)


def _size(values: Mapping[str, Tensor], name: str) -> Tensor:
    """Absolute values in single precision at least, so that quantiles and norms of half-precision weights are exact enough."""
    value = values[name].detach()
    return (value if value.dtype == torch.float64 else value.float()).abs()


def _prune_stack(
    stack: Stack,
    values: Mapping[str, Tensor],
    strong: Callable[[Tensor], Tensor],
    granularity: str,
    keep_first: bool,
    keep_last: bool,
) -> Masks:
    """Algorithm 1 on one stack, top to bottom; `upper` and `lower` `[..., nodes]` tell which nodes are kept."""
    found: Masks = {}
    top = len(stack.layers) - 1
    weight = stack.layers[top][0]
    upper = torch.ones(values[weight].shape[:-1], dtype=torch.bool, device=values[weight].device)
    for index in range(top, -1, -1):
        weight, bias = stack.layers[index]
        size = _size(values, weight)
        if (index == 0 and keep_first) or (index == top and keep_last):
            edges = torch.ones_like(size, dtype=torch.bool)
            lower = edges.any(-2)
        else:
            edges = strong(size) & upper[..., :, None]
            lower = edges.any(-2)
            if granularity == "node":
                edges = upper[..., :, None] & lower[..., None, :]
        found[weight] = edges
        if bias is not None:
            found[bias] = upper
        upper = lower
    return {name: found[name] for name in stack.names}


def _prune_pair(pair: RankPair, values: Mapping[str, Tensor], strong: Callable[[Tensor], Tensor]) -> Masks:
    """One LoRA: the mask of A keeps rows, that of B columns."""
    a, b = _size(values, pair.a), _size(values, pair.b)
    strength = a.norm(dim=-1) * b.norm(dim=-2) * abs(pair.scale) / math.sqrt(a.shape[-1] * b.shape[-2])
    kept = strong(strength)  # [..., r]
    return {
        pair.a: kept[..., :, None].expand_as(a).contiguous(),
        pair.b: kept[..., None, :].expand_as(b).contiguous(),
    }
