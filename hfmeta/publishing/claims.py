"""What configurations claim, held against what is stored, before memory is taken for it. Not here: paths and links (folders.py)."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open

from hfmeta.adapters.rank_private import CONFIG_FILE, WEIGHTS_FILE
from hfmeta.inner.errors import HfmetaError

WIDTHS = ("r", "rank_pattern", "hidden_sizes", "num_virtual_tokens")
"""Fields of an adapter's configuration that say how large its tensors are made."""
SPARE = 1_000_000
"""Values that a model may have beyond twice those stored, so that small ones with tied tensors pass."""


def stored_sizes(folder: Path) -> dict[str, int]:
    """How many values each stored tensor of a model has, by name, from the headers alone."""
    sizes: dict[str, int] = {}
    for path in folder.glob("model*.safetensors"):
        with safe_open(path, "pt") as file:
            sizes |= {name: math.prod(file.get_slice(name).get_shape()) for name in file.keys()}  # noqa: SIM118
    return sizes


def check_layers(folder: Path, stored: dict[str, int]) -> None:
    """Refuse numbers in a config that nothing stored bears out, before as many layers or names of classes are made.

    Args:
        folder: of a stock model.
        stored: what `stored_sizes` found in it.

    Raises:
        HfmetaError: names the field.
    """
    try:
        content = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return  # transformers says so
    for key, value in content.items() if isinstance(content, dict) and stored else ():
        most = sum(stored.values()) if key == "num_labels" else len(stored) if "layer" in key else None
        if most is not None and isinstance(value, int) and value > most:
            raise HfmetaError(
                f"{folder / 'config.json'} says {key}={value:,}, and its weights are {len(stored):,} tensors of "
                f"{sum(stored.values()):,} values: one of them is not true. Save or download it again."
            )


def check_room(loader: Any, config: Any, folder: Path, stored: dict[str, int]) -> None:
    """Refuse a config that asks for far more values than are stored: what is missing would be made, however large.

    Args:
        loader: the Auto class, or a model's own.
        config: the model's.
        folder: where it lies.
        stored: what `stored_sizes` found in it.

    Raises:
        HfmetaError: with both numbers.
    """
    with torch.random.fork_rng(devices=[]), torch.device("meta"):
        shape: Any = (
            loader.from_config(config, trust_remote_code=False) if hasattr(loader, "from_config") else loader(config)
        )
    asked, there = sum(value.numel() for value in shape.parameters()), sum(stored.values())
    if stored and asked > 2 * there + SPARE:
        raise HfmetaError(
            f"{folder / 'config.json'} asks for a model of {asked:,} values, and its weights have {there:,}; no memory was taken for "
            "them. Save or download it again."
        )


def check_widths(folder: Path, widest: int) -> None:
    """Refuse an adapter whose configuration asks for wider layers than any stored tensor can fill, before they are made.

    Args:
        folder: of the adapter.
        widest: the greatest extent of a stored tensor; bits are stored eight to a byte.

    Raises:
        HfmetaError: names the field.
    """
    config = json.loads((folder / CONFIG_FILE).read_text(encoding="utf-8"))
    for key in WIDTHS:
        value = config.get(key)
        given = value.values() if isinstance(value, dict) else value if isinstance(value, list) else [value]
        most = max((one for one in given if isinstance(one, int)), default=0)
        if most > 8 * widest:
            raise HfmetaError(
                f"{folder / CONFIG_FILE} says {key}={most:,}, and no tensor in {WEIGHTS_FILE} is wider than {widest:,}; no "
                "memory was taken for it. Save or download it again."
            )
