"""A pytest plugin for the run inside PEFT's source distribution: keeps the tests that are given one of our configurations."""

from __future__ import annotations

from typing import Any

import pytest

from hfmeta.adapters.private_mlp import PrivateMlpConfig

MERGED = {
    "test_mixed_adapter_batches_merged_raises": "merging: what it refuses cannot come about, since merging itself is "
    "refused"
}
"""Tests that merge without asking whether the method can."""


def ours(value: Any) -> bool:
    """Whether a parameter of a test is, or holds, a configuration of ours."""
    if isinstance(value, tuple | list):
        return any(ours(part) for part in value)
    return value is PrivateMlpConfig or isinstance(value, PrivateMlpConfig)


def pytest_collection_modifyitems(config: Any, items: list[Any]) -> None:
    """Deselect what PEFT tests of other methods."""
    kept = [item for item in items if any(ours(value) for value in getattr(item, "callspec", _None).params.values())]
    config.hook.pytest_deselected(items=[item for item in items if item not in set(kept)])
    for item in kept:
        if item.originalname in MERGED:
            item.add_marker(pytest.mark.skip(reason=MERGED[item.originalname]))
    items[:] = kept


class _None:
    params: dict[str, Any] = {}
