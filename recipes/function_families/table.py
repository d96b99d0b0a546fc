"""The table of the toy regression of Yao et al. 2019 (HSML): mean squared error after 5 and 10 inner steps beside the paper's.

    python recipes/function_families/table.py out/function_families recipes/function_families/results

reads runs of the recipes beside this file, `<recipe>` or `<recipe>_seed<N>` as `hfmeta train` writes them, whichever there are; it
copies their results, writes `table.json` and `table.md`, and for every run of HSML three plots: cluster assignments, mean gates and
embeddings by family of functions. From the copied results alone it writes the same table, without plots.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hfmeta import EpisodeDataset, FixedEpisodes, MetaLearner
from hfmeta.corpora import FunctionFamilies
from hfmeta.corpora.function_families import FAMILIES
from hfmeta.episodes.fixed import FIXED_EPOCH
from hfmeta.inner.errors import HfmetaError
from hfmeta.learner import task_portraits
from hfmeta.metrics import mean_ci95, paired_difference
from hfmeta.reporting import cluster_plot, embedding_plot, task_gate_plot
from hfmeta.reporting.files import write_json, write_text

METHODS = {
    "maml": "MAML",
    "meta_sgd": "Meta-SGD",
    "hsml": "HSML",
    "hsml_no_tree": "HSML, no tree",
    "hsml_flat": "HSML, four clusters under one root",
    "hsml_mean": "HSML, pooled embedding",
}
SHOTS = (5, 10)
STEPS = (5, 10)
PLOTTED = 1000
"""Test tasks in a plot."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Read the runs, write the table, the runs' results and the plots."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("source", type=Path, help="folder of the runs, or of copied results")
    parser.add_argument("target", type=Path, help="where the table goes")
    parser.add_argument("--no-plots", action="store_true", help="the table alone")
    options = parser.parse_args(arguments)
    runs = {name: found for name in names() if (found := read_runs(options.source, name))}
    if not runs:
        raise HfmetaError(f"there is no run of a recipe beside this file in {options.source}: train one first.")
    paper = json.loads(Path(__file__).with_name("paper.json").read_text(encoding="utf-8"))
    table = {name: row(found, name) for name, found in runs.items()}
    check_episodes(table)
    for name, found in runs.items():
        for run in found:
            folder = run.pop("folder", None)
            write_json(options.target / f"{name}_seed{run['seed']}.json", run)
            if name.startswith("hsml") and folder is not None and not options.no_plots:
                draw(options.source / folder, options.target, f"{name}_seed{run['seed']}")
    write_json(options.target / "table.json", table)
    write_text(options.target / "table.md", markdown(table, paper))


def names() -> list[str]:
    """Names of the recipes, in the order of the table."""
    return [f"{method}_{shots}shot" for shots in SHOTS for method in METHODS]


def read_runs(source: Path, name: str) -> list[dict[str, Any]]:
    """Results of one recipe, a run for each seed, with the mean error of every family of functions."""
    pattern, found = re.compile(rf"{name}(_seed\d+)?(\.json)?"), {}
    for path in sorted(source.glob(f"{name}*")):
        if not pattern.fullmatch(path.name) or (path.is_dir() and not (path / "results.json").is_file()):
            continue
        results = json.loads((path / "results.json" if path.is_dir() else path).read_text(encoding="utf-8"))
        if path.is_dir():
            results["folder"] = path.name
            tasks = json.loads((path / "per_task.json").read_text(encoding="utf-8"))
            losses = np.array(tasks["scores"]["loss"], dtype=float)
            results["families"] = by_family(losses, results["episodes"]["seed"])
            if (cost := minus_hsml(losses, results, source, name)) is not None:
                results["minus_hsml"] = cost
        if results["seed"] in found:
            raise HfmetaError(f"{source} has two runs of {name} with seed {results['seed']}; keep one of them.")
        found[results["seed"]] = results
    return [found[seed] for seed in sorted(found)]


