"""The files of a run beside its checkpoint: results.json, per_task.json, the recipe, the split, plots, and the README's results."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from hfmeta.episodes import save_split
from hfmeta.recipe.baselines import BaselineScores
from hfmeta.recipe.building import Build
from hfmeta.recipe.checks import METRICS
from hfmeta.recipe.results import Scores
from hfmeta.reporting import (
    adaptation_curve,
    learning_curve,
    markdown_table,
    rows_of_results,
    write_json,
    write_text,
)

RESULTS_HEADING = "\n## Results\n"
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
    adaptation_curve(
        {results["algorithm"]["name"]: results["adaptation_curve"][metric]},
        metric,
        output / "adaptation_curve.png",
        {name: entry for name, entry in results["baselines"].items() if entry["metric"] == metric},
    )
    card = (output / "README.md").read_text(encoding="utf-8").split(RESULTS_HEADING)[0]
    write_text(output / "README.md", card.rstrip() + "\n" + RESULTS_HEADING + results_text(results))
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


def results_text(results: Mapping[str, Any]) -> str:
    """The README's account of a run, in Markdown.

    Args:
        results: the results.
    """
    episodes, seconds = results["episodes"], results["seconds"]
    per_iteration = seconds["per_iteration"]
    lines = [
        "",
        markdown_table(rows_of_results(results)),
        f"{episodes['count']:,} test tasks, episodes `{episodes['sha256'][:16]}`; intervals are 95 % over tasks. "
        f"Meta-gradient: {results['meta_gradient'].replace('_', ' ')}. Seed {results['seed']}, "
        f"{results['iterations']:,} outer steps"
        + (f" at {per_iteration:.3g} s" if per_iteration is not None else "")
        + f" on {results['device']} ({results['world_size']} process{'es' if results['world_size'] != 1 else ''}).",
        "",
    ]
    if results["paired"]:
        lines += ["Task by task, this learner minus the baseline:", ""]
        percent = results["primary_metric"] == "accuracy"
        for name, entry in results["paired"].items():
            scale, unit, digits = (100.0, " points", 1) if percent else (1.0, "", 3)
            text = f"- {name.replace('_', ' ')}: {entry['mean'] * scale:+.{digits}f} ± {entry['ci95'] * scale:.{digits}f}{unit}"
            if "relative_error_reduction" in entry:
                text += f"; {100 * entry['relative_error_reduction']:.0f} % of its errors removed"
            lines.append(text)
        lines.append("")
    lines += [
        "![Learning curve](learning_curve.png)",
        "![Adaptation curve](adaptation_curve.png)",
        "",
        "```",
        results["command"],
        "```",
        "",
    ]
    return "\n".join(lines)
