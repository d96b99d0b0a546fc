"""The family on Omniglot: every method's run on the same test tasks, beside what its authors published.

    python recipes/omniglot/table.py recipes/omniglot/results
    python recipes/omniglot/table.py recipes/omniglot/results --runs out/omniglot

The first makes `table.json` and `table.md` of the results that are there; the second copies results of finished runs first, whose
folders are named after method, setting and seed: `anil_5way_1shot_seed1`. Methods without a run keep their row. What
`ordinary_training.py` found on the same tasks stands below them.
"""

from __future__ import annotations

import argparse
import json
import re
from pathlib import Path
from typing import Any

from hfmeta.inner.errors import HfmetaError
from hfmeta.reporting.files import write_json, write_text

METHODS = {
    "maml": "MAML",
    "maml_pretrained": "MAML from ordinary training, class means as head",
    "first_order_maml": "first-order MAML",
    "anil": "ANIL",
    "meta_sgd": "Meta-SGD",
    "maml_plus_plus": "MAML++",
    "maml_plus_plus_per_step": "MAML++, normalisation per step",
    "maml_plus_plus_per_step_ensemble": "the same, five checkpoints together",
    "reptile": "Reptile",
    "implicit_maml": "implicit MAML",
    "lstm": "LSTM meta-learner",
    "hsml": "HSML",
}
ORDINARY = {
    "frozen_ncm": "ordinary training, nearest class mean",
    "frozen_logreg": "ordinary training, logistic regression",
    "fine_tuning": "ordinary training, fine-tuning",
}
SETTINGS = {"5way_1shot": "5-way 1-shot", "5way_5shot": "5-way 5-shot", "20way_1shot": "20-way 1-shot"}
NAME = re.compile(rf"({'|'.join(METHODS)})_({'|'.join(SETTINGS)})_seed(\d+)")
HEADS = ("method", "inner steps", "tasks a step", "outer steps", "accuracy", "published", "s / outer step")


def main(target: Path, runs: Path | None) -> None:
    """Copy the results of the runs, if any, and write the table."""
    for folder in sorted(runs.iterdir()) if runs is not None else []:
        if NAME.fullmatch(folder.name) and (folder / "results.json").is_file():
            write_json(
                target / f"{folder.name}.json", json.loads((folder / "results.json").read_text(encoding="utf-8"))
            )
    paper = json.loads((Path(__file__).parent / "paper.json").read_text(encoding="utf-8"))
    table = {setting: rows(target, setting, paper[setting]) for setting in SETTINGS}
    write_json(target / "table.json", table)
    write_text(target / "table.md", markdown(table))


def rows(target: Path, setting: str, paper: dict[str, Any]) -> list[dict[str, Any]]:
    """One row for each run of a setting, and for each method that has a published figure and no run.

    Raises:
        HfmetaError: two runs were not tested on the same episodes.
    """
    found, hashes = [], {}
    for method, title in METHODS.items():
        entry: dict[str, Any] = {"method": title, "published": paper.get(method)}
        files = sorted(target.glob(f"{method}_{setting}_seed*.json"))
        for file in files:
            results = json.loads(file.read_text(encoding="utf-8"))
            hashes[file.name] = results["episodes"]["sha256"]
            found.append(entry | run(results))
        if not files and method in paper:
            found.append(entry)
    ordinary = target / f"ordinary_training_{setting}.json"
    if ordinary.is_file():
        results = json.loads(ordinary.read_text(encoding="utf-8"))
        hashes[ordinary.name] = results["episodes"]["sha256"]
        found += [without_meta_learning(results, name, title) for name, title in ORDINARY.items()]
    if len(set(hashes.values())) > 1:
        raise HfmetaError(
            f"{setting}: the runs were not tested on the same episodes: {hashes}. Test them with one data.seed."
        )
    return found


def run(results: dict[str, Any]) -> dict[str, Any]:
    """What the table says of one run."""
    algorithm, training = results["algorithm"], results["hyper_parameters"]["training"]
    tested = algorithm["test_inner_steps"]
    return {
        "inner_steps": algorithm["inner_steps"],
        "portions_of": algorithm.get("inner_batch_size"),
        "test_inner_steps": algorithm["inner_steps"] if tested is None else tested,
        "tasks_per_step": training["per_device_train_batch_size"] * results.get("world_size", 1),
        "iterations": results.get("iterations"),
        "schedule": training.get("lr_scheduler_type"),
        "accuracy": results["metrics"]["accuracy"],
        "seconds_per_iteration": results["seconds"].get("per_iteration"),
        "seed": results["seed"],
        "device": results["device"],
        "sha256": results["episodes"]["sha256"],
    }


def without_meta_learning(results: dict[str, Any], name: str, title: str) -> dict[str, Any]:
    """What the table says of a row that `ordinary_training.py` made."""
    scored, training = results["baselines"][name], results["training"]
    return {
        "method": title,
        "published": None,
        "test_inner_steps": scored["options"].get("steps"),
        "images_per_step": training["images_per_step"],
        "iterations": training["steps"],
        "accuracy": {key: scored[key] for key in ("mean", "ci95", "tasks")},
        "options": scored["options"],
        "seconds_per_iteration": training["seconds"] / training["steps"],
        "seed": training["seed"],
        "device": results["device"],
        "sha256": results["episodes"]["sha256"],
    }


def markdown(table: dict[str, list[dict[str, Any]]]) -> str:
    """The table as Markdown, one part a setting."""
    lines = []
    for setting, entries in table.items():
        lines += [f"## Omniglot {SETTINGS[setting]}", "", "| " + " | ".join(HEADS) + " |", "|---" * len(HEADS) + "|"]
        lines += [*("| " + " | ".join(cells(entry)) + " |" for entry in entries), ""]
    return "\n".join([*lines, ""]) + (
        "Accuracy in percent on the same 600 test tasks for all rows of a part (their hash is checked), 95 % interval over tasks. "
        "Inner steps: in training / in the test; passes over portions where so marked. Published figures are of runs many times as "
        "long, on the authors' own splits and tasks. Times are medians on shared cores: compare their order, not their values. "
        "Ordinary training: one classifier of all 1,100 training characters in four turns, its features on the test tasks "
        "(ordinary_training.py). Those rows and the LSTM's see one query image at a time, the others normalise a task's together.\n"
    )


def cells(entry: dict[str, Any]) -> list[str]:
    """The cells of one row."""
    told = entry["published"]
    published = "—" if told is None else f"{told['mean']}" + ("" if told["pm"] is None else f" ± {told['pm']}")
    if "accuracy" not in entry:
        return [entry["method"], "", "", "not run", "", published, ""]
    accuracy, seconds, steps = entry["accuracy"], entry["seconds_per_iteration"], entry["iterations"]
    if "images_per_step" in entry:
        tested = entry["test_inner_steps"]
        inner, size = "—" if tested is None else f"— / {tested}", f"{entry['images_per_step']} images"
    else:
        portions = "" if entry["portions_of"] is None else f" passes of {entry['portions_of']} rows"
        inner, size = f"{entry['inner_steps']} / {entry['test_inner_steps']}{portions}", str(entry["tasks_per_step"])
    return [
        entry["method"],
        inner,
        size,
        "—" if steps is None else f"{steps:,}",
        f"{100 * accuracy['mean']:.1f} ± {100 * accuracy['ci95']:.1f}",
        published,
        "—" if seconds is None else f"{seconds:.2f}",
    ]


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("target", type=Path, help="folder of results, where the table goes too")
    parser.add_argument("--runs", type=Path, help="folder of finished runs whose results are copied first")
    options = parser.parse_args()
    main(options.target, options.runs)
