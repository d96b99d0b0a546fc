"""Real sharded tensors (DTensor), in a group of one gloo process: refused before anything is computed with them."""

from __future__ import annotations

import pytest
import torch
import torch.distributed as dist
from torch import nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard
from torch.distributed.tensor import DTensor, Shard, distribute_tensor

from hfmeta.algorithms import Maml
from hfmeta.inner import GradientMode, HfmetaError, inner_loop
from hfmeta.inner.rules import Sgd
from hfmeta.inner.types import stack_expanded
from hfmeta.learner import MetaLearner
from tiny import random_batch, tiny_bert, tiny_mlp, with_lora
from truth import outer_gradient, relative_gap

EVALUATORS = ("auto", "looped", "vectorised", "batched")


@pytest.fixture
def mesh():
    """A device mesh of one process; the group ends with the test."""
    dist.init_process_group("gloo", store=dist.HashStore(), rank=0, world_size=1)
    try:
        yield init_device_mesh("cpu", (1,))
    finally:
        dist.destroy_process_group()
    assert not dist.is_initialized()


def shard_head(model, mesh):
    model.head.weight = nn.Parameter(distribute_tensor(model.head.weight.detach(), mesh, [Shard(0)]))


def shard_all(model, mesh):
    fully_shard(model, mesh=mesh)


def test_the_loop_refuses_a_dtensor(mesh):
    weight = nn.Parameter(distribute_tensor(torch.ones(3, 2), mesh, [Shard(0)]))
    start = stack_expanded({"w": weight}, 2)
    assert isinstance(start["w"], DTensor)
    rule = Sgd({"w": torch.zeros(1)}, 0.1)
    with pytest.raises(HfmetaError, match="sharded over devices .FSDP, .*: w. Adapted tensors must be whole"):
        list(inner_loop(lambda p, _: p["w"].flatten(1).sum(1), start, rule, steps=1, mode=GradientMode()))


@pytest.mark.parametrize("shard", [shard_head, shard_all])
def test_a_learner_of_a_sharded_model_is_refused(mesh, shard):
    model = tiny_mlp()
    shard(model, mesh)
    with pytest.raises(HfmetaError, match="sharded over devices .*: (head|layers.0).weight"):
        MetaLearner(model, Maml())


@pytest.mark.parametrize("evaluator", EVALUATORS)
@pytest.mark.parametrize("shard", [shard_head, shard_all])
def test_a_model_sharded_after_the_learner_was_made_is_refused(mesh, shard, evaluator):
    learner = MetaLearner(tiny_mlp(), Maml(adapt="head" if evaluator == "batched" else "all", evaluator=evaluator))
    shard(learner.model, mesh)
    with pytest.raises(HfmetaError, match="adapted tensors are sharded over devices"):
        learner.train()(**random_batch("regression"))


# torch warns of in-place operations on the outputs of a sharded module, of which there are none here.
@pytest.mark.filterwarnings("ignore:FSDP2-wrapped module:UserWarning")
@pytest.mark.parametrize("evaluator", EVALUATORS)
def test_a_sharded_frozen_base_under_a_lora_gives_the_same_gradient(mesh, evaluator):
    """What the refusal advises works."""
    batch = random_batch("sequence-classification")
    algorithm = Maml(inner_steps=2, inner_lr=0.01, evaluator=evaluator)
    _, expected = outer_gradient(MetaLearner(with_lora(tiny_bert()), algorithm), batch)
    model = with_lora(tiny_bert())
    fully_shard(model, mesh=mesh, ignored_params={p for p in model.parameters() if p.requires_grad})
    assert any(isinstance(value, DTensor) for value in model.parameters())
    _, found = outer_gradient(MetaLearner(model, algorithm), batch)
    assert relative_gap(found, expected) < 1e-6
