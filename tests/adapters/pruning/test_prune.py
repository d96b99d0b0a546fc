"""Algorithm 1 by hand, against brute force, stacked against one by one, and LoRA ranks."""

from __future__ import annotations

import logging
import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from hfmeta.adapters.pruning import RankPair, Stack, apply_masks, find_stacks, prune, thinnable_of
from hfmeta.inner.errors import HfmetaError
from pruning_brute import edge_masks, node_masks

STACK = Stack(tuple((f"layers.{i}.weight", f"layers.{i}.bias") for i in range(4)))


def network(sizes, generator, scale=0.05, tasks=None):
    """Random values of a stack of linear layers, some exactly at the threshold."""
    lead = () if tasks is None else (tasks,)
    values = {}
    for i, (inputs, outputs) in enumerate(zip(sizes, sizes[1:], strict=False)):
        weight = torch.randn(*lead, outputs, inputs, generator=generator) * scale
        exact = torch.rand(weight.shape, generator=generator) < 0.1
        values[f"layers.{i}.weight"] = torch.where(exact, torch.tensor(0.05), weight)
        values[f"layers.{i}.bias"] = torch.randn(*lead, outputs, generator=generator)
    return values


def hand_net():
    """3-3-3-3-2. Strong edges are 0.9 or -0.9, weak ones 0.01."""
    s, w = 0.9, 0.01
    weights = [
        [[w, w, w], [w, s, w], [w, w, w]],
        [[s, w, -s], [w, w, w], [s, s, s]],
        [[w, -s, w], [w, s, w], [s, w, w]],
        [[s, w, w], [w, w, w]],
    ]
    return {
        name: torch.tensor(weights[i]) if kind == "weight" else torch.ones(len(weights[i]))
        for i in range(4)
        for kind, name in (("weight", f"layers.{i}.weight"), ("bias", f"layers.{i}.bias"))
    }


def as_lists(masks):
    return {name.removeprefix("layers."): mask.int().tolist() for name, mask in masks.items()}


def test_edges_by_hand():
    # Layer 3 is whole, so all three nodes below it are kept. Layer 2 keeps its three strong edges, which end in lower nodes 0 and 1;
    # node 2 has none. In layer 1, row 2 is strong throughout, but its upper node is gone; row 1 is weak. Only (0, 0) and (0, 2)
    # stay, so node 1 below is dropped, and its bias with it. Layer 0 is whole.
    assert as_lists(prune(hand_net(), STACK)) == {
        "0.weight": [[1, 1, 1]] * 3,
        "0.bias": [1, 0, 1],
        "1.weight": [[1, 0, 1], [0, 0, 0], [0, 0, 0]],
        "1.bias": [1, 1, 0],
        "2.weight": [[0, 1, 0], [0, 1, 0], [1, 0, 0]],
        "2.bias": [1, 1, 1],
        "3.weight": [[1, 1, 1]] * 2,
        "3.bias": [1, 1],
    }


def test_nodes_by_hand():
    # As the reference code has it: the only strong edge of layer 3 keeps node 0 below; layer 2's row 0 keeps node 1; layer 1's row 1
    # is weak throughout, so everything below is gone.
    assert as_lists(prune(hand_net(), STACK, granularity="node", keep_first=False, keep_last=False)) == {
        "3.bias": [1, 1],
        "3.weight": [[1, 0, 0]] * 2,
        "2.bias": [1, 0, 0],
        "2.weight": [[0, 1, 0], [0, 0, 0], [0, 0, 0]],
        "1.bias": [0, 1, 0],
        "1.weight": [[0, 0, 0]] * 3,
        "0.bias": [0, 0, 0],
        "0.weight": [[0, 0, 0]] * 3,
    }
    # With first and last layer whole: weak edges between kept nodes survive.
    masks = as_lists(prune(hand_net(), STACK, granularity="node"))
    assert masks["2.weight"] == [[1, 1, 0]] * 3
    assert masks["1.weight"] == [[1, 0, 1], [1, 0, 1], [0, 0, 0]]
    assert masks["0.weight"] == [[1, 1, 1]] * 3


def same(masks, edges, uppers):
    for i, (edge, upper) in enumerate(zip(edges, uppers, strict=True)):
        assert masks[f"layers.{i}.weight"].tolist() == edge
        assert masks[f"layers.{i}.bias"].tolist() == upper


