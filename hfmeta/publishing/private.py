"""One user's private adapter, opened on its own learner: from a folder or a hub, without the others of a collection.

Stock PEFT opens the same files on the base model and asks nobody whose they are. Not here: writing them
(hfmeta.adapters.private_folder), the way to the hub.
"""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from peft import PeftModel

from hfmeta.adapters.checksums import first_difference
from hfmeta.adapters.private_folder import ABOUT, FORMAT
from hfmeta.inner.errors import HfmetaError
from hfmeta.publishing.folders import local_folder
from hfmeta.publishing.identity import identified, learner_identity
from hfmeta.publishing.models import read_adapter

if TYPE_CHECKING:
    from hfmeta.learner import MetaLearner


def open_private(
    learner: MetaLearner,
    name: str,
    *,
    revision: str | None = None,
    subfolder: str | None = None,
    local_files_only: bool = False,
) -> Any:
    """The learner's model with one user's private adapter.

    Args:
        learner: whose adapter it is; it stays as it is.
        name: a folder or a hub id.
        revision: branch, tag or commit on the hub.
        subfolder: of several the one; no other is downloaded.
        local_files_only: take what the cache has and ask nobody.

    Returns:
        a PEFT model, in evaluation mode.

    Raises:
        HfmetaError: no private adapter, one of another learner, or a damaged one.
    """
    folder = local_folder(name, revision=revision, subfolder=subfolder, local_files_only=local_files_only)
    about = _about(folder, name)
    identity = learner_identity(learner)
    theirs = about["learner"]
    if theirs["revision"] != identity[1]:
        raise HfmetaError(
            f"the private adapter in {folder} belongs to the learner {theirs['name']!r} at revision {theirs['revision']!r}, and this "
            f"is {identity[0]!r} at {identity[1]!r}. Open it with its own learner; after further training, adapt to the user anew."
        )
    if wrong := first_difference(folder, about["files"]):
        raise HfmetaError(f"{folder} is damaged or was changed: {wrong}. Export or download it again.")
    base: Any = copy.deepcopy(learner.model)
    if isinstance(base, PeftModel):
        base = base.unload()
    with identified(base, identity):
        model = read_adapter(base, folder, "default", trainable=False)
    return model.eval()


def _about(folder: Path, name: str) -> dict[str, Any]:
    path = folder / ABOUT
    if not path.is_file():
        raise HfmetaError(
            f"{name} is no private adapter: it has no {ABOUT}. In a repository of several, name one: subfolder='adapters/...'."
        )
    try:
        about: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        number, learner, files = int(about["format"]), about["learner"], about["files"]
        if not (isinstance(files, dict) and isinstance(learner, dict) and {"name", "revision"} <= learner.keys()):
            raise ValueError("it does not say whose adapter it is")
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise HfmetaError(f"{path} is damaged: {error}. Export or download it again.") from error
    if number > FORMAT:
        raise HfmetaError(
            f"{path} was written in format {number} by a newer hfmeta; this version reads up to {FORMAT}. Upgrade: pip install -U "
            "hfmeta."
        )
    return about
