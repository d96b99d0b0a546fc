"""How much of the pretrained encoder to average with a trained one: nearest class mean on the validation classes, weight by weight.

    python recipes/intents/choose_start_weight.py recipes/intents/maml_banking77_1shot.yaml <run> recipes/intents/results data.split=01

`<run>` is the folder of a run of the recipe on that split; further words are overrides. Writes `start_weight_<corpus>_split<NN>.json`.
Test classes are not read. At one shot the inner steps change no answer, so the features decide.
"""

from __future__ import annotations

import shlex
import sys
from collections.abc import Sequence
from pathlib import Path

from hfmeta import MetaLearner
from hfmeta.averaging import StartAverage
from hfmeta.baselines import frozen_features, nearest_class_mean
from hfmeta.metrics import mean_ci95, paired_difference
from hfmeta.recipe import build, parse_recipe
from hfmeta.recipe.results import versions
from hfmeta.reporting.files import write_json

WEIGHTS = (0.6, 0.4, 0.2, 0.0)
TASKS = ("data.valid_tasks=400", "data.query=15", "baselines=[]")


def main(recipe_path: str, trained: Path, target: Path, words: Sequence[str] = ()) -> Path:
    """Score every weight of the start, and the pretrained encoder itself, and write the file.

    Args:
        recipe_path: of an intent recipe.
        trained: folder of its run, without `start_weight`.
        target: folder of the result.
        words: overrides of the recipe.

    Returns:
        the file written.
    """
    recipe = parse_recipe(recipe_path, [*TASKS, *words])
    built = build(recipe)
    episodes = [built.episodes.valid[number] for number in range(len(built.episodes.valid))]
    model = built.learner.model
    start = {name: value.clone() for name, value in model.state_dict().items()}
    learned = MetaLearner.from_pretrained(trained).model.state_dict()
    pretrained = nearest_class_mean(frozen_features(model, episodes)).tolist()
    found = {}
    for weight in WEIGHTS:
        model.load_state_dict(start)
        average = StartAverage(built.learner, weight)
        model.load_state_dict(learned)
        average.take()
        scores = nearest_class_mean(frozen_features(model, episodes)).tolist()
        mean, ci95 = mean_ci95(scores)
        gain = paired_difference(pretrained, scores)
        found[str(weight)] = {"mean": mean, "ci95": ci95, "errors_removed": gain.relative_error_reduction}
    split = f"{recipe.data.corpus}_split{int(str(recipe.data.split)):02d}"
    path = target / f"start_weight_{split}.json"
    target.mkdir(parents=True, exist_ok=True)
    command = ["python", "recipes/intents/choose_start_weight.py", recipe_path, str(trained), str(target), *words]
    mean, ci95 = mean_ci95(pretrained)
    results = {
        "command": shlex.join(command),
        "versions": versions(),
        "validation_episodes": {"count": len(episodes), "sha256": built.episodes.valid.sha256},
        "pretrained": {"mean": mean, "ci95": ci95},
        "start_weight": found,
    }
    write_json(path, results)
    return path


if __name__ == "__main__":
    print(main(sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]), sys.argv[4:]))
