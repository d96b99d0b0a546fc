"""The way to the hub: one commit of the files that may be published, into a private repository where they are personal.

A push that fails leaves the repository as it was, since nothing counts before the commit; pushed again, large files that had arrived
are not sent again (the hub knows them by their checksums). Not here: which files (contents.py).
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from huggingface_hub import CommitOperationAdd, CommitOperationDelete, HfApi, get_token

from hfmeta.inner.errors import HfmetaError
from hfmeta.publishing.checkpoint import save_learner
from hfmeta.publishing.contents import Contents, contents_of
from hfmeta.publishing.folders import CANNOT_REACH

if TYPE_CHECKING:
    from hfmeta.learner import MetaLearner

FAILURES: tuple[type[BaseException], ...] = (*CANNOT_REACH, RuntimeError, ValueError)
"""What the client raises while it pushes: what it cannot reach, an upload that failed, an answer that makes no sense."""


REFUSED = (401, 403)
"""Statuses with which a hub answers who may not do that, or has not said who they are."""


class PushError(HfmetaError):
    """The hub, or the way to it, failed; the repository is as it was."""


def push_learner(learner: MetaLearner, repo_id: str, private: bool | None = None, token: str | None = None) -> Any:
    """Create the repository if need be and upload the learner in one commit.

    Returns:
        the commit, as `huggingface_hub` describes it.
    """
    name = repo_id if "/" in repo_id else None
    return push_saved(lambda folder: save_learner(learner, folder, name=name), repo_id, private, token)


def push_saved(
    save: Callable[[Path], object], repo_id: str, private: bool | None = None, token: str | None = None, **options: Any
) -> Any:
    """Upload what a function writes into a temporary folder; see `push_folder`."""
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary) / "folder"
        save(folder)
        return push_folder(folder, repo_id, private, token, **options)


def push_folder(
    folder: Path,
    repo_id: str,
    private: bool | None = None,
    token: str | None = None,
    *,
    message: str | None = None,
    revision: str | None = None,
    with_ids: bool = False,
) -> Any:
    """Upload a folder in one commit: a learner, an adapted model, a private adapter, or several in `adapters/`.

    Args:
        folder: only what may be published of it is taken (see `hfmeta.publishing.contents`).
        repo_id: `owner/name`, or `name` for the caller's own.
        private: whether a new repository is private; None: yes for private adapters, else the owner's default.
        token: access token; None: the one saved on this machine.
        message: of the commit.
        revision: branch to commit to, made if need be; None: the main one.
        with_ids: whether private adapters keep names that follow from their tasks' ids.

    Returns:
        the commit, as `huggingface_hub` describes it.

    Raises:
        HfmetaError: a folder that is none of these, or personal data on their way to a public repository.
        PushError: the hub failed; the repository is as it was.
    """
    contents = contents_of(folder, with_ids)
    return push_contents(contents, repo_id, private, token, message=message, revision=revision)


def push_run(
    trainer: Any,
    folder: Path,
    message: str | None,
    private: bool | None = None,
    token: str | None = None,
    revision: str | None = None,
) -> Any:
    """Upload what a trainer has saved, from its first process, as the trainer's arguments say where nothing else is said.

    Args:
        trainer: a transformers.Trainer.
        folder: the run's, or one of its checkpoints.
        message, private, token, revision: as for `push_folder`.
    """
    if not trainer.is_world_process_zero():
        return None
    args = trainer.args
    return push_folder(
        folder,
        trainer.hub_model_id or args.hub_model_id or Path(str(args.output_dir)).resolve().name,
        args.hub_private_repo if private is None else private,
        token or args.hub_token,
        message=message,
        revision=revision or args.hub_revision,
    )


def push_contents(
    contents: Contents,
    repo_id: str,
    private: bool | None = None,
    token: str | None = None,
    *,
    message: str | None = None,
    revision: str | None = None,
) -> Any:
    """Upload what `contents_of` found; see `push_folder`."""
    private = True if private is None and contents.personal else private
    api = HfApi(token=token)
    try:
        # A name without its owner becomes the caller's: the answer of the hub has it in full.
        repo_id = api.create_repo(repo_id, private=private, exist_ok=True).repo_id
        if private and not api.model_info(repo_id).private:
            raise HfmetaError(
                f"{repo_id} is a public repository, and {contents.named} goes to a private one. Choose another repository, or say "
                "that everybody may have it: private=False (hfmeta push --public)."
            )
        if revision is not None:
            api.create_branch(repo_id, branch=revision, exist_ok=True)
        there = api.list_repo_files(repo_id, revision=revision)
        added = [CommitOperationAdd(path, _source(source)) for path, source in contents.files.items()]
        gone = [CommitOperationDelete(path) for path in there if contents.replaces(path)]
        return api.create_commit(
            repo_id,
            [*added, *gone],
            commit_message=message or f"Upload {contents.named} of hfmeta",
            revision=revision,
        )
    except HfmetaError:
        raise
    except FAILURES as error:
        raise PushError(_told(repo_id, error, token)) from error


def _source(source: Path | bytes) -> str | bytes:
    return source if isinstance(source, bytes) else str(source)


def _told(repo_id: str, error: BaseException, token: str | None) -> str:
    """What to say of a failure, without the token."""
    causes = [
        str(one).strip().splitlines()[0] for one in (error, error.__cause__) if one is not None and str(one).strip()
    ]
    why = ": ".join(causes or [type(error).__name__]).rstrip(".: ")
    status = getattr(getattr(error, "response", None), "status_code", None)
    if status in REFUSED:
        known = "no token is known here" if not (token or get_token()) else "the token may not do that"
        text = (
            f"the push to {repo_id} was refused: {known} ({why}). Log in with a token that may write (hf auth login, or the "
            "environment variable HF_TOKEN), and name a repository of your own or of an organisation of yours."
        )
    else:
        text = (
            f"the push to {repo_id} failed: {why}. Nothing counts before all of it does: the repository is as it was. Push again; "
            "what had arrived is not sent again."
        )
    if "xet" in why.lower():
        text += " Where a hub or a proxy does not know the Xet protocol, set HF_HUB_DISABLE_XET=1."
    for secret in (token, get_token(), os.environ.get("HF_TOKEN")):
        text = text.replace(secret, "<token>") if secret else text
    return text
