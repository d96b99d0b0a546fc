"""The card of a repository of private adapters: what they are, on what they work and how to open one. Never whose they are."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hfmeta.publishing.card.metadata import plain_data
from hfmeta.publishing.card.rendering import render


def private_card(about: Mapping[str, Any], peft_type: str, count: int) -> str:
    """The card of one private adapter, or of several in subfolders.

    Args:
        about: what `hfmeta_adapter.json` says.
        peft_type: `LORA` or `PRIVATE_MLP`.
        count: how many there are.
    """
    return render(
        "private.md",
        plain_data("peft", None, about["base"]["name"], "private-adapter"),
        learner=about["learner"],
        base=about["base"],
        stock=peft_type == "LORA",
        count=count,
        subfolder="" if count == 1 else ', subfolder="adapters/<name>"',
    )
