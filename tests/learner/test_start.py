"""The contract of an init: it sees the whole support set, and may add to each task's outer loss, in training alone."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
import torch
from torch import nn

from hfmeta import Algorithm, MetaLearner
from hfmeta.inner.errors import NonFiniteLossError
from hfmeta.inner.types import Start, stack_expanded
from tiny import random_batch, tiny_mlp


class Shifted(nn.Module):
    """Starts from the values plus a learned share of the mean target, and wants that share to be small."""

    def __init__(self):
        super().__init__()
        self.share = nn.Parameter(torch.tensor(0.1))

    def forward(self, theta, support, features):
        mean = support["labels"].mean((1, 2))
        start = stack_expanded(theta, len(mean))
        start["head.bias"] = start["head.bias"] + self.share * mean.unsqueeze(-1)
        return Start(start, self.share.square() * support["labels"].square().mean((1, 2)))


@dataclass
class ShiftedMaml(Algorithm):
    """MAML from there."""

    def init(self, theta, head, rows=None):
        """See `Shifted`."""
        assert (rows.kind, rows.name, rows.size, rows.labels, rows.features) == ("regression", "inputs", 1, 1, 6)
        return Shifted()


@pytest.mark.parametrize("tasks_per_pass", [None, 2])
def test_what_an_init_adds_is_trained_on_and_not_reported(tasks_per_pass):
    batch = random_batch("regression", T=3)
    learner = MetaLearner(tiny_mlp(), ShiftedMaml(inner_lr=0.01, tasks_per_pass=tasks_per_pass))
    tested, trained = learner(**batch), learner.train()(**batch)
    added = 0.01 * batch["support"]["labels"].square().mean((1, 2))
    torch.testing.assert_close(trained["task_losses"] - tested["task_losses"], added)
    torch.testing.assert_close(trained["loss"] - tested["loss"], added.mean())
    torch.testing.assert_close(learner.scores(**batch)["loss"][:, -1], tested["task_losses"])
    trained["loss"].backward()
    assert learner.init.share.grad


@pytest.mark.parametrize("steps", [0, 1])
def test_adapting_starts_where_the_init_says(steps):
    learner = MetaLearner(tiny_mlp(), ShiftedMaml(inner_lr=0.01, test_inner_steps=steps))
    batch = random_batch("regression", T=1)
    adapted = learner.adapt({name: value[0] for name, value in batch["support"].items()})
    query = {name: value[0] for name, value in batch["query"].items()}
    torch.testing.assert_close(adapted(**query).loss, learner(**batch)["loss"])
    assert not torch.equal(adapted.head.bias, learner.model.head.bias)


def test_an_added_loss_that_is_not_finite_counts_as_the_task_s_own():
    batch = random_batch("regression", T=3)
    learner = MetaLearner(tiny_mlp(), ShiftedMaml(inner_lr=1e-30, on_nonfinite="skip")).train()
    batch["support"]["labels"][2] = 1e25
    with torch.no_grad():
        learner.init.share.zero_()
    assert learner(**batch)["task_losses"].shape == (2,)
    assert learner.skipped == 1
    with pytest.raises(NonFiniteLossError, match=r"of task\(s\) \[2\] is not finite"):
        MetaLearner(tiny_mlp(), ShiftedMaml(inner_lr=1e-30)).train()(**batch)
