"""Gates: their range and start, their blocks, and the task gate around another init."""

from __future__ import annotations

import logging

import pytest
import torch

from hfmeta.inner.errors import NonFiniteLossError
from hfmeta.inner.inits import HeadInit, Plain
from hfmeta.inner.inits.task_gate import Gates, Ones, PooledEmbedding, RawRows, RecurrentEmbedding, TaskGate, Tree, like

WHERE = like(torch.zeros(1))
THETA = {"layer.weight": torch.full((3, 2), 2.0), "layer.bias": torch.full((3,), 4.0)}
SHAPES = {name: value.shape for name, value in THETA.items()}


def support(T=4, S=5):
    dice = torch.Generator().manual_seed(0)
    return {"inputs": torch.randn(T, S, 1, generator=dice), "labels": torch.randn(T, S, 1, generator=dice)}


def task_gate(gates=None, recurrent=True, **options):
    embedding = RecurrentEmbedding(2, 4, 3, True, WHERE) if recurrent else PooledEmbedding(2, 4, 3, "mean", True, WHERE)
    gates = Gates(SHAPES, 6, 1.0, WHERE) if gates is None else gates
    return TaskGate(
        Plain(), RawRows("inputs", 2), embedding, Tree([2, 1], 3, 1.0, "linear", WHERE), gates, 0.5, **options
    )


def test_gates_lie_between_zero_and_scale_and_start_near_half_of_it():
    z = torch.randn(200, 80, generator=torch.Generator().manual_seed(0))
    for scale in (1.0, 2.0):
        found = Gates({"weight": (40, 40), "bias": (40,)}, 80, scale, WHERE)(z)
        assert found["weight"].shape == (200, 40, 40)
        assert found["bias"].shape == (200, 40)
        for values in found.values():
            assert values.min() > 0
            assert values.max() < scale
            assert values.mean().item() == pytest.approx(scale / 2, abs=0.02)


def test_every_tensor_is_drawn_by_its_own_fan_out():
    gates = Gates({"large": (1000,), "small": (1,)}, 80, 1.0, WHERE)
    assert gates.weight[:, :1000].abs().max() <= (6 / 1080) ** 0.5
    assert (6 / 1080) ** 0.5 < gates.weight[:, 1000].abs().max() <= (6 / 81) ** 0.5


def test_the_start_is_the_values_times_their_gates_and_the_weighted_reconstruction():
    gate, batch = task_gate(), support()
    start = gate(THETA, batch, lambda: torch.empty(0))
    found = gate.portrait(batch, lambda: torch.empty(0))
    for name, value in THETA.items():
        assert torch.equal(start.params[name], value * found.gates[name])
    assert torch.equal(start.aux, 0.5 * found.error)
    assert start.aux.shape == (4,)


def test_a_gate_per_tensor_broadcasts_and_ungated_tensors_pass():
    gate = task_gate(Gates({"layer.weight": (1, 1)}, 6, 1.0, WHERE))
    params = gate(THETA, support(), lambda: torch.empty(0)).params
    assert params["layer.weight"].shape == (4, 3, 2)
    assert (params["layer.weight"].flatten(1).std(1) == 0).all()
    assert torch.equal(params["layer.bias"], THETA["layer.bias"].expand(4, 3))


def test_gates_of_one_leave_everything_as_it_is():
    params = task_gate(Ones(SHAPES))(THETA, support(), lambda: torch.empty(0)).params
    assert all(torch.equal(params[name][t], value) for name, value in THETA.items() for t in range(4))


def test_rows_beyond_those_embedded_do_not_count():
    batch = support()
    gate = task_gate(embed_rows=2)
    before = gate.portrait(batch, lambda: torch.empty(0)).embedding
    batch["labels"][:, 2:] += 1
    assert torch.equal(gate.portrait(batch, lambda: torch.empty(0)).embedding, before)


def test_the_head_s_own_init_hears_whether_classes_are_dealt_afresh():
    assert task_gate().own_classes is None
    head = HeadInit("head.weight", "head.bias", "zero")
    gate = TaskGate(head, RawRows("inputs", 2), PooledEmbedding(2, 4, 3, "mean", False, WHERE), None, Ones({}), 0.0)
    assert gate.own_classes is False
    gate.own_classes = True
    assert head.own_classes is True


def test_gates_that_are_not_finite_name_their_tasks():
    batch = support()
    batch["inputs"][2, 0] = float("nan")
    with pytest.raises(
        NonFiniteLossError, match=r"the gates of task\(s\) at batch position\(s\) \[2\] are not finite: a support row"
    ):
        task_gate()(THETA, batch, lambda: torch.empty(0))


def test_one_row_is_allowed_and_said_once(caplog):
    gate = task_gate()
    with caplog.at_level(logging.WARNING):
        for _ in range(2):
            assert torch.isfinite(gate(THETA, support(S=1), lambda: torch.empty(0)).params["layer.weight"]).all()
        task_gate(recurrent=False)(THETA, support(S=1), lambda: torch.empty(0))
    assert [record.getMessage() for record in caplog.records] == [
        'support sets of one row: a recurrent embedding takes a single step then; embedding="mean" does as much with less.'
    ]


def test_clusters_are_counted_in_training_alone():
    gate = task_gate()
    gate(THETA, support(), lambda: torch.empty(0))
    assert gate.usage.seen == 4
    with torch.no_grad():
        gate(THETA, support(), lambda: torch.empty(0))
    gate.eval()(THETA, support(), lambda: torch.empty(0))
    assert gate.usage.seen == 4
    assert set(gate.summary()) == {"cluster_1.1", "cluster_1.2"}
