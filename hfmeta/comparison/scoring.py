"""Every automatic metric of dialogue for one learner on one list of test episodes, with the value of each task.

Generating and adapting: hfmeta.responses; the metrics: hfmeta.metrics. Files and tables are elsewhere in this room.
"""

from __future__ import annotations

import math
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.torch import load_file, save_file
from torch import Tensor

from hfmeta.episodes import FixedEpisodes
from hfmeta.learner import MetaLearner
from hfmeta.metrics import (
    PAPER_UNIT,
    ModelDifferences,
    TextClassifier,
    bleu_scores,
    consistency_score,
    distinct,
    emoji_accuracy,
    mean_ci95,
    model_differences,
    pairwise_overlap,
    perplexity,
)
from hfmeta.metrics.grouping import positions_by
from hfmeta.responses import PAPER_DECODING, Decoding, Run, respond


@dataclass(frozen=True)
class Judges:
    """Classifiers that some metrics ask; a metric without its judge is left out.

    Args:
        consistency: an NLI model, for the C score on rows with `persona_sentences`.
        emoji: an emoji classifier, for E-acc on rows with `emoji`.
    """

    consistency: TextClassifier | None = None
    emoji: TextClassifier | None = None


def score_learner(
    learner: MetaLearner,
    episodes: FixedEpisodes,
    *,
    adapt: bool = True,
    decoding: Decoding = PAPER_DECODING,
    judges: Judges | None = None,
) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Adapt to each test episode, answer it, and score the answers.

    Args:
        learner: a sequence model's.
        episodes: of a dialogue corpus, whose rows have `context`, `reply` and a task column.
        adapt: see `respond`.
        decoding: how replies are generated.
        judges: for the metrics that need one.

    Returns:
        `tasks` (names, T of them), `metrics` (name -> `mean`, `ci95` over tasks where there is one, and `per_task` [T] where tasks
        have values of their own) and, where tasks own structures, `overlap` [T, T]; and the replies, one dict each.
    """
    with tempfile.TemporaryDirectory() as room:
        models = _FirstModels(learner, Path(room))
        runs = list(respond(learner, episodes, adapt=adapt, decoding=decoding, observe=models.keep))
        differences = models.differences()
        structures = models.structures()
    tasks = list(dict.fromkeys(run.task for run in runs))
    metrics = {**_likelihood(runs, tasks), **_texts(runs, tasks), **_judged(runs, tasks, judges or Judges())}
    metrics["diff"] = {"mean": differences.diff, "ci95": differences.diff_ci95}
    metrics["delta"] = {"mean": differences.delta, "ci95": differences.delta_ci95}
    found: dict[str, Any] = {"tasks": [str(task) for task in tasks], "metrics": metrics}
    if len(structures) > 1:
        overlap = pairwise_overlap([structures[str(task)] for task in tasks])
        found["overlap"] = overlap.tolist()
        metrics["overlap"] = {"mean": float(overlap[np.tril_indices(len(tasks), -1)].mean())}
    return found, list(_replies(runs))


class _FirstModels:
    """The adapted model of each task, on disk: Diff Score's interval reads each of them twice.

    Args:
        learner: whose model they started from.
        folder: where they lie.
    """

    def __init__(self, learner: MetaLearner, folder: Path):
        self.learner, self.folder = learner, folder
        self.names: list[str] = []

    def keep(self, task: Any, model: Any) -> None:
        """Take in the model of a task."""
        values = {name: value.detach().cpu().contiguous() for name, value in model.named_parameters()}
        save_file(values, self.folder / f"{len(self.names)}.safetensors")
        self.names.append(str(task))

    def __len__(self) -> int:
        return len(self.names)

    def __iter__(self) -> Iterator[dict[str, Tensor]]:
        return (load_file(self.folder / f"{number}.safetensors") for number in range(len(self.names)))

    def differences(self) -> ModelDifferences:
        """Diff and Delta Score in the paper's unit."""
        start = dict(self.learner.model.named_parameters())
        return model_differences(self, start, unit=PAPER_UNIT)

    def structures(self) -> dict[str, dict[str, Tensor]]:
        """What each task kept of the layers that pruning may thin, task -> masks; empty where nothing is pruned."""
        private = self.learner.private
        if private is None or not private.ready or private.algorithm.masks != "forward":
            return {}
        return {
            name: {key: values[key] != 0 for key in private.thinnable}
            for name, values in zip(self.names, self, strict=True)
        }


