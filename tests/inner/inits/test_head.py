"""Heads made from the support set: prototypes classify as the nearest class mean; zero heads are zero."""

from __future__ import annotations

import pytest
import torch

from hfmeta.inner import HfmetaError
from hfmeta.inner.inits import HeadInit, Plain, class_means

THETA = {"head.weight": torch.full((3, 4), 7.0), "head.bias": torch.full((3,), 7.0), "body": torch.ones(2)}


def test_prototypes_are_the_nearest_class_mean():
    dice = torch.Generator().manual_seed(0)
    features, rows = torch.randn(2, 6, 4, generator=dice), torch.randn(2, 9, 4, generator=dice)
    labels = torch.tensor([[0, 1, 2, 0, 1, 2], [2, 1, 0, 0, 0, 1]])
    start = HeadInit("head.weight", "head.bias", "prototype")(THETA, {"labels": labels}, lambda: features)
    logits = rows @ start["head.weight"].transpose(1, 2) + start["head.bias"].unsqueeze(1)
    means = torch.stack(
        [torch.stack([f[y == c].mean(0) for c in range(3)]) for f, y in zip(features, labels, strict=True)]
    )
    assert torch.equal(logits.argmax(-1), torch.cdist(rows, means).argmin(-1))


def test_a_class_without_rows_keeps_the_learned_row():
    labels = torch.tensor([[0, 0, 2, -100]])
    start = HeadInit("head.weight", "head.bias", "prototype")(THETA, {"labels": labels}, lambda: torch.ones(1, 4, 4))
    assert start["head.weight"][0, 1].tolist() == [7.0] * 4
    assert start["head.bias"][0].tolist() == [-4.0, 7.0, -4.0]


def test_padded_rows_do_not_count():
    means, present = class_means(torch.tensor([[[1.0], [3.0], [9.0]]]), torch.tensor([[0, 0, -100]]), 2)
    assert means.tolist() == [[[2.0], [0.0]]]
    assert present.tolist() == [[True, False]]


def test_zero_and_plain_heads():
    labels = torch.zeros(2, 1, dtype=torch.long)
    zero = HeadInit("head.weight", "head.bias", "zero")(THETA, {"labels": labels}, lambda: torch.empty(0))
    assert not zero["head.weight"].any()
    assert not zero["head.bias"].any()
    assert zero["body"].tolist() == [[1.0, 1.0]] * 2
    plain = Plain()(THETA, {"labels": labels}, lambda: torch.empty(0))
    assert all(torch.equal(plain[name][1], value) for name, value in THETA.items())


def test_bad_options_are_refused():
    with pytest.raises(HfmetaError, match="prototype.*needs a head with a bias"):
        HeadInit("head.weight", None, "prototype")
    with pytest.raises(HfmetaError, match="head must be one of shared, zero, prototype, not 'random'"):
        HeadInit("head.weight", None, "random")
    with pytest.raises(HfmetaError, match="prototype_scale must be positive, not 0"):
        HeadInit("head.weight", "head.bias", "prototype", scale=0)


@pytest.mark.parametrize("head", ["zero", "prototype"])
def test_classes_that_an_episode_does_not_have_are_out_of_the_question(head):
    """Two-way episodes under a head of three rows: the third class is never answered and moves nothing."""
    labels = torch.tensor([[0, 1, 1, -100]])
    init = HeadInit("head.weight", "head.bias", head)
    init.own_classes = True
    start = init(THETA, {"labels": labels}, lambda: torch.randn(1, 4, 4, generator=torch.Generator().manual_seed(0)))
    assert start["head.weight"][0, 2].tolist() == [0.0] * 4
    logits = torch.ones(5, 4) @ start["head.weight"][0].T + start["head.bias"][0]
    assert not logits.softmax(-1)[:, 2].any()
    assert torch.equal(logits[:, :2].softmax(-1), logits.softmax(-1)[:, :2])


def test_absent_classes_need_a_bias_to_be_left_out():
    init = HeadInit("head.weight", None, "zero")
    init.own_classes = True
    with pytest.raises(HfmetaError, match="fewer classes than the head"):
        init({"head.weight": torch.ones(3, 4)}, {"labels": torch.tensor([[0, 1]])}, lambda: torch.ones(1, 2, 4))