@settings(max_examples=150, deadline=None)
@given(
    sizes=st.lists(st.integers(1, 6), min_size=2, max_size=6),
    seed=st.integers(0, 2**32),
    gamma=st.sampled_from([0.0, 0.02, 0.05, 0.08, 0.15]),
    keep=st.tuples(st.booleans(), st.booleans()),
)
def test_random_networks_against_brute_force(sizes, seed, gamma, keep):
    values = network(sizes, torch.Generator().manual_seed(seed))
    (stack,) = find_stacks(values)
    weights = [values[name].tolist() for name in stack.weights]
    same(prune(values, stack, gamma=gamma, keep_first=keep[0], keep_last=keep[1]), *edge_masks(weights, gamma, *keep))
    nodes = prune(values, stack, gamma=gamma, granularity="node", keep_first=False, keep_last=False)
    same(nodes, *node_masks(weights, gamma))


@settings(max_examples=40, deadline=None)
@given(
    sizes=st.lists(st.integers(1, 5), min_size=2, max_size=5),
    seed=st.integers(0, 2**32),
    options=st.sampled_from(
        [{}, {"gamma": 0.1}, {"keep_ratio": 0.3}, {"granularity": "node"}, {"keep_ratio": 0.5, "keep_last": False}]
    ),
)
def test_stacked_is_one_by_one(sizes, seed, options):
    values = network(sizes, torch.Generator().manual_seed(seed), tasks=3)
    (stack,) = find_stacks(values)
    together = prune(values, stack, **options)
    assert list(together) == stack.names
    for task in range(3):
        alone = prune({name: value[task] for name, value in values.items()}, stack, **options)
        for name in stack.names:
            assert together[name].dtype == torch.bool
            assert torch.equal(together[name][task], alone[name])


def test_signs_and_upper_layers_do_not_matter_but_upper_nodes_do():
    values = hand_net()
    flipped = {name: -value for name, value in values.items()}
    assert as_lists(prune(values, STACK)) == as_lists(prune(flipped, STACK))
    values["layers.2.weight"][0, 2] = 0.9  # wakes node 2 below, and with it row 2 of layer 1
    masks = as_lists(prune(values, STACK))
    assert masks["1.weight"] == [[1, 0, 1], [0, 0, 0], [1, 1, 1]]
    assert masks["0.bias"] == [1, 1, 1]


def test_the_other_parts_and_tasks_change_nothing():
    generator = torch.Generator().manual_seed(0)
    a = {f"a.{name}": value for name, value in network((3, 4, 4, 2), generator).items()}
    b = {f"b.{name}": value for name, value in network((3, 4, 4, 2), generator).items()}
    both = prune({**a, **b, "gate": torch.ones(1)}, find_stacks([*a, *b]), keep_ratio=0.5)
    alone = {**prune(a, find_stacks(a), keep_ratio=0.5), **prune(b, find_stacks(b), keep_ratio=0.5)}
    assert both.keys() == alone.keys() == {*a, *b}
    assert all(torch.equal(both[name], alone[name]) for name in both)


def test_with_disjoint_masks_an_update_for_one_task_leaves_the_others_function_alone():
    torch.manual_seed(1)
    values = {
        "layers.0.weight": torch.randn(4, 3),
        "layers.1.weight": torch.randn(4, 4),
        "layers.2.weight": torch.randn(2, 4),
    }
    one = {name: torch.zeros(4, 4, dtype=torch.bool) for name in ("layers.1.weight",)}
    one["layers.1.weight"][:2, :2] = True
    two = {"layers.1.weight": ~one["layers.1.weight"]}
    shared = {name: value.clone().requires_grad_() for name, value in values.items()}
    x = torch.randn(5, 3)

    def forward(masks, tensors):
        p = apply_masks(tensors, masks)
        return torch.relu(torch.relu(x @ p["layers.0.weight"].T) @ p["layers.1.weight"].T) @ p["layers.2.weight"].T

    (grad,) = torch.autograd.grad(forward(one, shared).sum(), shared["layers.1.weight"])
    assert torch.equal(grad[two["layers.1.weight"]], torch.zeros(12))
    assert grad.abs().sum() > 0
    moved = {**values, "layers.1.weight": values["layers.1.weight"] - 0.5 * grad}
    assert torch.equal(forward(two, moved), forward(two, values))
    assert not torch.equal(forward(one, moved), forward(one, values))


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16, torch.float16])
def test_other_types_of_numbers(dtype):
    values = {name: value.to(dtype) for name, value in network((4, 6, 6, 3), torch.Generator().manual_seed(3)).items()}
    (stack,) = find_stacks(values)
    single = {name: value.float() for name, value in values.items()}
    for options in ({"gamma": 0.04}, {"keep_ratio": 0.4}):
        masks, expected = prune(values, stack, **options), prune(single, stack, **options)
        assert all(torch.equal(masks[name], expected[name]) for name in masks)