def minus_hsml(
    losses: NDArray[np.float64], results: dict[str, Any], source: Path, name: str
) -> dict[str, dict[str, float]] | None:
    """What leaving a part of HSML out costs: error minus that of the whole method with the same seed, task by task.

    Args:
        losses: the run's own `[T, K + 1]`.
        results: the run's results.
        source: folder of the runs.
        name: of the run's recipe.

    Returns:
        mean and 95 % interval after each step of the table; None for other methods, and where the whole method was not run.
    """
    method, shots = name.rsplit("_", 1)
    whole = source / f"hsml_{shots}_seed{results['seed']}" / "per_task.json"
    if not method.startswith("hsml_") or not whole.is_file():
        return None
    other = np.array(json.loads(whole.read_text(encoding="utf-8"))["scores"]["loss"], dtype=float)
    if other.shape != losses.shape:
        raise HfmetaError(f"{name} and {whole.parent.name} were not tested on the same tasks and inner steps.")
    differences = {step: paired_difference(other[:, step], losses[:, step]) for step in STEPS}
    return {f"step{step}": {"mean": found.mean, "ci95": found.ci95} for step, found in differences.items()}


def families_of(count: int, seed: int) -> NDArray[np.int64]:
    """The family of each of the first test tasks."""
    return np.array(FunctionFamilies().families(seed, [(FIXED_EPOCH, index) for index in range(count)]))


def by_family(losses: NDArray[np.float64], seed: int) -> dict[str, list[float]]:
    """Mean error of each family before and after every inner step, from the tasks' own `[T, K + 1]`; of tasks that did not diverge."""
    kinds, finite = families_of(len(losses), seed), np.isfinite(losses).all(1)
    return {name: losses[finite & (kinds == kind)].mean(0).tolist() for kind, name in enumerate(FAMILIES)}


def row(runs: Sequence[dict[str, Any]], name: str) -> dict[str, Any]:
    """One recipe: by inner step the mean over seeds, each seed's own, the mean interval over tasks, and the families' means."""
    curves = [run["adaptation_curve"]["mse"] for run in runs]
    entry: dict[str, Any] = {
        "seeds": [run["seed"] for run in runs],
        "iterations": sorted({run["iterations"] for run in runs}),
        "episodes": sorted({run["episodes"]["sha256"] for run in runs}),
        "tasks": runs[0]["metrics"]["mse"]["tasks"],
    }
    for step in (0, *STEPS):
        means = [curve["mean"][step] for curve in curves]
        entry[f"step{step}"] = {
            "mean": float(np.mean(means)),
            "ci95": float(np.mean([curve["ci95"][step] for curve in curves])),
            "by_seed": means,
            "over_seeds_ci95": mean_ci95(means)[1] if len(means) > 1 else None,
            "families": {
                family: float(np.mean([run["families"][family][step] for run in runs])) for family in FAMILIES
            },
        }
    if paired := [found for run in runs if (found := run.get("minus_hsml"))]:
        entry["minus_hsml"] = {
            step: {key: float(np.mean([one[step][key] for one in paired])) for key in ("mean", "ci95")}
            for step in paired[0]
        }
    if len(entry["episodes"]) > 1:
        raise HfmetaError(f"the runs of {name} were not tested on the same episodes.")
    return entry


def check_episodes(table: dict[str, Any]) -> None:
    """Refuse a table whose columns mix test tasks."""
    for shots in SHOTS:
        hashes = {entry["episodes"][0] for name, entry in table.items() if name.endswith(f"_{shots}shot")}
        if len(hashes) > 1:
            raise HfmetaError(f"{shots} shots: the runs were not tested on the same episodes.")


