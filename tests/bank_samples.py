"""Adapters and ids for the bank's tests."""

from __future__ import annotations

import torch

SHAPES = {"a.weight": (6, 5), "a.bias": (6,), "scale": ()}


IDS = [
    "../../x",
    "/etc/passwd",
    "😀 and spaces",
    ".",
    "..",
    "a\nb\x00",
    "é",
    "e\u0301",
    "A",
    "a",
    "con",
    "%41",
    "~",
    "x" * 3000,
    "0",
    "-",
]


def adapter(seed=0, dtype=torch.float32):
    generator = torch.Generator().manual_seed(seed)
    return {name: torch.randn(shape, generator=generator).to(dtype) for name, shape in SHAPES.items()}


def some_masks(seed=0, names=("a.weight", "a.bias")):
    generator = torch.Generator().manual_seed(seed)
    return {name: torch.rand(SHAPES[name], generator=generator) < 0.3 for name in names}


def same(left, right):
    assert left.keys() == right.keys()
    for name in left:
        assert left[name].dtype == right[name].dtype
        assert torch.equal(left[name], right[name]), name
