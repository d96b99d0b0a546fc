"""Test a saved learner on its own: episodes from what its checkpoint says of the data, changed by overrides."""

from __future__ import annotations

import dataclasses
import shlex
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from hfmeta.algorithms import Algorithm, algorithm_origin
from hfmeta.config import MetaConfig
from hfmeta.inner.errors import HfmetaError
from hfmeta.learner import MetaLearner
from hfmeta.recipe.building import Build, build_model, training_arguments
from hfmeta.recipe.data import build_episodes
from hfmeta.recipe.ensemble import best_checkpoints, ensemble_scores
from hfmeta.recipe.errors import RecipeError
from hfmeta.recipe.parsing import apply_overrides, parse_tree
from hfmeta.recipe.results import device_name
from hfmeta.recipe.running import assemble, run_baselines
from hfmeta.recipe.schema import Recipe
from hfmeta.recipe.writing import per_task
from hfmeta.trainer import MetaTrainer

# What of an algorithm may differ in a test: nothing that its learned tensors depend on.
FREE_OPTIONS = ("test_inner_steps", "test_prune_steps", "tasks_per_pass", "evaluator")
# Keys of `data` that leave the split of the tasks as it is.
SIZES = {
    "n_way",
    "k_shot",
    "train_n_way",
    "train_k_shot",
    "support",
    "query",
    "test_support",
    "test_query",
    "test_tasks",
    "seed",
    "test_rotations",
    "official_runs",
    "test_sets",
    "max_length",
    "max_support_rows",
    "max_query_rows",
}
FREE_TRAINING = ("per_device_eval_batch_size", "use_cpu", "bf16", "dataloader_num_workers", "disable_tqdm")


def evaluate_checkpoint(
    name: str,
    overrides: Sequence[str] = (),
    *,
    episodes: int | None = None,
    seed: int | None = None,
    ensemble: int | None = None,
    revision: str | None = None,
    subfolder: str | None = None,
) -> dict[str, Any]:
    """Test a saved learner on fixed episodes of its recipe's test tasks.

    Args:
        name: folder or hub id of a learner.
        overrides: `data.key=value`, `metrics=[...]`, `baselines=[...]` and `algorithm.test_inner_steps=...`, among others.
        episodes: number of test tasks, in place of the recipe's.
        seed: seed of the test episodes, in place of the recipe's.
        ensemble: test so many of the run's checkpoints together, the best ones on its validation tasks, by their mean logits.
        revision: branch, tag or commit on the hub.
        subfolder: where in the repository, or in the folder, the learner is.

    Returns:
        results as of a run, without what belongs to training, and the scores of each task under `per_task`.

    Raises:
        HfmetaError: no learner there, a learner saved without a recipe, or overrides that do not fit.
    """
    learner = MetaLearner.from_pretrained(name, revision=revision, subfolder=subfolder)
    members = [] if ensemble is None else best_checkpoints(Path(name, subfolder or ""), ensemble)
    keys = {"data.test_tasks": episodes, "data.seed": seed}
    changes = [*overrides, *(f"{key}={value}" for key, value in keys.items() if value is not None)]
    told = dict(episodes=episodes, seed=seed, ensemble=ensemble, revision=revision, subfolder=subfolder)
    command = _command(name, told, overrides)
    recipe = recipe_of_learner(learner, name, changes)
    learner.algorithm = recipe.algorithm
    with tempfile.TemporaryDirectory() as scratch:
        args = training_arguments(recipe, output_dir=scratch, report_to="none")
        made = build_episodes(recipe.data, recipe.model.task, learner.processing_class, train_seed=args.seed)
        _check_split(learner, recipe, made.split_sha256, name)
        _check_classes(learner, made.num_labels, name)
        trainer = MetaTrainer(learner, args, eval_dataset=made.test)
        built = Build(recipe, args, made, lambda: build_model(recipe, made.num_labels, args.seed), learner)
        started = time.perf_counter()
        folders = [folder for folder, _ in members]
        scores = ensemble_scores(trainer, made.test, folders) if folders else trainer.task_scores(made.test)
        seconds = time.perf_counter() - started
        baselines = run_baselines(built, args.device)
        results = assemble(built, scores, baselines, command)
    return {
        "checkpoint": name,
        **results,
        **({"ensemble": {folder.name: accuracy for folder, accuracy in members}} if members else {}),
        "seconds": {"test": round(seconds, 3)},
        "world_size": args.world_size,
        "device": device_name(args.device),
        "per_task": per_task(results, scores, baselines),
    }


