"""Whose private adapter it is: an adapter is made on one learner's base model and means nothing on another.

A base model knows its own identity where its config says so (`base_learner`, `base_learner_revision`; a learner writes
them when it is saved) or where it was loaded from a hub. A folder's name is no identity: the same learner may lie
anywhere, and a learner's revision is a fingerprint of its values, so that a copy under another name is known as the same.
"""

from __future__ import annotations

import os
from typing import Any

from torch import nn

from hfmeta.adapters.private_mlp.config import PrivateMlpConfig
from hfmeta.inner.errors import HfmetaError

FINGERPRINT = "sha256:"
"""How a revision begins that says what a learner's values are, rather than where they lie."""


def base_learner_of(model: nn.Module) -> tuple[str | None, str | None]:
    """The identity and revision of a base model, each None where it does not know them."""
    config: Any = getattr(model, "config", None)
    if identity := getattr(config, "base_learner", None):
        return identity, getattr(config, "base_learner_revision", None)
    name = getattr(model, "name_or_path", "") or getattr(config, "_name_or_path", "")
    from_hub = bool(name) and not os.path.isabs(name) and not os.path.exists(name) and name.count("/") == 1
    return (name, getattr(config, "_commit_hash", None)) if from_hub else (None, None)


def check_base_learner(config: PrivateMlpConfig, model: nn.Module) -> None:
    """Refuse an adapter of another learner; a new adapter takes the model's own word for whose it is.

    A learner may stand on a base of another name (a stock model from a hub): that name is in the adapter's configuration too.

    Raises:
        HfmetaError: both know, and they differ.
    """
    identity, revision = base_learner_of(model)
    if config.base_learner is None:
        known: Any = getattr(model, "config", None)
        if getattr(known, "base_learner", None) and not config.inference_mode:
            config.base_learner, config.base_learner_revision = identity, revision
        return
    if revision is not None and revision.startswith(FINGERPRINT) and revision == config.base_learner_revision:
        return
    if identity not in (None, config.base_learner, config.base_model_name_or_path):
        raise HfmetaError(
            f"this private adapter belongs to the learner {config.base_learner}, and the model is {identity}. Load the "
            "adapter on its own learner's model; for a copy of that under another name, take base_learner out of its "
            "adapter_config.json."
        )
    told = (revision, config.base_learner_revision)
    if identity == config.base_learner and None not in told and revision != config.base_learner_revision:
        values = FINGERPRINT in f"{revision} {config.base_learner_revision}"
        what_to_do = (
            "The learner was trained further since: open the copy that the adapter was made on, or adapt to the user anew"
            if values
            else f"Load the model with revision={config.base_learner_revision!r}"
        )
        raise HfmetaError(
            f"this private adapter belongs to revision {config.base_learner_revision} of {config.base_learner}, and the "
            f"model is revision {revision}. {what_to_do}."
        )
