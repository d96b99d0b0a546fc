"""Which tensors of a private adapter are the learner's and which the task's. Not here: stacks of layers (pruning.find_stacks)."""

from __future__ import annotations

from hfmeta.adapters.private_mlp.layer import CONTAINER


def is_gate(name: str) -> bool:
    """Whether a tensor of a private adapter belongs to its gate, which is the learner's and not the task's."""
    return f".{CONTAINER}." in f".{name}" and ".gate." in name
