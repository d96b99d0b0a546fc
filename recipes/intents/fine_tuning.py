"""Ordinary fine-tuning on the test tasks of an intent recipe, and nearest class mean on the same tasks to compare it with.

    python recipes/intents/fine_tuning.py recipes/intents/maml_banking77_1shot.yaml out/intents data.split=01

writes `fine_tuning_<corpus>_<k>shot_split<NN>.json` into the folder. Fine-tuning moves a copy of the whole encoder for every task and
needs no meta-training, so it is no part of the recipes' runs: one task takes a core about five seconds at 1-shot. Further words are
overrides of the recipe; `tasks=50` takes the first 50 test tasks alone. What meta-trained runs scored on the tasks is not read here.
"""

from __future__ import annotations

import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from hfmeta.metrics import paired_difference
from hfmeta.recipe import build, parse_recipe
from hfmeta.recipe.results import baseline_entries, device_name, versions
from hfmeta.recipe.running import run_baselines
from hfmeta.reporting.files import write_json

REFERENCE, TUNED = "frozen_ncm", "fine_tuning"
BASELINES = "baselines=[{frozen_ncm: {metric: [euclidean, cosine]}}, {fine_tuning: {steps: 20, lr: 2.0e-4, tasks: %s}}]"


def main(recipe_path: str, target: Path, words: Sequence[str] = ()) -> Path:
    """Score both baselines and write the file.

    Args:
        recipe_path: of an intent recipe, whose data and model are used.
        target: folder of the result.
        words: overrides of the recipe, and `tasks=<number>`.

    Returns:
        the file written.
    """
    overrides = [word for word in words if not word.startswith("tasks=")]
    tasks = next((word.removeprefix("tasks=") for word in words if word.startswith("tasks=")), "null")
    recipe = parse_recipe(recipe_path, [BASELINES % tasks, *overrides])
    built = build(recipe)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    scores = run_baselines(built, device)
    tuned = scores[TUNED].final
    entries, _ = baseline_entries(scores, scores[REFERENCE].final, "accuracy")
    gain = paired_difference(scores[REFERENCE].final[: len(tuned)], tuned)
    episodes = built.episodes.test
    data, hashed = recipe.data, {"count": len(episodes), "sha256": episodes.sha256, "seed": episodes.seed}
    results: dict[str, Any] = {
        "recipe": recipe_path,
        "command": shlex.join(["python", "recipes/intents/fine_tuning.py", recipe_path, str(target), *words]),
        "seed": built.args.seed,
        "versions": versions(),
        "device": device_name(device),
        "episodes": hashed,
        "baselines": entries,
        "gain": {"mean": gain.mean, "ci95": gain.ci95, "errors_removed": gain.relative_error_reduction},
        "per_task": {"episodes": hashed, "baselines": {name: one.scores.tolist() for name, one in scores.items()}},
    }
    path = target / f"fine_tuning_{data.corpus}_{data.k_shot}shot_split{int(str(data.split)):02d}.json"
    target.mkdir(parents=True, exist_ok=True)
    write_json(path, results)
    return path


if __name__ == "__main__":
    print(main(sys.argv[1], Path(sys.argv[2]), sys.argv[3:]))
