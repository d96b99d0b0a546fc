"""Write `model_cards/`: a card and its adaptation curve for every recipe that has results under `recipes/*/results/`.

Run from the root of the repository, after results were added:  python scripts/make_model_cards.py
The words are those of the templates in hfmeta/publishing/card/templates; everything else is read from the results.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from typing import Any

from hfmeta.publishing.card import content_of_results, learner_card
from hfmeta.publishing.card.runs import Run, grouped, told_apart
from hfmeta.reporting import adaptation_curve, write_text

ROOT = Path(__file__).resolve().parents[1]
CURVE = "adaptation_curve.png"
INDEX = """# Model cards

The card of every recipe that has results under `recipes/*/results/`, as a repository of its learner would have it; where there were
several runs (seeds, splits, test settings) the card has them all. Made by `make cards` from the results alone; a test makes them again
and compares. The words stand in [`templates/`](templates/), a file for each kind: a learner, an adapted model, private adapters.

| card | task | algorithm | runs |
|---|---|---|---:|
"""


def published(root: Path) -> dict[str, list[dict[str, Any]]]:
    """The results of every recipe, those of training runs first: name such as `intents/maml_banking77_1shot` -> contents.

    Args:
        root: of the repository.
    """
    found: dict[str, list[dict[str, Any]]] = {}
    for path in sorted(root.glob("recipes/*/results/*.json")):
        content = json.loads(path.read_text(encoding="utf-8"))
        # Tables lie there too, made from these files; a card is of results alone.
        if isinstance(content, dict) and {"recipe", "primary_metric", "metrics", "hyper_parameters"} <= content.keys():
            source = PurePosixPath(content["recipe"])
            found.setdefault(str(source.with_suffix("").relative_to("recipes")), []).append(content)
    return {
        name: sorted(runs, key=lambda one: "checkpoint" in one)  # stable: by file name within each
        for name, runs in sorted(found.items())
    }


def cards(root: Path) -> dict[str, str]:
    """Every file of text in `model_cards/`, by its path there.

    Args:
        root: of the repository.
    """
    texts, lines = {}, []
    for name, runs in published(root).items():
        content = content_of_results(runs[0])
        images = [CURVE] if drawn(runs) else []
        texts[f"{name}/README.md"] = learner_card(content, runs, images=images, title=name)
        lines.append(
            f"| [{name}]({name}/README.md) | {content['task_type']} | {content['algorithm']['name']} | {len(runs)} |\n"
        )
    return {"README.md": INDEX + "".join(lines), **texts}


def drawn(runs: Sequence[dict[str, Any]]) -> list[Run]:
    """The runs whose curves a card shows: those of its first setting that did not diverge and have inner steps.

    Args:
        runs: contents of results.json files, of one recipe.
    """
    first = grouped(told_apart(runs))[0]
    return [
        run
        for run in first
        if not run.metrics[run.primary].get("nonfinite_tasks")
        and len(run.results["adaptation_curve"][run.primary]["mean"]) > 1
    ]


def draw(runs: Sequence[dict[str, Any]], path: Path) -> Path | None:
    """The adaptation curves of a recipe in one plot, beside baselines of the first of them; None where there is nothing to draw.

    Args:
        runs: contents of results.json files, of one recipe.
        path: the PNG to write.
    """
    shown = drawn(runs)
    if not shown:
        return None
    metric, first = shown[0].primary, shown[0]
    curves = {run.label or run.results["algorithm"]["name"]: run.results["adaptation_curve"][metric] for run in shown}
    suffix = f", {first.label}" if len(shown) > 1 else ""
    baselines = {
        f"{name}{suffix}": entry
        for name, entry in first.results["baselines"].items()
        # Levels with their bands would hide the curves of several runs; the table has them.
        if entry["metric"] == metric and (len(shown) == 1 or "curve" in entry)
    }
    return adaptation_curve(curves, metric, path, baselines)


def main() -> None:
    """Write everything that is not there as it should be."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, default=ROOT / "model_cards")
    output = parser.parse_args().output
    for name, text in cards(ROOT).items():
        write_text(output / name, text)
    for name, runs in published(ROOT).items():
        draw(runs, output / name / CURVE)
    print(f"{len(published(ROOT))} cards in {output}")


if __name__ == "__main__":
    main()
