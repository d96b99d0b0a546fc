"""Stacks and LoRA pairs found by name, and values that do not fit them."""

from __future__ import annotations

import pytest
import torch

from hfmeta.adapters.pruning import RankPair, Stack, find_rank_pairs, find_stacks, prune, thinnable_of, weights_of
from hfmeta.inner.errors import HfmetaError


def test_stacks_are_found_in_the_order_of_their_layers():
    names = [f"decoder.private.layers.{i}.{kind}" for i in (10, 2, 0, 1, *range(3, 10)) for kind in ("bias", "weight")]
    (stack,) = find_stacks(
        [*names, "decoder.gate.weight", "encoder.layers.0.self_attn.k_proj.weight", "layers.x.weight"]
    )
    assert stack.weights == [f"decoder.private.layers.{i}.weight" for i in range(11)]
    assert stack.layers[10] == ("decoder.private.layers.10.weight", "decoder.private.layers.10.bias")
    assert len(stack.names) == 22
    assert stack.thinnable() == stack.weights[1:-1]
    assert stack.thinnable(keep_first=False) == stack.weights[:-1]
    assert stack.thinnable(keep_last=False) == stack.weights[1:]


def test_several_stacks_without_biases_and_without_a_prefix():
    stacks = find_stacks(
        ["layers.0.weight", "b.private_mlp_x.default.layers.0.weight", "b.private_mlp_x.default.layers.0.bias"]
    )
    assert stacks[0] == Stack((("layers.0.weight", None),))
    assert stacks[1].layers[0][1] == "b.private_mlp_x.default.layers.0.bias"
    assert find_stacks(["weight", "x.lora_A.weight"]) == []


def test_a_gap_in_a_stack():
    with pytest.raises(HfmetaError, match=r"p\.layers\.1\.weight is missing from a stack that goes up to layer 2"):
        find_stacks(["p.layers.0.weight", "p.layers.1.bias", "p.layers.2.weight"])


def test_lora_pairs_are_found_under_every_name_peft_gives():
    names = ["m.q.lora_B.default.weight", "m.q.lora_A.default.weight", "m.v.lora_A.weight", "m.v.lora_B.weight"]
    names += [
        "m.e.lora_embedding_A.default",
        "m.e.lora_embedding_B.default",
        "m.e.lora_embedding_A",
        "m.e.lora_embedding_B",
    ]
    pairs = find_rank_pairs([*names, "m.q.base_layer.weight"])
    assert {(pair.a, pair.b) for pair in pairs} == {
        ("m.q.lora_A.default.weight", "m.q.lora_B.default.weight"),
        ("m.v.lora_A.weight", "m.v.lora_B.weight"),
        ("m.e.lora_embedding_A.default", "m.e.lora_embedding_B.default"),
        ("m.e.lora_embedding_A", "m.e.lora_embedding_B"),
    }
    with pytest.raises(HfmetaError, match=r"'m.v.lora_B.weight' has no partner: 'm.v.lora_A.weight'"):
        find_rank_pairs(["m.v.lora_B.weight"])


def test_names_of_a_structure():
    stack = Stack((("1", "1b"), ("2", None), ("3", "3b")))
    pair = RankPair("A", "B")
    assert weights_of([stack, pair]) == ["1", "2", "3", "A", "B"]
    assert thinnable_of([stack, pair]) == ["2", "A", "B"]
    assert thinnable_of(stack, keep_first=False, keep_last=False) == ["1", "2", "3"]


@pytest.mark.parametrize(
    ("structure", "message"),
    [
        ([], "the structure is empty"),
        (["a"], "made of Stack and RankPair objects; received str"),
        (Stack((("a", None), ("a", None))), "'a' belongs to two parts"),
        (Stack((("wieght", None),)), "names 'wieght', which is not among the values. Did you mean 'weight'"),
        (Stack((("vector", None),)), r"vector has shape \(3,\); a weight is"),
        (Stack((("weight", "vector"),)), r"vector has shape \(3,\) where \(2,\) fits"),
        (Stack((("weight", None), ("weight2", None))), r"weight2 has shape \(3, 3\) where \(3, 2\) fits"),
        (Stack((("stack", "vector"),)), r"vector has shape \(3,\) where \(5, 2\) fits.*stacked, T = 5"),
        (Stack((("nan", None),)), "nan holds values that are not finite"),
        (Stack((("int", None),)), "int holds values that are not finite numbers"),
    ],
)
def test_values_that_do_not_fit(structure, message):
    values = {
        "weight": torch.ones(2, 3),
        "weight2": torch.ones(3, 3),
        "vector": torch.ones(3),
        "stack": torch.ones(5, 2, 3),
        "nan": torch.full((2, 3), torch.nan),
        "int": torch.ones(2, 3, dtype=torch.int64),
    }
    with pytest.raises(HfmetaError, match=message):
        prune(values, structure)


def test_a_pair_whose_ranks_differ():
    with pytest.raises(HfmetaError, match=r"B has shape \(5, 3\) where \(5, 2\) fits"):
        prune({"A": torch.ones(2, 4), "B": torch.ones(5, 3)}, RankPair("A", "B"), granularity="rank")


def test_an_empty_stack():
    with pytest.raises(HfmetaError, match="at least one layer"):
        Stack(())
