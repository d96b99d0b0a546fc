"""The table of the intent recipes: every method on the same test tasks, mean over the five class splits, differences task by task.

    python recipes/intents/table.py out/intents recipes/intents/results

reads runs of the recipes beside this file, `<recipe>_split<NN>/` as `hfmeta train` writes them, for five shots of the prototypical
recipes `prototypical_<corpus>_5shot_split<NN>.json` as `hfmeta evaluate ... data.k_shot=5 --json` writes them, and
`fine_tuning_<corpus>_<k>shot_split<NN>.json` as `fine_tuning.py` does; it copies their results and writes `table.json` and `table.md`.
A column of which the folder has no run at all stays as the table has it; so do its rows of fine-tuning and of averaged encoders alone.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np

from hfmeta.inner.errors import HfmetaError
from hfmeta.metrics import mean_ci95, paired_difference
from hfmeta.reporting.files import write_json, write_text

CORPORA = {"banking77": "BANKING77", "clinc150": "CLINC150"}
SHOTS = (1, 5)
SPLITS = ("01", "02", "03", "04", "05")
METHODS = {
    "frozen_ncm": "frozen features + nearest class mean",
    "frozen_logreg": "frozen features + logistic regression",
    "fine_tuning": "ordinary fine-tuning",
    "prototypical": "prototypical training, no inner step",
    "means": "MAML, class means alone (before its inner steps)",
    "maml": "MAML",
    "maml_averaged": "MAML, encoder averaged with the pretrained one",
}
REFERENCE, TUNED = "frozen_ncm", "fine_tuning"
ALONE = (TUNED, "maml_averaged")
"""Rows made of runs of their own, which need not be there when the others are read."""


def main(source: Path, target: Path) -> None:
    """Read the runs below `source`, write the table and the runs' results into `target`."""
    target.mkdir(parents=True, exist_ok=True)
    file = target / "table.json"
    known = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}
    table = {}
    for corpus in CORPORA:
        for shots in SHOTS:
            column = f"{corpus}_{shots}shot"
            runs = [path for recipe in ("maml", "prototypical") for path in source.glob(f"{recipe}_{column}_split*")]
            if column in known and not runs:
                table[column] = known[column]
            else:
                table[column] = column_of_runs(source, target, corpus, shots)
            for method in ALONE:
                made = row_alone(source, target, method, column) or table[column].get(method)
                if made := made or known.get(column, {}).get(method):
                    table[column][method] = made
    write_json(file, table)
    write_text(target / "table.md", markdown(table))


def column_of_runs(source: Path, target: Path, corpus: str, shots: int) -> dict[str, Any]:
    """The rows of one column, from the runs on all splits."""
    scores: dict[str, dict[str, list[float]]] = {method: {} for method in METHODS}
    for split in SPLITS:
        for method, values in split_scores(source, target, corpus, shots, split).items():
            scores[method][split] = values
    return {method: row(scores, method) for method in METHODS if scores[method]}


def row_alone(source: Path, target: Path, method: str, column: str) -> dict[str, Any] | None:
    """One method in one column, from runs that bring their reference along; None where there is none."""
    scores: dict[str, dict[str, list[float]]] = {REFERENCE: {}, method: {}}
    for split in SPLITS:
        name = f"{method}_{column}_split{split}"
        if not (source / name).is_dir() and not (source / f"{name}.json").is_file():
            continue
        tasks, hashed = read(source, target, name)
        run = json.loads((target / f"maml_{column}_split{split}.json").read_text(encoding="utf-8"))
        if hashed != run["episodes"]["sha256"]:
            raise HfmetaError(f"{name} and the runs beside it were not tested on the same episodes.")
        scores[REFERENCE][split] = tasks["baselines"][REFERENCE]
        own = tasks["baselines"].get(method)
        scores[method][split] = np.array(tasks["scores"]["accuracy"])[:, -1].tolist() if own is None else own
    return row(scores, method) if scores[method] else None


