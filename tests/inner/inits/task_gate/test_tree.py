"""Soft clusters: the arithmetic of each level, widths, further clusters, and clusters that die."""

from __future__ import annotations

import logging

import pytest
import torch

from hfmeta.inner.errors import HfmetaError
from hfmeta.inner.inits.task_gate import Tree, like
from hfmeta.inner.inits.task_gate.usage import WINDOW, ClusterUsage

WHERE = like(torch.zeros(1, dtype=torch.float64))


def embedded(T=6, d=5):
    return torch.randn(T, d, generator=torch.Generator().manual_seed(3), dtype=torch.float64)


@pytest.mark.parametrize("assignment", ["linear", "gaussian"])
def test_three_levels_are_those_of_the_specification(assignment):
    tree, g = Tree([4, 2, 1], 5, 2**0.5, assignment, WHERE), embedded()
    h, (p, q, root) = tree(g)
    first, second, last = tree.levels
    for t in range(len(g)):
        shares = torch.softmax(-(g[t] - first.centres).square().sum(1) / (2 * 2.0), 0)
        torch.testing.assert_close(p[t, 0], shares)
        v = [shares[k] * torch.tanh(g[t] @ first.weight[k] + first.bias[k]) for k in range(4)]
        u = [torch.zeros(5, dtype=torch.float64) for _ in range(2)]
        for k in range(4):
            if assignment == "linear":
                logits = torch.stack([v[k] @ second.centres[j] + second.offsets[j] for j in range(2)])
            else:
                logits = -torch.stack([(v[k] - second.centres[j]).square().sum() + second.offsets[j] for j in range(2)])
                logits = logits / 2
            torch.testing.assert_close(q[t, k], torch.softmax(logits, 0))
            for j in range(2):
                u[j] = u[j] + q[t, k, j] * torch.tanh(v[k] @ second.weight[j] + second.bias[j])
        expected = sum(torch.tanh(u[j] @ last.weight[0] + last.bias[0]) for j in range(2))
        torch.testing.assert_close(h[t], expected)
    assert root.eq(1).all()


@pytest.mark.parametrize("widths", [[4, 2, 1], [4, 1], [1], [3, 3, 2, 1], [2, 4, 1]])
@pytest.mark.parametrize("assignment", ["linear", "gaussian"])
def test_any_widths_give_one_vector_and_shares_that_sum_to_one(widths, assignment):
    tree = Tree(widths, 5, 1.0, assignment, WHERE)
    assert tree.widths == widths
    h, assignments = tree(embedded())
    assert h.shape == (6, 5)
    assert [p.shape[1:] for p in assignments] == list(zip([1, *widths], widths, strict=False))
    for p in assignments:
        torch.testing.assert_close(p.sum(-1), torch.ones_like(p[..., 0]))


def test_far_away_tasks_do_not_underflow():
    h, (p, *_) = Tree([4, 2, 1], 5, 2**0.5, "linear", WHERE)(1e4 * embedded())
    assert torch.isfinite(h).all()
    torch.testing.assert_close(p.sum(-1), torch.ones_like(p[..., 0]))


def test_the_initial_values_are_glorot_on_two_dimensional_shapes():
    tree = Tree([400, 200, 1], 40, 1.0, "linear", like(torch.zeros(1)))
    first, second, _ = tree.levels
    row, square, scalar = (6 / 41) ** 0.5, (6 / 80) ** 0.5, 3**0.5
    for tensor, limit in ((first.centres, row), (first.bias, row), (first.weight, square), (second.offsets, scalar)):
        assert 0.97 * limit < tensor.abs().max() <= limit


@pytest.mark.parametrize("widths", [[4, 0, 1], [-4, 1], [4, 2], [], [2.0, 1], [True]])
def test_impossible_widths_are_refused(widths):
    with pytest.raises(
        HfmetaError, match=r"tree must be widths of at least 1 that end in 1, the root, such as \[4, 2, 1\]"
    ):
        Tree(widths, 5, 1.0, "linear", WHERE)


def test_further_clusters_leave_the_old_ones_as_they_are():
    tree = Tree([4, 2, 1], 5, 1.0, "linear", WHERE)
    before = {name: value.clone() for name, value in tree.named_parameters()}
    tree.add_clusters(2, torch.Generator().manual_seed(0))
    assert tree.widths == [6, 2, 1]
    for name, value in tree.named_parameters():
        assert torch.equal(value[: len(before[name])], before[name])
        assert value.requires_grad
        assert len(value) == len(before[name]) + 2 * name.startswith("levels.0")
    h, (p, *_) = tree(embedded())
    assert p.shape == (6, 1, 6)
    h.sum().backward()
    assert all(value.grad is not None and value.grad.any() for value in tree.parameters())


def test_bad_additions_are_refused():
    with pytest.raises(HfmetaError, match="whole number of at least 1, not 0"):
        Tree([4, 1], 5, 1.0, "linear", WHERE).add_clusters(0, torch.Generator())
    with pytest.raises(HfmetaError, match=r"nothing but its root, tree=\[1\]"):
        Tree([1], 5, 1.0, "linear", WHERE).add_clusters(1, torch.Generator())


def shares(*values, tasks=100):
    return [torch.tensor(values).expand(tasks, 1, -1)]


def test_usage_is_the_mean_over_the_last_tasks():
    usage = ClusterUsage()
    usage.add(shares(0.2, 0.8))
    usage.add(shares(0.4, 0.6))
    assert usage.summary() == pytest.approx({"cluster_1.1": 0.3, "cluster_1.2": 0.7}, abs=1e-6)
    for _ in range(200):
        usage.add(shares(0.5, 0.5))
    assert usage.summary()["cluster_1.1"] == pytest.approx(0.5, abs=1e-3), "what is long past does not count"
    usage.add(shares(0.2, 0.2, 0.6))
    assert usage.summary()["cluster_1.3"] == pytest.approx(0.6), "a tree that grew starts counting anew"


def test_a_cluster_that_dies_is_told_by_its_name_once(caplog):
    usage = ClusterUsage()
    with caplog.at_level(logging.WARNING):
        for _ in range(WINDOW // 100 - 1):
            usage.add(shares(0.6, 0.399, 0.001))
        usage.summary()
        assert not caplog.records, "too few tasks to tell"
        usage.add(shares(0.6, 0.399, 0.001))
        assert usage.summary()["cluster_1.3"] == pytest.approx(0.001, abs=1e-4)
        usage.summary()
    assert [record.getMessage() for record in caplog.records] == [
        "cluster 1.3 has died: over the last 1000 tasks or so it was assigned 0.001 of a task on average, an equal share being 0.33. "
        "Use fewer clusters on level 1, or a larger sigma."
    ]
