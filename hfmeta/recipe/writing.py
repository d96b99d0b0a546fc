"""The files of a run beside its checkpoint: results.json, per_task.json, the recipe, the split, plots, and the card with results."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from hfmeta.episodes import save_split
from hfmeta.publishing.card import card_images, learner_card
from hfmeta.publishing.checkpoint import CONFIG
from hfmeta.publishing.results import draw_results
from hfmeta.recipe.baselines import BaselineScores
from hfmeta.recipe.building import Build
from hfmeta.recipe.checks import METRICS
from hfmeta.recipe.results import Scores
from hfmeta.reporting import learning_curve, write_json, write_text

# The trainer's names of validation scores.
EVAL_NAMES = {"accuracy": "accuracy", "loss": "query_loss"}


def write_run(
    output: Path,
    built: Build,
    results: Mapping[str, Any],
    scores: Mapping[str, Scores],
    baselines: Mapping[str, BaselineScores],
    log_history: Sequence[Mapping[str, Any]],
) -> None:
    """Write everything but the checkpoint into the output folder; results.json last.

    Args:
        output: the folder.
        built: what was run.
        results: the results.
        scores: the learner's per-task scores, [T, K + 1] each.
        baselines: the baselines' per-task scores.
        log_history: the trainer's.
    """
    metric = results["primary_metric"]
    unit = "mean squared error" if built.recipe.model.task == "regression" else "nats"
    header = f"# Written by: {results['command']}\n# Overrides applied. Run it again: hfmeta train recipe.yaml\n"
    write_text(output / "recipe.yaml", header + yaml.safe_dump(built.recipe.tree, sort_keys=False, allow_unicode=True))
    if built.episodes.split is not None:
        save_split(built.episodes.split, output / "split.json", built.recipe.data.split_seed)
    write_json(output / "per_task.json", per_task(results, scores, baselines))
    learning_curve(log_history, EVAL_NAMES[METRICS[metric][0]], output / "learning_curve.png", unit)
    draw_results(results, output)
    content = json.loads((output / CONFIG).read_text(encoding="utf-8"))
    kind = getattr(built.learner.config, "model_type", None)
    card = learner_card(content, results, model_type=kind, images=card_images(output))
    write_text(output / "README.md", card)
    write_json(output / "results.json", dict(results))


def per_task(
    results: Mapping[str, Any], scores: Mapping[str, Scores], baselines: Mapping[str, BaselineScores]
) -> dict[str, Any]:
    """Every task's scores, so that runs on the same episodes can be compared task by task.

    Args:
        results: the results.
        scores: name -> [T, K + 1].
        baselines: name -> scores.

    Returns:
        `episodes`, `scores` {name: [T, K + 1]} and `baselines` {name: [T] or [T, K + 1]}.
    """
    return {
        "episodes": results["episodes"],
        "scores": {name: values.tolist() for name, values in scores.items()},
        "baselines": {name: found.scores.tolist() for name, found in baselines.items()},
    }
