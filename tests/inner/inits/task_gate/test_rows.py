"""Rows of a support set as vectors: numbers, images, features, codes of classes, and padding."""

from __future__ import annotations

import pytest
import torch

from hfmeta.inner.inits.task_gate import ConvolutionalRows, FeatureRows, RawRows, like
from hfmeta.inner.inits.task_gate.rows import one_hot, present

LABELS = torch.tensor([[0, 2, -100]])


def none():
    raise AssertionError("features are not read")


def test_numbers_stand_beside_what_is_to_be_predicted():
    support = {"inputs": torch.tensor([[[1.0], [2.0]]]), "labels": torch.tensor([[[3.0], [4.0]]])}
    assert RawRows("inputs", 2)(support, none).tolist() == [[[1.0, 3.0], [2.0, 4.0]]]


def test_features_stand_beside_the_class_and_may_be_detached():
    features = torch.ones(1, 3, 2, requires_grad=True)
    attached, detached = (
        FeatureRows(2, 3, True, detach)({"labels": LABELS}, lambda: features) for detach in (False, True)
    )
    assert attached.tolist() == [[[1, 1, 1, 0, 0], [1, 1, 0, 0, 1], [1, 1, 0, 0, 0]]]
    assert torch.equal(attached, detached)
    assert attached.requires_grad
    assert not detached.requires_grad, "also where they were computed with a graph"
    assert FeatureRows(2, 0, False, False)({"labels": LABELS}, lambda: features).shape == (1, 3, 2)


@pytest.mark.parametrize(("side", "left"), [(84, 21), (28, 7), (16, 4), (15, 4), (13, 4)])
def test_images_are_halved_twice(side, left):
    rows = ConvolutionalRows("pixel_values", 3, side, 5, like(torch.zeros(1)))
    assert rows.dense.shape == (32 * left * left, 384)
    support = {"pixel_values": torch.randn(1, 3, 3, side, side), "labels": LABELS}
    found = rows(support, none)
    assert found.shape == (1, 3, 69)
    assert found[0, :, 64:].tolist() == one_hot(LABELS, 5)[0].tolist()


def test_the_normalisation_is_the_reference_s():
    """v / (1 + 0.001 / 9 * sum over nine channels of v^2)^0.75, whatever torch's division makes of it."""
    rows = ConvolutionalRows("pixel_values", 1, 8, 2, like(torch.zeros(1)))
    x = 10 * torch.randn(1, 32, 1, 1)
    sums = torch.stack([x[0, max(0, c - 4) : c + 5].square().sum() for c in range(32)])
    torch.testing.assert_close(rows.normalise(x).flatten(), x.flatten() / (1 + 0.001 / 9 * sums) ** 0.75)


def test_padding_is_known_by_its_labels():
    assert present(torch.tensor([[0, 1]])) is None
    assert present(torch.tensor([[0.5, -100.0]])) is None, "numbers have no padding"
    assert present(LABELS).tolist() == [[True, True, False]]
    tokens = torch.tensor([[[1, -100], [-100, -100]]])
    assert present(tokens).tolist() == [[True, False]]
