"""Several checkpoints of one run tested together: the mean of their logits (Antoniou et al. 2019, who test the five best).

Here: which checkpoints, and their common scores. The command is `hfmeta evaluate RUN --ensemble N`.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from hfmeta.inner.errors import HfmetaError
from hfmeta.inner.losses import task_accuracies, task_losses
from hfmeta.publishing import load_weights_into
from hfmeta.trainer import MetaTrainer

STATE = "trainer_state.json"


def best_checkpoints(run: Path, count: int) -> list[tuple[Path, float]]:
    """The checkpoints of a run with the best accuracy on its validation tasks, best first.

    Args:
        run: folder of a finished run.
        count: N, how many.

    Raises:
        HfmetaError: no run with a log there, or fewer checkpoints with a validation accuracy than asked for.
    """
    try:
        log = json.loads((run / STATE).read_text(encoding="utf-8"))["log_history"]
    except (OSError, ValueError, KeyError) as error:
        raise HfmetaError(
            f"an ensemble is made of the checkpoints of a run, and {run} has no readable {STATE}. Give the output folder of `hfmeta "
            "train`."
        ) from error
    scored = {entry["step"]: entry["eval_accuracy"] for entry in log if "eval_accuracy" in entry}
    found = [(run / f"checkpoint-{step}", accuracy) for step, accuracy in scored.items()]
    found = [(folder, accuracy) for folder, accuracy in found if folder.is_dir()]
    if len(found) < count:
        fewer = f", or ask for {len(found)}" if found else ""
        raise HfmetaError(
            f"--ensemble {count} needs {count} checkpoints with a validation accuracy; {run} has {len(found)}. Train with "
            f"training.save_total_limit=null and save_steps equal to eval_steps{fewer}."
        )
    return sorted(found, key=lambda pair: -pair[1])[:count]


def ensemble_scores(trainer: MetaTrainer, episodes: Any, checkpoints: Sequence[Path]) -> dict[str, NDArray[np.float64]]:
    """Scores of the mean logits of several checkpoints, each adapted to each task on its own.

    Args:
        trainer: its learner takes each checkpoint's values in turn.
        episodes: N test episodes of a classification.
        checkpoints: folders of learners of the same making.

    Returns:
        `loss` and `accuracy` `[N, 1]`, after the last inner step.

    Raises:
        HfmetaError: a learner without logits and classes.
    """
    if trainer.learner.kind != "classification":
        raise HfmetaError(
            f"--ensemble means logits of classes, and this learner's task is {trainer.learner.task_type}."
        )
    outputs: list[Any] = []
    for folder in checkpoints:
        load_weights_into(trainer.learner, folder)
        outputs.append(trainer.predict(episodes))
    logits = [np.asarray(output.predictions["logits"], dtype=np.float64) for output in outputs]
    mean, answers = torch.from_numpy(np.mean(logits, 0)), torch.from_numpy(np.asarray(outputs[0].label_ids["labels"]))
    return {
        "loss": task_losses("classification", mean, answers).double().numpy()[:, None],
        "accuracy": task_accuracies(mean, answers).double().numpy()[:, None],
    }
