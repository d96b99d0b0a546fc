"""With backward="recompute" an inner step more keeps the adapted values and nothing else."""

from __future__ import annotations

import weakref

import pytest
import torch

from hfmeta.algorithms import Maml
from hfmeta.learner import MetaLearner
from tiny import random_batch, tiny_bert


class Held:
    """A tensor that autograd keeps."""

    def __init__(self, tensor):
        self.tensor = tensor


def kept_bytes(backward, steps):
    """Bytes of the distinct storages that the graph of the outer loss keeps."""
    learner = MetaLearner(tiny_bert(), Maml(inner_steps=steps, backward=backward, evaluator="looped")).train()
    batch = random_batch("sequence-classification")
    alive = weakref.WeakSet()

    def pack(tensor):
        held = Held(tensor.detach())
        alive.add(held)
        return held

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda held: held.tensor):
        loss = learner(**batch)["loss"]
    storages = {held.tensor.untyped_storage().data_ptr(): held.tensor.untyped_storage().nbytes() for held in alive}
    assert loss.requires_grad
    adapted = 2 * sum(value.numel() * value.element_size() for value in learner.model.parameters())
    return sum(storages.values()), adapted


@pytest.mark.parametrize("steps", [2, 4])
def test_a_step_more_keeps_the_adapted_values_alone(steps):
    (few, adapted), (more, _) = kept_bytes("recompute", steps), kept_bytes("recompute", steps + 1)
    assert 0 < more - few <= 1.01 * adapted
    (few, _), (more, _) = kept_bytes("full", steps), kept_bytes("full", steps + 1)
    assert more - few > 3 * adapted
