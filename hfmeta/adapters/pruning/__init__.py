"""Private network pruning: masks of stacks and LoRA pairs, as pure functions of values. Not here: models, training, PEFT."""

from hfmeta.adapters.pruning.prune import GAMMA, GRANULARITIES, apply_masks, prune
from hfmeta.adapters.pruning.reports import KeepReport, check_extremes, keep_report, overlap
from hfmeta.adapters.pruning.store import MaskStore
from hfmeta.adapters.pruning.structure import (
    Masks,
    RankPair,
    Stack,
    Structure,
    find_rank_pairs,
    find_stacks,
    thinnable_of,
    weights_of,
)

__all__ = [
    "GAMMA",
    "GRANULARITIES",
    "KeepReport",
    "MaskStore",
    "Masks",
    "RankPair",
    "Stack",
    "Structure",
    "apply_masks",
    "check_extremes",
    "find_rank_pairs",
    "find_stacks",
    "keep_report",
    "overlap",
    "prune",
    "thinnable_of",
    "weights_of",
]
