"""Checkpoints of a run that a crash cannot fool: sealed with checksums when they are whole, looked through before a run goes on.

A checkpoint is a folder into which transformers writes one file after another. It counts from the moment that its list of checksums
is there, which is written last. Not here: the learner's own files in it (checkpoint.py), when a run saves (hfmeta.trainer).
"""

from __future__ import annotations

import json
import logging
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from transformers.trainer_utils import rotate_checkpoints

from hfmeta.adapters.checksums import checksums, first_difference
from hfmeta.adapters.durable import sync_folder, write_file
from hfmeta.inner.errors import HfmetaError

logger = logging.getLogger(__name__)
SEAL = "checksums.json"
_CHECKPOINT = re.compile(r"checkpoint-(\d+)")


def seal(checkpoint: str | Path) -> None:
    """Sync all files of a checkpoint and write the list of their checksums, by which it is whole.

    Args:
        checkpoint: its folder.
    """
    checkpoint = Path(checkpoint)
    paths = [path for path in checkpoint.rglob("*") if path.is_file() and path.name != SEAL]
    for path in paths:
        with path.open("rb") as handle:
            os.fsync(handle.fileno())
    for folder in {path.parent for path in paths}:
        sync_folder(folder)
    content = {"format": 1, "files": checksums(checkpoint, paths)}
    write_file(checkpoint / SEAL, (json.dumps(content, indent=2) + "\n").encode("utf-8"))
    sync_folder(checkpoint.parent)


@contextmanager
def sealing(trainer: Any, checkpoint: Path) -> Iterator[None]:
    """Around the Trainer's writing of a checkpoint: what a crash left of it goes first, and older ones go when the new one counts.

    Args:
        trainer: whose processes all come here.
        checkpoint: its folder.
    """
    args = trainer.args
    # Only what was never sealed: a whole checkpoint of the same step serves until the new one is there.
    if args.should_save and checkpoint.is_dir() and not (checkpoint / SEAL).is_file():
        shutil.rmtree(checkpoint)
    trainer.accelerator.wait_for_everyone()
    limit, args.save_total_limit = args.save_total_limit, None
    try:
        yield
    finally:
        args.save_total_limit = limit
    trainer.accelerator.wait_for_everyone()
    if args.should_save:
        seal(checkpoint)
        best = trainer.state.best_model_checkpoint
        rotate_checkpoints(str(checkpoint.parent), limit, best_model_checkpoint=best, use_mtime=True)


def damage(checkpoint: Path) -> str | None:
    """What is wrong with a checkpoint, in a few words, or None: all its files are read."""
    path = checkpoint / SEAL
    if not path.is_file():
        return f"it was not written to its end, or by an hfmeta older than these lists: it has no {SEAL}"
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return f"{SEAL} is damaged"
    return first_difference(checkpoint, content.get("files") if isinstance(content, dict) else None)


def last_good_checkpoint(output: Path) -> Path | None:
    """The last checkpoint of a run that is whole; those after it are named and said to be skipped.

    Args:
        output: the run's folder.

    Returns:
        its folder, or None where the run has none.

    Raises:
        HfmetaError: there are checkpoints, and none is whole.
    """
    found = [
        (int(match[1]), path) for path in output.glob("checkpoint-*") if (match := _CHECKPOINT.fullmatch(path.name))
    ]
    bad: list[tuple[Path, str]] = []
    for _, path in sorted(found, reverse=True):
        why = damage(path)
        if why is None:
            for name, reason in bad:
                logger.warning("%s is left out: %s. Going on from %s.", name, reason, path.name)
            return path
        bad.append((path, why))
    if bad:
        told = "; ".join(f"{path.name}: {why}" for path, why in bad)
        raise HfmetaError(
            f"no checkpoint in {output} is whole ({told}). Delete them and start the run anew{_trusted(bad[0][0])}."
        )
    return None


def unfinished(folder: Path) -> str:
    """The end of a sentence about a run's folder that holds no learner yet: where its checkpoints are, which do. Empty elsewhere.

    Args:
        folder: of a run that was cut short, or any other.
    """
    steps = sorted(int(match[1]) for path in folder.glob("checkpoint-*") if (match := _CHECKPOINT.fullmatch(path.name)))
    return f" Its run has not ended; the last checkpoint is {folder / f'checkpoint-{steps[-1]}'}." if steps else ""


def whole_checkpoint(wanted: str | bool | None, output: str | Path) -> str | None:
    """The checkpoint to go on from, for `Trainer.train`.

    Args:
        wanted: its folder; True: the last one of the run that is whole; None or False: none.
        output: the run's folder.

    Raises:
        HfmetaError: the one that is wanted is not whole, or there is none.
    """
    if wanted is None or wanted is False:
        return None
    if wanted is True:
        found = last_good_checkpoint(Path(output))
        if found is None:
            raise HfmetaError(
                f"{output} has no checkpoint to go on from; leave resume_from_checkpoint out to start anew."
            )
        return str(found)
    if why := damage(Path(wanted)):
        raise HfmetaError(
            f"{wanted} cannot be gone on from: {why}. Take an earlier checkpoint (resume_from_checkpoint=True finds the last one that "
            f"is whole){_trusted(Path(wanted))}."
        )
    return wanted


def _trusted(checkpoint: Path) -> str:
    """What to do about a checkpoint that has no list, for somebody who knows that nothing else is missing."""
    if (checkpoint / SEAL).is_file():
        return ""
    return f"; or, if you know that it is whole, make its list: hfmeta.publishing.seal({str(checkpoint)!r})"
