"""What pruning did: keep ratios, overlaps between tasks, and warnings about masks that keep nothing or everything."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from hfmeta.adapters.pruning.bits import jaccard, pack
from hfmeta.adapters.pruning.structure import Part, Stack, Structure, parts_of, thinnable_of, weights_of
from hfmeta.inner.errors import HfmetaError

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class KeepReport:
    """Shares of edges kept, biases not counted; each is a float64 tensor, a scalar or `[T]` as the masks were stacked.

    Args:
        total: over all weights of the structure.
        thinnable: over the weights that pruning may thin; 1 where there are none.
        layers: over each weight, by name.
    """

    total: Tensor
    thinnable: Tensor
    layers: dict[str, Tensor]

    def summary(self) -> dict[str, float]:
        """Means over tasks for a log, with the least and the greatest total and each layer's mean."""
        scores = {
            "keep_ratio": float(self.total.mean()),
            "keep_ratio_min": float(self.total.min()),
            "keep_ratio_max": float(self.total.max()),
            "keep_ratio_thinnable": float(self.thinnable.mean()),
        }
        return scores | {f"keep_ratio/{name}": float(value.mean()) for name, value in self.layers.items()}


def keep_report(
    masks: Mapping[str, Tensor], structure: Structure, *, keep_first: bool = True, keep_last: bool = True
) -> KeepReport:
    """Shares of edges that masks keep.

    Args:
        masks: what `prune` gives, or one's own: `[...]` or `[T, ...]`.
        structure: what was pruned.
        keep_first, keep_last: as in `prune`; they say which weights count as thinnable.

    Raises:
        HfmetaError: a weight of the structure without a mask.
    """
    weights, thin = weights_of(structure), thinnable_of(structure, keep_first, keep_last)
    missing = [name for name in weights if name not in masks]
    if missing:
        raise HfmetaError(f"the masks have no entry for {missing[0]!r}, which the structure names.")
    kept = {name: masks[name].sum((-2, -1), dtype=torch.float64) for name in weights}
    edges = {name: masks[name].shape[-2] * masks[name].shape[-1] for name in weights}

    def share(names: Sequence[str]) -> Tensor:
        if not names:
            return torch.ones_like(kept[weights[0]])
        return torch.stack([kept[name] for name in names]).sum(0) / sum(edges[name] for name in names)

    return KeepReport(share(weights), share(thin), {name: share([name]) for name in weights})


def overlap(masks: Mapping[str, Tensor], names: Sequence[str]) -> Tensor:
    """Pairwise Jaccard overlap of the structures of T tasks: edges kept by both over edges kept by either.

    Args:
        masks: `{name: [T, ...]}`.
        names: the tensors whose entries count: `weights_of(structure)` for all edges, `thinnable_of(structure)` for those that
            pruning may thin.

    Returns:
        `[T, T]` float64, symmetric, ones on the diagonal; two tasks that both keep nothing overlap by 1.

    Raises:
        HfmetaError: a name without a mask, or no name.
    """
    unknown = [name for name in names if name not in masks]
    if unknown or not names:
        raise HfmetaError(
            f"the masks have no entry for {unknown[0]!r}."
            if unknown
            else "an overlap needs at least one tensor's name."
        )
    return jaccard(np.concatenate([pack(masks[name]) for name in names], axis=1))


def check_extremes(
    masks: Mapping[str, Tensor],
    structure: Structure,
    keep_first: bool = True,
    keep_last: bool = True,
    *,
    error: bool = False,
    tasks: Sequence[str | int] | None = None,
) -> None:
    """Warn of tasks for which a thinnable layer (all pairs together, for ranks) is left empty or whole.

    Args:
        masks: what `prune` gives, `[...]` or `[T, ...]`.
        structure: what was pruned.
        keep_first, keep_last: as in `prune`.
        error: raise instead of warning where a layer is empty.
        tasks: ids for the message; None: positions, where there are several.

    Raises:
        HfmetaError: an empty layer, with `error`; or another number of ids than of tasks.
    """
    for label, names in _units(parts_of(structure), keep_first, keep_last).items():
        kept = torch.stack([masks[name].flatten(-2).sum(-1) for name in names]).sum(0)
        full = sum(masks[name].shape[-2] * masks[name].shape[-1] for name in names)
        empty_rows, full_rows = (kept == 0).reshape(-1), (kept == full).reshape(-1)
        if empty_rows.any():
            whose = _whose(empty_rows, kept.dim() > 0, tasks)
            message = f"pruning leaves nothing of {label}{whose}: lower gamma, or give a keep_ratio."
            if error:
                raise HfmetaError(message)
            logger.warning(message)
        if full_rows.any():
            whose = _whose(full_rows, kept.dim() > 0, tasks)
            logger.warning(f"pruning leaves {label} whole{whose}: raise gamma, or train with L1 for longer.")


def _units(parts: Sequence[Part], keep_first: bool, keep_last: bool) -> dict[str, list[str]]:
    """What may be empty or whole, by how messages call it: each thinnable layer of a stack, and all LoRA pairs together."""
    units = {
        name: [name] for part in parts if isinstance(part, Stack) for name in part.thinnable(keep_first, keep_last)
    }
    ranks = [name for part in parts if not isinstance(part, Stack) for name in part.names]
    if ranks:
        units["every LoRA pair"] = ranks
    return units


def _whose(rows: Tensor, stacked: bool, tasks: Sequence[str | int] | None) -> str:
    """Whom a message is about: ids where known, positions otherwise."""
    if tasks is not None and len(tasks) != len(rows):
        raise HfmetaError(f"{len(tasks)} task id(s) were given for {len(rows)} task(s).")
    if tasks is None and not stacked:
        return ""
    ids = [str(tasks[row]) if tasks is not None else f"at position {row}" for row in rows.nonzero()[:, 0].tolist()]
    more = f" and {len(ids) - 5} more" if len(ids) > 5 else ""
    return f" for task{'s' if len(ids) > 1 else ''} {', '.join(ids[:5])}{more}"
