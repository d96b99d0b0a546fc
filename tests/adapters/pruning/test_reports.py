"""Keep ratios and overlaps against counts made one edge at a time."""

from __future__ import annotations

import pytest
import torch

from hfmeta.adapters.pruning import RankPair, Stack, keep_report, overlap, thinnable_of, weights_of
from hfmeta.inner.errors import HfmetaError

STACK = Stack((("1", "1b"), ("2", None), ("3", "3b")))


def random_masks(tasks=6, share=0.4):
    generator = torch.Generator().manual_seed(0)
    shapes = {"1": (5, 3), "1b": (5,), "2": (7, 5), "3": (2, 7), "3b": (2,)}
    return {name: torch.rand(tasks, *shape, generator=generator) < share for name, shape in shapes.items()}


def test_keep_ratios():
    masks = random_masks()
    report = keep_report(masks, STACK)
    for task in range(6):
        kept = {name: int(masks[name][task].sum()) for name in "123"}
        assert report.layers["2"][task] == kept["2"] / 35
        assert report.thinnable[task] == kept["2"] / 35
        assert report.total[task] == pytest.approx(sum(kept.values()) / (15 + 35 + 14))
        alone = keep_report({name: mask[task] for name, mask in masks.items()}, STACK)
        assert alone.total.shape == ()
        assert alone.total == report.total[task]
    thin = keep_report(masks, STACK, keep_first=False)
    assert thin.thinnable[0] == pytest.approx(int(masks["1"][0].sum() + masks["2"][0].sum()) / 50)
    summary = report.summary()
    assert summary["keep_ratio"] == pytest.approx(float(report.total.mean()))
    assert summary["keep_ratio_min"] < summary["keep_ratio"] < summary["keep_ratio_max"]
    assert summary["keep_ratio/3"] == pytest.approx(float(report.layers["3"].mean()))


def test_a_stack_without_thinnable_layers_and_a_lora():
    masks = {"a": torch.ones(2, 3, 4, dtype=torch.bool), "b": torch.ones(2, 5, 3, dtype=torch.bool)}
    assert keep_report(masks, Stack((("a", None), ("b", None)))).thinnable.tolist() == [1, 1]
    masks["a"][0, 1:], masks["b"][0, :, 1:] = False, False
    assert keep_report(masks, RankPair("a", "b")).total.tolist() == pytest.approx([1 / 3, 1])


def test_overlap_is_jaccard():
    masks = random_masks(tasks=9)
    for names in (weights_of(STACK), thinnable_of(STACK), ["1b"]):
        found = overlap(masks, names)
        sets = [
            {(name, *where) for name in names for where in masks[name][task].nonzero().tolist()} for task in range(9)
        ]
        for i, one in enumerate(sets):
            for j, other in enumerate(sets):
                assert found[i, j] == (len(one & other) / len(one | other) if one | other else 1.0)


def test_disjoint_equal_and_empty_structures():
    masks = {"w": torch.zeros(4, 2, 100, dtype=torch.bool)}
    masks["w"][0, 0], masks["w"][1, 1] = True, True
    found = overlap(masks, ["w"])
    assert found.tolist() == [[1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 1, 1], [0, 0, 1, 1]]


def test_hundreds_of_masks_in_blocks():
    generator = torch.Generator().manual_seed(1)
    masks = {"w": torch.rand(200, 60, 70, generator=generator) < 0.3}
    flat = masks["w"].flatten(1).double()
    both = flat @ flat.T
    kept = flat.sum(1)
    assert torch.allclose(overlap(masks, ["w"]), both / (kept[:, None] + kept[None] - both), rtol=0, atol=1e-12)


def test_refusals():
    masks = random_masks()
    with pytest.raises(HfmetaError, match="no entry for '2'"):
        keep_report({"1": masks["1"]}, STACK)
    with pytest.raises(HfmetaError, match="no entry for 'x'"):
        overlap(masks, ["x"])
    with pytest.raises(HfmetaError, match="at least one tensor's name"):
        overlap(masks, [])
