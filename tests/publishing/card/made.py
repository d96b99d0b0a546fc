"""Contents of made-up files that cards are written from."""

from __future__ import annotations

from typing import Any

from hfmeta import Maml

SHA = "ab" * 32


def content(
    base=None, encoder=None, task="sequence-classification", name="maml", package="hfmeta", info=None, **options
):
    """What `hfmeta_config.json` holds."""
    algorithm = {"name": name, "package": package, "version": "0.1.0", "options": Maml(**options).to_dict()}
    versions = {"hfmeta": "0.1.0", "torch": "2.13.0"}
    return {
        "algorithm": algorithm,
        "encoder": encoder,
        "base": {"name": base},
        "task_type": task,
        "info": info or {},
        "versions": versions,
    }


def results(mean: float = 0.9, ci95: float | None = 0.01, seed: int = 1, data: dict[str, Any] | None = None, **changes):
    """What `results.json` holds: accuracy of 100 tasks, nearest class mean 0.8 on the same."""
    options = Maml(inner_steps=3).to_dict()
    entry = {"mean": mean, "ci95": ci95, "tasks": 100}
    return {
        "recipe": "recipes/intents/made_up.yaml",
        "command": "hfmeta train recipes/intents/made_up.yaml",
        "seed": seed,
        "versions": {"python": "3.11.7", "hfmeta": "0.1.0"},
        "episodes": {"count": 100, "sha256": SHA, "seed": 0},
        "primary_metric": "accuracy",
        "metrics": {
            "accuracy": entry,
            "accuracy_before": {"mean": 0.2, "ci95": 0.01, "tasks": 100},
            "accuracy_gain": {"mean": mean - 0.2, "ci95": 0.01, "tasks": 100},
            "loss": {"mean": 0.25, "ci95": 0.03, "tasks": 100},
        },
        "baselines": {"frozen_ncm": {"mean": 0.8, "ci95": 0.01, "tasks": 100, "metric": "accuracy"}},
        "paired": {
            "frozen_ncm": {
                "mean": mean - 0.8,
                "ci95": 0.01,
                "tasks": 100,
                "relative_error_reduction": (mean - 0.8) / 0.2,
            }
        },
        "adaptation_curve": {"accuracy": {"mean": [0.2, 0.5, 0.8, mean], "ci95": [0.01] * 4}},
        "meta_gradient": "exact",
        "algorithm": {"name": "maml", **options},
        "hyper_parameters": {
            "model": {"name": "some/model", "task": "sequence-classification"},
            "adapter": {},
            "data": {"corpus": "banking77", "n_way": 5, "k_shot": 1, **(data or {})},
        },
        "iterations": 60,
        "seconds": {"per_iteration": 1.5},
        "world_size": 1,
        "device": "cpu",
        "skipped_tasks": 0,
        **changes,
    }
