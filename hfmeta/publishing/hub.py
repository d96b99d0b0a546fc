"""Upload a learner to the hub: a temporary folder, then one commit of the file kinds that may be published."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from huggingface_hub import HfApi

from hfmeta.publishing.checkpoint import PUBLISHED, save_learner

if TYPE_CHECKING:
    from hfmeta.learner import MetaLearner


def push_learner(learner: MetaLearner, repo_id: str, private: bool | None = None, token: str | None = None) -> Any:
    """Create the repository if need be and upload the learner in one commit.

    Returns:
        the commit, as `huggingface_hub` describes it.
    """
    with tempfile.TemporaryDirectory() as temporary:
        save_learner(learner, Path(temporary) / "learner", name=repo_id if "/" in repo_id else None)
        return push_folder(Path(temporary) / "learner", repo_id, private, token)


def push_folder(
    folder: Path,
    repo_id: str,
    private: bool | None = None,
    token: str | None = None,
    *,
    message: str | None = None,
    revision: str | None = None,
) -> Any:
    """Upload a saved folder in one commit; local resume files of the Trainer never travel.

    Args:
        folder: a learner folder; only the kinds of files that may be published are taken, and no checkpoint of a run.
        repo_id: `owner/name`, or `name` for the caller's own.
        private: whether a new repository is private; None: the owner's default.
        token: access token; None: the one saved on this machine.
        message: of the commit.
        revision: branch to commit to, made if need be; None: the main one.

    Returns:
        the commit, as `huggingface_hub` describes it.
    """
    api = HfApi(token=token)
    # A name without its owner becomes the caller's: the answer of the hub has it in full.
    repo_id = api.create_repo(repo_id, private=private, exist_ok=True).repo_id
    if revision is not None:
        api.create_branch(repo_id, branch=revision, exist_ok=True)
    return api.upload_folder(
        repo_id=repo_id,
        folder_path=folder,
        allow_patterns=PUBLISHED,
        # Masks name the users that a learner was trained on; nobody else needs them.
        ignore_patterns=[
            "checkpoint-*",
            "*/checkpoint-*",
            "trainer_state.json",
            "masks.safetensors",
            "*/masks.safetensors",
        ],
        commit_message=message or "Upload a learner of hfmeta",
        revision=revision,
    )
