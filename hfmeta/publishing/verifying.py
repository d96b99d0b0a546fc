"""What was written is read again and compared with what is in memory, to the bit and on one episode, while both are there."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from hfmeta.inner.errors import HfmetaError

if TYPE_CHECKING:
    from hfmeta.learner import MetaLearner

logger = logging.getLogger(__name__)
TOLERANCE = 1e-4
"""Relative and absolute: the same numbers through another choice of kernels."""


def check_saved(learner: MetaLearner, folder: Path, episode: Mapping[str, Any] | None = None) -> None:
    """Open a saved learner and compare it with the one that was saved.

    Args:
        learner: it stays as it is.
        folder: where it was saved.
        episode: a batch of one task, on which the losses before and after each inner step must agree; None: tensors alone.

    Raises:
        HfmetaError: a tensor or a loss that is not the same: nobody should trust the folder.
    """
    device = next(learner.model.parameters()).device
    try:
        with torch.random.fork_rng(devices=[]):
            again = type(learner).from_pretrained(folder)
            # PEFT keeps the head that a trained copy stands in for: nothing uses it, and no adapter folder holds it.
            expected, found = (
                {name: value for name, value in one.state_dict().items() if ".original_module." not in name}
                for one in (learner, again)
            )
            wrong = sorted(
                name for name in expected.keys() | found.keys() if not _same(expected.get(name), found.get(name))
            )
            if wrong:
                raise HfmetaError(
                    f"{folder} does not hold the learner that was saved there: {', '.join(wrong[:5])} came back otherwise. Keep "
                    "the run's last checkpoint, and please report this."
                )
            if episode is not None:
                _compare_scores(learner, again.to(device), folder, episode)
    except torch.OutOfMemoryError:
        logger.warning("%s was not compared with the learner in memory: there is no room for two.", folder)


def check_run(trainer: Any, folder: Path) -> None:
    """`check_saved` for what a trainer has saved, on the first of its episodes, in its first process.

    Args:
        trainer: a MetaTrainer. Where its weights are sharded (FSDP) no process has all of them, and nothing is compared.
        folder: where it saved.
    """
    if not trainer.args.should_save or trainer.is_fsdp_enabled:
        return
    episodes = trainer.eval_dataset if trainer.train_dataset is None else trainer.train_dataset
    batch = trainer.data_collator([episodes[0]]) if hasattr(episodes, "__getitem__") else None
    check_saved(trainer.learner, folder, batch)


def _compare_scores(learner: MetaLearner, again: MetaLearner, folder: Path, episode: Mapping[str, Any]) -> None:
    device = next(learner.model.parameters()).device
    halves = [{name: value.to(device) for name, value in episode[half].items()} for half in ("support", "query")]
    task = episode.get("task")
    before, after = (one.scores(halves[0], halves[1], task)["loss"] for one in (learner, again))
    if not torch.allclose(before.float(), after.float(), rtol=TOLERANCE, atol=TOLERANCE, equal_nan=True):
        raise HfmetaError(
            f"the learner in {folder} adapts otherwise than the one that was saved there: losses {after.flatten().tolist()} instead "
            f"of {before.flatten().tolist()} on one episode. Keep the run's last checkpoint, and please report this."
        )


def _same(one: torch.Tensor | None, other: torch.Tensor | None) -> bool:
    """Whether two tensors are the same to the bit, NaN included."""
    if one is None or other is None or one.shape != other.shape or one.dtype != other.dtype:
        return False
    first, second = (value.detach().cpu().contiguous().reshape(-1).view(torch.uint8) for value in (one, other))
    return bool(torch.equal(first, second))