def _entry(values: Sequence[float]) -> dict[str, Any]:
    mean, half = mean_ci95(values)
    return {"mean": mean, "ci95": half, "per_task": list(values)}


def _likelihood(runs: Sequence[Run], tasks: Sequence[Any]) -> dict[str, Any]:
    found = perplexity({task: [run.nll for run in runs if run.task == task] for task in tasks})
    low, high = found.macro_ci95
    return {
        "perplexity": {"mean": found.macro, "ci95": (high - low) / 2, "per_task": list(found.per_task)},
        "perplexity_micro": {"mean": found.micro},
        "loss": _entry([math.log(value) for value in found.per_task]),
    }


def _texts(runs: Sequence[Run], tasks: Sequence[Any]) -> dict[str, Any]:
    said = [text for run in runs for text in run.responses]
    true = [str(row["reply"]) for run in runs for row in run.rows]
    whose = [run.task for run in runs for _ in run.rows]
    dialogues = [number for number, run in enumerate(runs) for _ in run.rows]
    bleu = bleu_scores(said, true, dialogues)
    places = positions_by([run.task for run in runs], len(runs))
    of_task = [float(np.mean([bleu.per_dialogue[place] for place in places[task]])) for task in tasks]
    found = {"bleu": {**_entry(of_task), "signature": bleu.signature}, "bleu_corpus": {"mean": bleu.corpus}}
    by_task = positions_by(whose, len(whose))
    for n in (1, 2):
        found[f"dist{n}"] = {"mean": distinct(said, n).pooled}
        own = (distinct([said[place] for place in by_task[task]], n).pooled for task in tasks)
        found[f"dist{n}_task"] = _entry(list(own))
    return found


def _judged(runs: Sequence[Run], tasks: Sequence[Any], judges: Judges) -> dict[str, Any]:
    said = [text for run in runs for text in run.responses]
    rows = [row for run in runs for row in run.rows]
    whose = [run.task for run in runs for _ in run.rows]
    found: dict[str, Any] = {}
    if judges.consistency is not None and rows and rows[0].get("persona_sentences"):
        score = consistency_score(said, [row["persona_sentences"] for row in rows], judges.consistency, tasks=whose)
        found["c_score"] = {**_entry(_means(score.per_response, whose, tasks)), "judge": score.model}
    if judges.emoji is not None and rows and rows[0].get("emoji"):
        accuracy = emoji_accuracy(said, [row["emoji"] for row in rows], judges.emoji, tasks=whose)
        found["e_acc"] = {"mean": accuracy.top1, "ci95": accuracy.top1_ci95, "judge": accuracy.model}
        found["e_acc_top5"] = {"mean": accuracy.top5, "ci95": accuracy.top5_ci95, "judge": accuracy.model}
    return found


def _means(values: Sequence[float], whose: Sequence[Any], tasks: Sequence[Any]) -> list[float]:
    places = positions_by(whose, len(whose))
    return [float(np.mean([values[place] for place in places[task]])) for task in tasks]


def _replies(runs: Sequence[Run]) -> Iterator[dict[str, Any]]:
    for number, run in enumerate(runs):
        for row, text in zip(run.rows, run.responses, strict=True):
            kept: dict[str, Any] = {
                key: row[key] for key in ("context", "reply", "persona_sentences", "emoji") if key in row
            }
            yield {"task": str(run.task), "run": number, **kept, "response": text}
