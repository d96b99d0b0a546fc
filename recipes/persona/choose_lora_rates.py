"""What the rows of lora_table.py adapt by, tried on validation personas: the loss after each pass, by options of the algorithm.

    HFMETA_DATA=<folder of the corpora> python recipes/persona/choose_lora_rates.py --method t5_lora_f \\
        --try algorithm.inner_lr=0.1 --try algorithm.inner_lr=0.3

It trains the method where lora_table.py has not yet (in the same --output), and adapts that one learner (or another row's) by each
choice, without training it anew. It writes `choice_<method>.json`: per choice the mean loss over held-out dialogues of validation
personas before and after each pass and, where users own structures, how far these overlap. Nobody of the test is adapted to.
"""

from __future__ import annotations

import argparse
import shlex
import sys
from pathlib import Path
from typing import Any

import numpy as np
from lora_table import METHODS

from hfmeta.comparison import SETTINGS, Method, Plan, choose_methods
from hfmeta.episodes import FixedEpisodes
from hfmeta.inner.errors import HfmetaError
from hfmeta.learner import MetaLearner
from hfmeta.metrics import pairwise_overlap
from hfmeta.recipe import parse_recipe
from hfmeta.recipe.data import build_episodes
from hfmeta.recipe.results import score_episodes, versions
from hfmeta.reporting.files import write_json


def main(arguments: list[str] | None = None) -> dict[str, Any]:
    """Try every choice; returns what the file holds."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    options = _parser().parse_args(words)
    method, learned = (
        choose_methods([name], METHODS)[0] for name in (options.method, options.learner or options.method)
    )
    plan = Plan(Path(__file__).resolve().parent, options.output, tuple(options.set), options.steps)
    plan.settle()
    folder = plan.train(learned, options.seed)
    tried = [try_choice(plan, method, options, folder, choice) for choice in options.choices]
    best = min(tried, key=lambda one: min(one["loss"][1:]))
    found = {
        "command": shlex.join(["python", "recipes/persona/choose_lora_rates.py", *words]),
        "method": method.name,
        "learner": learned.name,
        "seed": options.seed,
        "versions": versions(),
        "tried": tried,
        "best": {
            "choice": best["choice"],
            "passes": 1 + int(np.argmin(best["loss"][1:])),
            "loss": min(best["loss"][1:]),
        },
    }
    write_json(options.output / f"choice_{method.name}.json", found)
    print(found["best"])
    return found


def try_choice(
    plan: Plan, method: Method, options: argparse.Namespace, folder: Path, choice: list[str]
) -> dict[str, Any]:
    """Adapt a trained learner to every validation persona by other options.

    Args:
        plan: where its run lies.
        method: what it is.
        options: of the command line.
        folder: the run whose learner adapts.
        choice: overrides of the recipe, of its `algorithm` section.
    """
    words = [
        *plan.words(method, options.seed),
        *SETTINGS["validation"].overrides,
        f"data.test_tasks={options.test_tasks}",
    ]
    words += [f"algorithm.test_inner_steps={options.passes}", *choice]
    recipe = parse_recipe(plan.recipe_of(method), words)
    trained = MetaLearner.from_pretrained(folder)
    learner = MetaLearner(
        trained.model, recipe.algorithm, processing_class=trained.processing_class, encoder=trained.encoder
    )
    if learner.private is not None:
        learner.private.ready = True  # a new user prunes, whichever phase the run ended in
    episodes = build_episodes(recipe.data, recipe.model.task, trained.processing_class, options.seed).test
    loss = score_episodes(learner, episodes, 1)["loss"]
    found = {"choice": choice, "episodes": {"count": len(episodes), "sha256": episodes.sha256}}
    found["loss"] = loss.mean(0).tolist()
    if learner.private is not None:
        found["overlap"] = overlap_of(learner, episodes)
    print(" ".join(choice), " ".join(f"{value:.4f}" for value in loss.mean(0)), found.get("overlap", ""))
    return found


def overlap_of(learner: MetaLearner, episodes: FixedEpisodes) -> float:
    """Mean share of the thinnable entries that two personas have in common, of those that either kept.

    Args:
        learner: with private networks.
        episodes: of which the first one of each persona is taken.
    """
    assert learner.private is not None
    first = {draw.names: number for number, draw in reversed(list(enumerate(episodes.draws())))}
    structures = []
    for number in first.values():
        values = dict(learner.adapt(episodes[number]["support"]).named_parameters())
        structures.append({name: values[name] != 0 for name in learner.private.thinnable})
    overlap = pairwise_overlap(structures)
    return float(overlap[np.tril_indices(len(structures), -1)].mean())


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--method", required=True, metavar="NAME", help="a row of lora_table.py")
    parser.add_argument("--learner", metavar="NAME", help="the row whose learner adapts; default: the method's own")
    parser.add_argument(
        "--try",
        dest="choices",
        nargs="+",
        action="append",
        required=True,
        metavar="WORD",
        help="overrides, such as algorithm.inner_lr=0.3; once for each choice",
    )
    parser.add_argument("--passes", type=int, default=10, help="over the support rows, at most")
    parser.add_argument("--test-tasks", type=int, default=20, help="held-out dialogues of validation personas")
    parser.add_argument("--seed", type=int, default=0, help="of training")
    parser.add_argument("--steps", type=int, help="outer steps of the run, as for lora_table.py")
    parser.add_argument("--output", type=Path, default=Path("out/persona/lora_table"), help="that of lora_table.py")
    parser.add_argument("--set", nargs="*", default=[], metavar="WORD", help="overrides, as for lora_table.py")
    return parser


if __name__ == "__main__":
    try:
        main()
    except HfmetaError as error:
        sys.exit(f"error: {error}")
