"""Checks of hfmeta/models/private_mlp.py."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from hfmeta.inner.errors import HfmetaError
from hfmeta.models import PrivateMlp
from tiny import seeded


def test_the_papers_size():
    mlp = PrivateMlp((600, 600, 500, 400, 300))
    assert sum(value.numel() for value in mlp.parameters()) == 981_800
    assert [tuple(layer.weight.shape) for layer in mlp.layers] == [(600, 600), (500, 600), (400, 500), (300, 400)]
    assert all(isinstance(layer, nn.Linear) for layer in mlp.layers)
    assert sum(value.numel() for value in PrivateMlp((300, 300, 200, 100, 300)).parameters()) == 200_900


@pytest.mark.parametrize("last", ["tanh", "linear"])
def test_forward_is_the_written_out_network(last):
    mlp = seeded(lambda: PrivateMlp([3, 5, 4, 2], last), dtype=torch.float64)
    z = torch.randn(2, 6, 3, dtype=torch.float64)
    one, two, three = mlp.layers
    u = (z @ one.weight.T + one.bias).clamp_min(0)
    u = (u @ two.weight.T + two.bias).clamp_min(0)
    u = u @ three.weight.T + three.bias
    torch.testing.assert_close(mlp(z), u.tanh() if last == "tanh" else u)


def test_a_single_layer():
    mlp = seeded(lambda: PrivateMlp([3, 2], "linear"))
    z = torch.randn(4, 3)
    torch.testing.assert_close(mlp(z), mlp.layers[0](z))
    assert "last='linear'" in repr(mlp)


@pytest.mark.parametrize(
    ("sizes", "last", "message"),
    [
        ([3], "tanh", r"private sizes \[3\] are too few: give at least two"),
        (
            [3, 0, 2],
            "tanh",
            r"private sizes \[3, 0, 2\] cannot be built: every size must be a whole number of at least 1",
        ),
        ([3, 1.5], "tanh", r"private sizes \[3, 1.5\] cannot be built"),
        ([3, True], "tanh", r"private sizes \[3, True\] cannot be built"),
        ([3, 2], "relu", "last='relu' is not known to the private MLP; choose one of tanh, linear"),
    ],
)
def test_impossible_networks_are_refused(sizes, last, message):
    with pytest.raises(HfmetaError, match=message):
        PrivateMlp(sizes, last)