# Thresholds


def test_gamma_by_default_and_its_extremes(caplog):
    values = hand_net()
    assert as_lists(prune(values, STACK)) == as_lists(prune(values, STACK, gamma=0.05))
    caplog.clear()
    with caplog.at_level(logging.WARNING):
        masks = prune(values, STACK, gamma=1.0, tasks=["user 7"])
    assert [record.message for record in caplog.records] == [
        f"pruning leaves nothing of layers.{i}.weight for task user 7: lower gamma, or give a keep_ratio."
        for i in (1, 2)
    ]
    assert masks["layers.0.weight"].all()
    assert masks["layers.3.weight"].all()
    assert not masks["layers.1.weight"].any()
    caplog.clear()
    with caplog.at_level(logging.WARNING):
        masks = prune(values, STACK, gamma=0.0)
    assert [record.message for record in caplog.records] == [
        f"pruning leaves layers.{i}.weight whole: raise gamma, or train with L1 for longer." for i in (1, 2)
    ]
    assert all(mask.all() for mask in masks.values())


def test_stacked_tasks_are_named_in_one_warning(caplog):
    values = {name: torch.stack([value] * 7) for name, value in hand_net().items()}
    values["layers.1.weight"][3] = 0.9
    with caplog.at_level(logging.WARNING):
        prune(values, STACK, gamma=0.9)
    assert caplog.records[1].message == (
        "pruning leaves nothing of layers.2.weight for tasks at position 0, at position 1, at position 2, at position 3, "
        "at position 4 and 2 more: lower gamma, or give a keep_ratio."
    )
    with pytest.raises(HfmetaError, match=r"2 task id\(s\) were given for 7 task\(s\)"):
        prune(values, STACK, gamma=0.9, tasks=["a", "b"])


def test_everything_pruned_is_an_error_where_asked_for():
    with pytest.raises(
        HfmetaError, match="leaves nothing of layers.1.weight for task 5: lower gamma, or give a keep_ratio"
    ):
        prune(hand_net(), STACK, gamma=1.0, on_empty="error", tasks=[5])
    prune(hand_net(), STACK, on_empty="error")


@pytest.mark.parametrize("ratio", [0.0, 0.1, 0.25, 0.5, 0.9, 1.0])
def test_a_keep_ratio_is_each_layers_own_quantile(ratio):
    values = {"layers.0.weight": torch.randn(20, 5), "layers.1.weight": 10 * torch.randn(30, 20)}
    values |= {"layers.2.weight": torch.randn(7, 30), "layers.3.weight": torch.randn(4, 7)}
    (stack,) = find_stacks(values)
    masks = prune(values, stack, keep_ratio=ratio, keep_last=False)
    top = masks["layers.3.weight"]
    assert top.sum() == math.floor(ratio * 28 + 0.5)  # its upper nodes are all kept, so the ratio is met
    if 0 < ratio < 1:
        assert values["layers.3.weight"][top].abs().min() > values["layers.3.weight"][~top].abs().max()
    for name in thinnable_of(stack, keep_last=False):
        assert masks[name].sum() <= math.floor(ratio * masks[name].numel() + 0.5)


def test_ties_with_the_quantile_go_and_zeros_never_fill_up():
    values = {"layers.0.weight": torch.tensor([[0.0, 0.0, 0.0, 0.5]])}
    (stack,) = find_stacks(values)
    masks = prune(values, stack, keep_ratio=0.5, keep_first=False, keep_last=False)
    assert masks["layers.0.weight"].tolist() == [[False, False, False, True]]


