"""One row of a table as a file: made by training and scoring where it is not there, read where it is."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from hfmeta.comparison.methods import Method
from hfmeta.comparison.plan import Plan, adaptation_of, sizes_of
from hfmeta.comparison.scoring import Judges, score_learner
from hfmeta.comparison.settings import SETTINGS
from hfmeta.inner.errors import HfmetaError
from hfmeta.learner import MetaLearner
from hfmeta.recipe import parse_recipe
from hfmeta.recipe.data import build_episodes
from hfmeta.recipe.evaluating import take_test_options, with_steps
from hfmeta.recipe.results import versions
from hfmeta.reporting.files import write_json, write_text
from hfmeta.responses import PAPER_DECODING, Decoding


def row_path(plan: Plan, method: Method, seed: int, setting: str) -> Path:
    """Where a row lies."""
    return plan.output / "rows" / setting / f"{method.name}_seed{seed}.json"


def make_row(
    plan: Plan,
    method: Method,
    seed: int = 0,
    setting: str = "main",
    *,
    test_tasks: int | None = None,
    decoding: Decoding = PAPER_DECODING,
    judges: Judges | None = None,
) -> dict[str, Any]:
    """Train a method where it is not trained, score it, write the row; a row that was made with the same options is read instead.

    Args:
        plan: what is trained, and where things lie.
        method: the row.
        seed: of training.
        setting: a key of SETTINGS.
        test_tasks: fixed test episodes, in place of the recipe's.
        decoding: how replies are generated.
        judges: for the C score and E-acc.

    Raises:
        HfmetaError: an unknown setting, or a recipe that cannot run.
    """
    if setting not in SETTINGS:
        raise HfmetaError(f"unknown setting {setting!r}; known: {', '.join(SETTINGS)}.")
    judges = judges or Judges()
    options = {
        "setting": list(SETTINGS[setting].overrides),
        "test_tasks": test_tasks,
        "decoding": asdict(decoding),
        "judges": {name: judge.name for name, judge in vars(judges).items() if judge is not None},
    }
    adaptation = adaptation_of(plan, method, SETTINGS[setting])
    path = row_path(plan, method, seed, setting)
    if path.is_file():
        before: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        if before.get("options") == options and before.get("adaptation") == adaptation:
            return before
    folder = plan.train(method, seed)
    started = time.perf_counter()
    words = [*plan.words(method, seed), *SETTINGS[setting].overrides]
    if test_tasks is not None:
        words.append(f"data.test_tasks={test_tasks}")
    recipe = parse_recipe(plan.recipe_of(method), words)
    learner = MetaLearner.from_pretrained(folder)
    take_test_options(learner, recipe.algorithm)
    if adaptation:
        with_steps(learner, adaptation["adapt"])
    episodes = build_episodes(recipe.data, recipe.model.task, learner.processing_class, seed).test
    found, replies = score_learner(learner, episodes, adapt=method.adapt, decoding=decoding, judges=judges)
    trained = json.loads((folder / "results.json").read_text(encoding="utf-8"))
    row = {
        "method": method.name,
        "label": method.label,
        "seed": seed,
        "options": options,
        "adaptation": adaptation,
        **found,
        "episodes": {"count": len(episodes), "sha256": episodes.sha256, "replies": len(replies)},
        "seconds": {"train": trained["seconds"]["train"], "test": round(time.perf_counter() - started, 1)},
        "sizes": {**sizes_of(plan, method, seed), "parameters": sum(p.numel() for p in learner.model.parameters())},
        "versions": versions(),
    }
    write_text(
        path.with_suffix(".replies.jsonl"), "".join(json.dumps(one, ensure_ascii=False) + "\n" for one in replies)
    )
    write_json(path, row)
    # What is returned is what a later call will read.
    return dict(json.loads(path.read_text(encoding="utf-8")))


def read_rows(plan: Plan, methods: Sequence[Method], setting: str, seeds: Sequence[int] = ()) -> list[dict[str, Any]]:
    """The rows that are there, in the order of the table.

    Args:
        plan: where they lie.
        methods: those wanted.
        setting: a key of SETTINGS.
        seeds: those wanted; none: all that are there.
    """
    paths = [path for method in methods for path in _paths(plan, method, setting, seeds) if path.is_file()]
    return [json.loads(path.read_text(encoding="utf-8")) for path in paths]


def _paths(plan: Plan, method: Method, setting: str, seeds: Sequence[int]) -> list[Path]:
    if seeds:
        return [row_path(plan, method, seed, setting) for seed in seeds]
    found = row_path(plan, method, 0, setting).parent.glob(f"{method.name}_seed*.json")
    return sorted(found, key=lambda path: int(path.stem.rsplit("seed", 1)[1]))