def split_scores(source: Path, target: Path, corpus: str, shots: int, split: str) -> dict[str, list[float]]:
    """The accuracy of every method on each test task of one split; baselines may cover the first tasks alone."""
    ours, hashes = read(source, target, f"maml_{corpus}_{shots}shot_split{split}")
    theirs, others = read(source, target, f"prototypical_{corpus}_{shots}shot_split{split}")
    if hashes != others:
        raise HfmetaError(f"{corpus}, {shots} shots, split {split}: the runs were not tested on the same episodes.")
    curves = np.array(ours["scores"]["accuracy"])
    found = {"maml": curves[:, -1].tolist(), "means": curves[:, 0].tolist()}
    found["prototypical"] = np.array(theirs["scores"]["accuracy"])[:, -1].tolist()
    for name, values in (ours["baselines"] or theirs["baselines"]).items():
        found[name] = values
    return found


def read(source: Path, target: Path, name: str) -> tuple[dict[str, Any], str]:
    """Scores by task of one run and the hash of its episodes; its results are copied into the target."""
    folder, file = source / name, source / f"{name}.json"
    if folder.is_dir():
        results = json.loads((folder / "results.json").read_text(encoding="utf-8"))
        tasks = json.loads((folder / "per_task.json").read_text(encoding="utf-8"))
    elif file.is_file():
        results = json.loads(file.read_text(encoding="utf-8"))
        tasks = results["per_task"]
        if TUNED not in name:  # whose row is made again as splits come in
            del results["per_task"]
    else:
        raise HfmetaError(f"there is no run {folder} and no result {file}: train or evaluate it first.")
    write_json(target / f"{name}.json", results)
    return tasks, tasks["episodes"]["sha256"]


def row(scores: dict[str, dict[str, list[float]]], method: str) -> dict[str, Any]:
    """One method: mean over splits, interval over all tasks, and the difference to frozen features on the same tasks."""
    own = [task for values in scores[method].values() for task in values]
    same = [task for split, values in scores[method].items() for task in scores[REFERENCE][split][: len(values)]]
    mean, ci95 = mean_ci95(own)
    entry = {
        "mean": float(np.mean([np.mean(values) for values in scores[method].values()])),
        "ci95": ci95,
        "tasks": len(own),
    }
    entry["splits"] = {split: float(np.mean(values)) for split, values in scores[method].items()}
    if method != REFERENCE:
        gain = paired_difference(same, own)
        entry |= {"gain": gain.mean, "gain_ci95": gain.ci95, "errors_removed": gain.relative_error_reduction}
    return entry


def markdown(table: dict[str, dict[str, dict[str, Any]]]) -> str:
    """The table as Markdown: accuracy in percent, and errors removed relative to frozen features."""
    heads = [f"{name} {shots}-shot" for name in CORPORA.values() for shots in SHOTS]
    lines = ["| | " + " | ".join(heads) + " |", "|---" * (len(heads) + 1) + "|"]
    for method, title in METHODS.items():
        cells = []
        for entries in table.values():
            if method not in entries:
                cells.append("-")
                continue
            entry = entries[method]
            cell = f"{100 * entry['mean']:.1f} ± {100 * entry['ci95']:.1f}"
            if "errors_removed" in entry:
                cell += f" ({100 * entry['errors_removed']:+.0f} %)"
            splits = len(entry["splits"])
            cells.append(cell if splits == len(SPLITS) else f"{cell}, {splits} of {len(SPLITS)} splits")
        lines.append(f"| {title} | " + " | ".join(cells) + " |")
    tasks = {method: [entries.get(method, {}).get("tasks", 0) for entries in table.values()] for method in METHODS}
    lines += [
        "",
        "Accuracy in percent, mean over the five class splits (or as many as are named), 95 % interval over tasks; in brackets the "
        "share of the errors of frozen features + nearest class mean that is gone on the same tasks. Tasks in each column: "
        + ", ".join(f"{title} {'/'.join(map(str, tasks[method]))}" for method, title in METHODS.items())
        + ".",
    ]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