def draw(run: Path, target: Path, name: str) -> None:
    """Three plots of what a run's task gate makes of the families of its test tasks."""
    learner = MetaLearner.from_pretrained(run)
    data = learner.info["data"]
    family = FunctionFamilies(
        data["support"], data["query"], data.get("noise_std", 0.0), data.get("sin_form", "offset")
    )
    episodes = FixedEpisodes(EpisodeDataset(family), min(PLOTTED, data["test_tasks"]), data.get("seed", 0))
    found, kinds = task_portraits(learner, episodes), families_of(len(episodes), episodes.seed)
    groups = {label: kinds == kind for kind, label in enumerate(FAMILIES) if (kinds == kind).any()}
    if found.clusters:
        shares = {label: [level[own] for level in found.clusters] for label, own in groups.items()}
        cluster_plot(shares, target / f"{name}_clusters.png")
    gates = {label: {key: values[own] for key, values in found.gates.items()} for label, own in groups.items()}
    task_gate_plot(gates, target / f"{name}_gates.png")
    embedding_plot({label: found.embedding[own] for label, own in groups.items()}, target / f"{name}_embeddings.png")


def markdown(table: dict[str, Any], paper: dict[str, Any]) -> str:
    """The tables as Markdown: errors beside the paper's, ratios to MAML, and errors by family."""
    heads = [f"{shots}-shot, step {step}" for shots in SHOTS for step in STEPS]
    lines = [
        "| | " + " | ".join([*heads[:2], "paper", *heads[2:], "paper", "seeds"]) + " |",
        "|---" * (len(heads) + 4) + "|",
    ]
    for method, title in METHODS.items():
        cells = []
        for shots in SHOTS:
            entry = table.get(f"{method}_{shots}shot")
            cells += [figure(entry, table.get(f"maml_{shots}shot"), step) for step in STEPS]
            told = paper[f"{shots}shot"].get(method)
            cells.append(f"{told[0]:.3f} ± {told[1]:.3f}" if told else "")
        counts = [str(len(table[key]["seeds"])) for shots in SHOTS if (key := f"{method}_{shots}shot") in table]
        if counts:
            lines.append(f"| {title} | " + " | ".join([*cells, " / ".join(counts)]) + " |")
    tasks = ", ".join(sorted({f"{entry['tasks']:,}" for entry in table.values()}))
    steps = ", ".join(sorted({f"{count:,}" for entry in table.values() for count in entry["iterations"]}))
    lines += [
        "",
        f"Mean squared error over {tasks} test tasks, those that diverge left out, mean over seeds, after {steps} outer steps; ± is "
        "the 95 % interval over tasks; in brackets the share of MAML's error in the same column. Trained with 5 inner steps. The "
        "paper does not say after how many its figures are.",
        "",
        "| step 5 | " + " | ".join(FAMILIES) + " | before adaptation |",
        "|---" * (len(FAMILIES) + 2) + "|",
    ]
    for name, entry in table.items():
        method, shots = name.rsplit("_", 1)
        parts = [f"{entry['step5']['families'][family]:.3f}" for family in FAMILIES]
        before = f"{entry['step0']['mean']:.3f}"
        lines.append(f"| {METHODS[method]}, {shots.replace('shot', '-shot')} | " + " | ".join([*parts, before]) + " |")
    paired = {name: entry["minus_hsml"] for name, entry in table.items() if "minus_hsml" in entry}
    if paired:
        lines += ["", "| minus HSML, same seed and tasks | " + " | ".join(f"step {step}" for step in STEPS) + " |"]
        lines.append("|---" * (len(STEPS) + 1) + "|")
    for name, found in paired.items():
        method, shots = name.rsplit("_", 1)
        cells = [f"{one['mean']:+.3f} ± {one['ci95']:.3f}" for one in found.values()]
        lines.append(f"| {METHODS[method]}, {shots.replace('shot', '-shot')} | " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def figure(entry: dict[str, Any] | None, maml: dict[str, Any] | None, step: int) -> str:
    """One cell: mean, interval, and the share of MAML's error."""
    if entry is None:
        return ""
    own = entry[f"step{step}"]
    share = "" if maml is None or maml is entry else f" ({own['mean'] / maml[f'step{step}']['mean']:.2f})"
    return f"{own['mean']:.3f} ± {own['ci95']:.3f}{share}"


if __name__ == "__main__":
    try:
        main()
    except HfmetaError as error:
        sys.exit(f"error: {error}")