# LoRA


def test_ranks_by_hand(caplog):
    # in = 4, out = 9: sqrt(36) = 6. Norms of A's rows: 2, 2, 0; of B's columns: 3, 0.3, 3. Strengths: 1, 0.1, 0.
    a = torch.tensor([[1.0, 1, 1, 1], [1, -1, 1, -1], [0, 0, 0, 0]])
    b = torch.ones(9, 3) * torch.tensor([1.0, 0.1, 1.0])
    values, pair = {"A": a, "B": b}, RankPair("A", "B")
    for gamma, kept in ((0.0, [1, 1, 0]), (0.09, [1, 1, 0]), (0.11, [1, 0, 0]), (0.99, [1, 0, 0])):
        masks = prune(values, pair, gamma=gamma, granularity="rank")
        assert masks["A"].int().tolist() == [[k] * 4 for k in kept]
        assert masks["B"].int().tolist() == [kept] * 9
    assert prune(values, RankPair("A", "B", scale=0.05), gamma=0.04, granularity="rank")["B"][0].tolist() == [
        True,
        False,
        False,
    ]
    assert prune(values, pair, keep_ratio=0.34, granularity="rank")["B"][0].tolist() == [True, False, False]
    assert not caplog.records
    prune(values, pair, gamma=1.1, granularity="rank", tasks=["u"])
    assert caplog.records[0].message.startswith("pruning leaves nothing of every LoRA pair for task u")


def test_a_rank_is_as_strong_as_the_root_mean_square_of_what_it_adds():
    torch.manual_seed(0)
    a, b = torch.randn(5, 2, 6), torch.randn(5, 3, 2)  # 5 tasks
    added = torch.einsum("tor,tri->troi", b, a)
    strengths = added.pow(2).mean((-2, -1)).sqrt()
    gamma = float(strengths.median())
    masks = prune({"A": a, "B": b}, RankPair("A", "B"), gamma=gamma + 1e-6, granularity="rank")
    assert torch.equal(masks["A"][:, :, 0], strengths > gamma + 1e-6)
    assert torch.equal(masks["B"][:, 0, :], strengths > gamma + 1e-6)


def test_masks_of_ranks_are_the_product_of_the_kept_ranks():
    torch.manual_seed(0)
    values = {"A": torch.randn(4, 6), "B": torch.randn(5, 4)}
    masks = prune(values, RankPair("A", "B"), keep_ratio=0.5, granularity="rank")
    kept = masks["A"][:, 0]
    assert kept.sum() == 2
    cut = apply_masks(values, masks)
    assert torch.allclose(cut["B"] @ cut["A"], values["B"][:, kept] @ values["A"][kept])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"gamma": 0.1, "keep_ratio": 0.5}, "gamma or keep_ratio, not both"),
        ({"gamma": -1.0}, "at least 0; received -1.0"),
        ({"gamma": math.nan}, "at least 0; received nan"),
        ({"keep_ratio": 1.5}, r"a share in \[0, 1\]; received 1.5"),
        ({"granularity": "egde"}, "one of edge, node, rank; received 'egde'"),
        ({"granularity": "rank"}, 'stack of layers, pruned with granularity="edge" or "node"; received \'rank\''),
        ({"on_empty": "raise"}, 'on_empty is "warn" or "error"'),
    ],
)
def test_refusals(options, message):
    with pytest.raises(HfmetaError, match=message):
        prune(hand_net(), STACK, **options)


def test_a_pair_is_refused_among_edges():
    with pytest.raises(HfmetaError, match="A is in a LoRA pair, pruned with granularity=\"rank\"; received 'edge'"):
        prune({"A": torch.ones(1, 1), "B": torch.ones(1, 1)}, RankPair("A", "B"))


def test_masks_of_another_shape_are_not_applied():
    with pytest.raises(HfmetaError, match=r"the mask of w has shape \(3,\); the tensor has \(2,\)"):
        apply_masks({"w": torch.ones(2)}, {"w": torch.ones(3)})
    assert torch.equal(apply_masks({"w": torch.ones(2)}, {"v": torch.ones(3)})["w"], torch.ones(2))
