"""How many passes over a user's rows? Every metric after more and more of them, on the validation personas, of runs of table.py.

    HFMETA_DATA=<folder> python recipes/persona/passes.py out/persona recipes/persona/results --scorer out/consistency_scorer

Likelihood is best after a few passes, consistency with the persona after many, so their number is a choice; here it is made where no
test persona is seen. It writes `passes.json` and `passes.md` into the second folder. CMAML's passes include those before pruning.
"""

from __future__ import annotations

import argparse
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hfmeta import MetaLearner
from hfmeta.comparison import SETTINGS, Judges, Method, Plan, Setting, choose_methods, score_learner
from hfmeta.comparison.plan import adaptation_of
from hfmeta.inner.errors import HfmetaError
from hfmeta.metrics import load_classifier
from hfmeta.recipe import parse_recipe
from hfmeta.recipe.data import build_episodes
from hfmeta.recipe.evaluating import take_test_options, with_steps
from hfmeta.reporting.files import write_json, write_text

COLUMNS = {"perplexity": ("PPL", 2), "bleu": ("BLEU", 2), "dist1": ("Dist-1", 4), "c_score": ("C score (proxy)", 3)}
KEPT = ("loss", "dist1_task", "diff", *COLUMNS)


def main(arguments: Sequence[str] | None = None) -> Path:
    """Score each method after each number of passes; returns the Markdown file."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    options = _parser().parse_args(words)
    plan = Plan(Path(__file__).resolve().parent, options.runs, tuple(options.set))
    judges = Judges(consistency=load_classifier(options.scorer))
    found: dict[str, Any] = {"command": shlex.join(["python", "recipes/persona/passes.py", *words]), "methods": {}}
    page = options.target / "passes.md"
    for method in choose_methods(options.methods):
        curve = _curve(plan, method, options.seed, options.passes, options.test_tasks, judges)
        found["methods"][method.name] = {"label": method.label, "seed": options.seed, "curve": curve}
        write_json(options.target / "passes.json", found)
        write_text(page, _markdown(found))
    print(page.read_text(encoding="utf-8"))
    return page


def _curve(
    plan: Plan, method: Method, seed: int, passes: Sequence[int], test_tasks: int, judges: Judges
) -> list[dict[str, Any]]:
    words = [*plan.words(method, seed), *SETTINGS["validation"].overrides, f"data.test_tasks={test_tasks}"]
    recipe = parse_recipe(plan.recipe_of(method), words)
    learner = MetaLearner.from_pretrained(plan.folder(method.run, seed))
    take_test_options(learner, recipe.algorithm)
    episodes = build_episodes(recipe.data, recipe.model.task, learner.processing_class, seed).test
    steps = {count: adaptation_of(plan, method, Setting(passes=count))["adapt"] for count in passes if count}
    curve = []
    for count in passes:
        if count:
            with_steps(learner, steps[count])
        scored, _ = score_learner(learner, episodes, adapt=count > 0, judges=judges)
        entry = {name: {key: scored["metrics"][name].get(key) for key in ("mean", "ci95")} for name in KEPT}
        print(f"{method.label}, {count} passes: " + ", ".join(f"{key} {entry[key]['mean']:.4f}" for key in COLUMNS))
        curve.append({"passes": count, "episodes": episodes.sha256, "dialogues": len(episodes), **entry})
    return curve


def _markdown(found: dict[str, Any]) -> str:
    heads = [heading for heading, _ in COLUMNS.values()]
    lines = ["| method | passes | " + " | ".join(heads) + " |", "|---|---:|" + "---:|" * len(heads)]
    for one in found["methods"].values():
        for entry in one["curve"]:
            cells = [_cell(entry[name], digits) for name, (_, digits) in COLUMNS.items()]
            lines.append(f"| {one['label']} | {entry['passes']} | " + " | ".join(cells) + " |")
    last = next(iter(found["methods"].values()))["curve"][-1]
    about = f"{last['dialogues']} dialogues of validation personas, each held out in turn; ± half of the 95 % interval over personas"
    return "\n".join([*lines, "", f"{about}.", "", f"`{found['command']}`", ""])


def _cell(entry: dict[str, Any], digits: int) -> str:
    half = "" if entry["ci95"] is None else f" ± {entry['ci95']:.{digits}f}"
    return f"{entry['mean']:.{digits}f}{half}"


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", type=Path, help="the folder that table.py wrote to: its --output")
    parser.add_argument("target", type=Path, help="where passes.json and passes.md go")
    parser.add_argument("--scorer", required=True, help="NLI model of the C score: folder, hub id or package:<name>")
    parser.add_argument("--methods", nargs="+", default=["seq2spg_f", "maml_seq2spg", "cmaml_seq2spg"], metavar="NAME")
    parser.add_argument("--seed", type=int, default=0, help="of the runs")
    parser.add_argument("--passes", nargs="+", type=int, default=[0, 6, 25, 60], metavar="N")
    parser.add_argument("--test-tasks", type=int, default=40, metavar="N", help="dialogues")
    parser.add_argument("--set", nargs="*", default=[], metavar="WORD", help="overrides for all recipes")
    return parser


if __name__ == "__main__":
    try:
        main()
    except HfmetaError as error:
        sys.exit(f"error: {error}")
