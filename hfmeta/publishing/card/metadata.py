"""The YAML header of a card, by the hub client's own classes, so that what it writes is what the hub reads."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from huggingface_hub import EvalResult, ModelCardData

from hfmeta.models.origins import hub_id_of, licence_of
from hfmeta.publishing.card.runs import Run

PIPELINES = {
    "sequence-classification": "text-classification",
    "image-classification": "image-classification",
    "causal-lm": "text-generation",
    "seq2seq-lm": "text-generation",
    "regression": "tabular-regression",
}
"""Task type -> the hub's name of the task."""
TAGS = ("hfmeta", "meta-learning")
DIGITS = 6


def learner_data(
    name: str, algorithm: str, task: str | None, base: str | None, data: Mapping[str, Any], runs: Sequence[Run]
) -> ModelCardData:
    """The header of a learner's card.

    Args:
        name: of the model in `model-index`.
        algorithm: registered name.
        task: task type.
        base: name of the base model.
        data: the recipe's section; empty where the data are not known.
        runs: its results.
    """
    results = [result for run in runs for result in _results(run, task)]
    return ModelCardData(
        library_name="hfmeta",
        base_model=hub_id_of(base),
        license=licence_of(base),
        pipeline_tag=PIPELINES.get(task or ""),
        tags=[*TAGS, "few-shot", algorithm.replace("_", "-")],
        datasets=datasets_of(data) or None,
        metrics=list(dict.fromkeys(result.metric_type for result in results)) or None,
        model_name=name if results else None,
        eval_results=results or None,
    )


def plain_data(library: str, task: str | None, base: str | None, *tags: str) -> ModelCardData:
    """The header of a card without results.

    Args:
        library: that opens the folder.
        task: task type.
        base: name of the base model.
        tags: besides those of all cards.
    """
    return ModelCardData(
        library_name=library,
        base_model=hub_id_of(base),
        license=licence_of(base),
        pipeline_tag=PIPELINES.get(task or ""),
        tags=[*TAGS, *tags],
    )


def datasets_of(data: Mapping[str, Any]) -> list[str]:
    """Hub ids of the data that a recipe names; none for files of a machine.

    Args:
        data: the recipe's section.
    """
    from hfmeta.corpora.licences import ORIGINS

    if data.get("corpus") in ORIGINS:
        found = ORIGINS[data["corpus"]].hub_id
        return [found] if found else []
    found = hub_id_of(data.get("dataset"))
    return [found] if found else []


def _results(run: Run, task: str | None) -> list[EvalResult]:
    """One entry for every metric of a run, after its last inner step; what diverged to nothing has none."""
    names = datasets_of(run.data)
    corpus = run.data.get("corpus")
    found = []
    for metric, entry in run.metrics.items():
        if entry["mean"] is None or not math.isfinite(entry["mean"]):
            continue
        # The value stays a number, which the hub can sort by; its interval stands in the name as the metric is read, and as a number.
        interval = {} if entry.get("ci95") is None else {"ci95": round(entry["ci95"], DIGITS)}
        found.append(
            EvalResult(
                task_type=PIPELINES.get(task or "", "other"),
                dataset_type=names[0] if names else str(corpus or "own-data"),
                dataset_name=run.corpus,
                dataset_config=run.configuration,
                dataset_split="test",
                metric_type=metric,
                metric_value=round(entry["mean"], DIGITS),
                metric_name=f"{run.metric_name(metric)}: {run.value(metric)}, {entry['tasks']:,} tasks",
                metric_args={**interval, "tasks": entry["tasks"], "seed": run.seed, "episodes_sha256": run.sha256},
            )
        )
    return found
