"""The card of an adapted model: what it came from and how it is opened; never the examples it was made from, nor whose they are."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hfmeta.models import AUTO_CLASSES
from hfmeta.models.origins import hub_id_of
from hfmeta.publishing.card.metadata import plain_data
from hfmeta.publishing.card.rendering import render


def adapted_card(about: Mapping[str, Any]) -> str:
    """The README.md of an adapted model.

    Args:
        about: `task_type`, `base` (name), `peft` (whether it is an adapter), `model_type` and `class` of the model, and where its
            learner is known `algorithm`, `inner_steps` and `learner` (its name); each may be None.
    """
    task, own = about.get("task_type"), str(about.get("model_type") or "").startswith("hfmeta-")
    auto = AUTO_CLASSES[task].__name__ if task in AUTO_CLASSES else None
    library = "peft" if about.get("peft") else "hfmeta" if own else "transformers"
    tags = ["adapted", *([str(about["algorithm"]).replace("_", "-")] if about.get("algorithm") else [])]
    return render(
        "adapted.md",
        plain_data(library, task, about.get("base"), *tags),
        task=task or "custom",
        about=about,
        own=own,
        auto=auto,
        hub_id=hub_id_of(about.get("base")),
    )