def _command(name: str, options: Mapping[str, Any], overrides: Sequence[str]) -> str:
    """The command line that makes the same test."""
    words = [word for key, value in options.items() if value is not None for word in (f"--{key}", str(value))]
    return shlex.join(["hfmeta", "evaluate", name, *words, *overrides])


def recipe_of_learner(learner: MetaLearner, name: str, overrides: Sequence[str]) -> Recipe:
    """The recipe that a checkpoint carries, with overrides.

    Args:
        learner: the opened learner.
        name: where it came from, for messages.
        overrides: what to change.

    Raises:
        HfmetaError: no recipe in it, or overrides that change what was learned.
    """
    info = learner.info
    if not {"model", "data", "metrics"} <= set(info):
        raise HfmetaError(
            f"{name} was saved without a recipe, so its test tasks are not known. Evaluate it in Python: "
            "MetaTrainer(learner, args).evaluate(episodes)."
        )
    problems = [problem for word in overrides if (problem := _forbidden(word))]
    options = learner.algorithm.to_dict()
    tree = {
        "model": {key: value for key, value in info["model"].items() if key != "num_labels"},
        "adapter": info.get("adapter") or {},
        "algorithm": {"name": _algorithm_name(learner), **options},
        "data": info["data"],
        "training": {"output_dir": ".", "seed": info.get("seed", MetaConfig.seed)},
        "metrics": list(info["metrics"]),
        # Baselines were run with the training run; a test names those it wants.
        "baselines": [],
    }
    if problems:
        raise RecipeError(name, problems)
    changed = apply_overrides(tree, overrides, problems)
    return parse_tree(
        changed, source=str(info.get("recipe", name)), problems=problems, needs_base=bool(changed["baselines"])
    )


def with_steps(learner: MetaLearner, steps: int) -> None:
    """Set the number of inner steps of `adapt` and of evaluation.

    Args:
        learner: changed in place.
        steps: K, at least 0.

    Raises:
        HfmetaError: a number the algorithm refuses.
    """
    learner.algorithm = dataclasses.replace(learner.algorithm, test_inner_steps=steps)


def take_test_options(learner: MetaLearner, algorithm: Algorithm) -> None:
    """Let a learner be tested as these options say, whatever its own test options were in training.

    Args:
        learner: changed in place; options that its training depends on stay.
        algorithm: options of the same algorithm.
    """
    known = {field.name for field in dataclasses.fields(learner.algorithm)}
    taken = {name: getattr(algorithm, name) for name in FREE_OPTIONS if name in known}
    learner.algorithm = dataclasses.replace(learner.algorithm, **taken)


def _forbidden(word: str) -> str | None:
    """Why an override cannot apply to a trained learner, or None."""
    section, _, key = word.removeprefix("~").partition("=")[0].partition(".")
    if section in ("data", "metrics", "baselines"):
        return None
    if section == "algorithm" and key in FREE_OPTIONS:
        return None
    if section == "training" and key in FREE_TRAINING:
        return None
    free = ", ".join([*(f"algorithm.{name}" for name in FREE_OPTIONS), *(f"training.{name}" for name in FREE_TRAINING)])
    return f"override {word!r}: a trained learner is tested as it is; data, metrics, baselines, {free} may change"


def _algorithm_name(learner: MetaLearner) -> str:
    origin = algorithm_origin(type(learner.algorithm))
    assert origin is not None, "a learner that was opened has a registered algorithm"
    return origin[0]


def _check_classes(learner: MetaLearner, n_way: int | None, name: str) -> None:
    """Refuse tasks of more classes than the head of the learner has."""
    if n_way is not None and n_way > (rows := learner.config.num_labels):
        raise HfmetaError(
            f"data.n_way={n_way} is more than the {rows} classes that the head of {name} was trained with; "
            f"test with {rows} at most."
        )


def _check_split(learner: MetaLearner, recipe: Recipe, sha256: str | None, name: str) -> None:
    """Refuse the same data split otherwise than in training: tasks that were trained on may be among the test tasks."""
    before, now = learner.info["data"], recipe.tree["data"]
    changed = {key for key in {**before, **now} if before.get(key) != now.get(key)}
    trained = learner.info.get("split", {}).get("sha256")
    if changed <= SIZES and None not in (trained, sha256) and sha256 != trained:
        raise HfmetaError(
            f"the tasks of {name} are split otherwise now (hash {str(sha256)[:12]}, trained with {trained[:12]}): the data have "
            "changed, and tasks that were trained on may be among the test tasks. Restore the data, or name other data."
        )
