"""A recipe's run: train, test, compare with the baselines, write the results beside the checkpoint.

Every process of a distributed run trains and tests; the first one alone runs the baselines and writes. What the numbers are is in
`results.py`, the files in `writing.py`.
"""

from __future__ import annotations

import json
import shlex
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from hfmeta.algorithms import find_algorithm
from hfmeta.episodes import FixedEpisodes
from hfmeta.inner.errors import HfmetaError
from hfmeta.learner import MetaLearner
from hfmeta.learner.gates import gates_over_steps
from hfmeta.publishing import keep_results, last_good_checkpoint, load_weights_into
from hfmeta.publishing.checkpoint import CONFIG
from hfmeta.recipe.baselines import BaselineScores, Bench, run_baseline
from hfmeta.recipe.building import Build, build
from hfmeta.recipe.checks import METRICS
from hfmeta.recipe.parsing import parse_recipe
from hfmeta.recipe.results import (
    Scores,
    baseline_entries,
    baseline_metric,
    curve,
    device_name,
    metric_entries,
    score_episodes,
    versions,
)
from hfmeta.recipe.schema import Recipe
from hfmeta.recipe.writing import write_run
from hfmeta.trainer import MetaTrainer


def run_recipe(path: str | Path, overrides: Sequence[str] = (), *, resume: bool = False) -> dict[str, Any]:
    """Train and test what a recipe describes, and write its output folder.

    Args:
        path: the recipe.
        overrides: `section.key=value` and `~section.key`.
        resume: go on from the last checkpoint in the output folder.

    Returns:
        the results, as written to results.json.

    Raises:
        HfmetaError: a recipe that cannot run (nothing is written then), or a loss that is not finite.
    """
    recipe = parse_recipe(path, overrides)
    output = Path(recipe.training["output_dir"]).expanduser()
    recipe.training["output_dir"] = str(output)
    checkpoint = _checkpoint(recipe, output, resume)
    with _no_empty_folder_left(output):
        built = build(recipe)
        clock = StepClock()
        trainer = built.trainer([clock])
        started = time.perf_counter()
        if checkpoint is None or not _take_finished(trainer, Path(checkpoint)):
            trainer.train(resume_from_checkpoint=checkpoint)
        trained = time.perf_counter()
        trainer.save_model()
        trainer.save_state()
    skipped = trainer.finite.counts()
    scores = trainer.task_scores(built.episodes.test)
    tested = time.perf_counter()
    if not trainer.is_world_process_zero():
        return {}
    baselines = run_baselines(built, trainer.args.device)
    command = shlex.join(["hfmeta", "train", str(path), *overrides, *(["--resume"] if resume else [])])
    results = assemble(built, scores, baselines, command)
    results |= {
        "iterations": trainer.state.global_step,
        "seconds": {
            "train": round(trained - started, 3),
            "test": round(tested - trained, 3),
            "per_iteration": clock.seconds_per_step,
            "total": round(time.perf_counter() - started, 3),
        },
        "world_size": trainer.args.world_size,
        "device": device_name(trainer.args.device),
        **skipped,
    }
    if not trainer.is_fsdp_enabled:  # no process has all values, of which results are
        results = keep_results(built.learner, results)
    write_run(output, built, results, scores, baselines, trainer.state.log_history)
    return results


def assemble(
    built: Build, scores: dict[str, Scores], baselines: dict[str, BaselineScores], command: str
) -> dict[str, Any]:
    """The results of a run from its per-task scores.

    Args:
        built: what was run.
        scores: `loss` [T, K + 1] and, for classification, `accuracy` [T, K + 1].
        baselines: name -> scores.
        command: the command line.
    """
    recipe, episodes = built.recipe, built.episodes
    compared = baseline_metric(recipe.metrics, recipe.model.task)
    ours = scores["accuracy" if compared == "accuracy" else "loss"][:, -1]
    entries, paired = baseline_entries(baselines, ours, compared)
    algorithm = built.learner.algorithm
    gates = gates_over_steps(built.learner, episodes.test)
    return {
        "recipe": recipe.source,
        "command": command,
        "seed": built.args.seed,
        "versions": versions(),
        "episodes": {"count": len(episodes.test), "sha256": episodes.test.sha256, "seed": episodes.test.seed},
        "split": {"seed": recipe.data.split_seed, "sha256": episodes.split_sha256},
        "primary_metric": recipe.metrics[0],
        "metrics": metric_entries(scores, recipe.metrics),
        "baselines": entries,
        "paired": paired,
        "adaptation_curve": {name: curve(scores[METRICS[name][0]]) for name in recipe.metrics},
        "meta_gradient": algorithm.meta_gradient,
        "algorithm": {"name": recipe.algorithm_name, **algorithm.to_dict()},
        "learned": built.learner.summary(),
        **({"gates": gates} if gates else {}),
        "hyper_parameters": recipe.tree,
    }


def run_baselines(built: Build, device: torch.device) -> dict[str, BaselineScores]:
    """Score the recipe's baselines on the test episodes, in the order of the recipe.

    Args:
        built: the recipe and its episodes.
        device: where models run.
    """
    recipe, args = built.recipe, built.args
    metric = baseline_metric(recipe.metrics, recipe.model.task)

    def adapted_loss(model: nn.Module, episodes: FixedEpisodes, inner_lr: float) -> Scores:
        steps = built.learner.algorithm.eval_steps
        plain = find_algorithm("maml")(inner_steps=steps, inner_lr=inner_lr, order=1, adapt=recipe.algorithm.adapt)
        learner = MetaLearner(model, plain, encoder=built.learner.encoder)
        return score_episodes(learner, episodes, args.per_device_eval_batch_size)["loss"]

    bench = Bench(
        new_model=lambda: built.new_model().to(device),
        train=built.episodes.train,
        valid=built.episodes.valid,
        test=built.episodes.test,
        adapted_loss=adapted_loss,
        iterations=args.max_steps if args.max_steps > 0 else _steps_of_epochs(built),
        learning_rate=args.learning_rate,
        tasks_per_batch=args.per_device_train_batch_size * args.gradient_accumulation_steps * args.world_size,
    )
    return {
        name: run_baseline(name, options, bench, higher_is_better=metric == "accuracy")
        for name, options in recipe.baselines.items()
    }


class StepClock(TrainerCallback):
    """Wall time of outer steps alone: no evaluation, saving or start."""

    def __init__(self) -> None:
        self.times: list[float] = []
        self._begun = 0.0

    def on_step_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Start the watch."""
        self._begun = time.perf_counter()

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        """Stop the watch."""
        self.times.append(time.perf_counter() - self._begun)

    @property
    def seconds_per_step(self) -> float | None:
        """Median over the steps of this process, in seconds; None where there was none."""
        return round(float(np.median(self.times)), 6) if self.times else None


def _checkpoint(recipe: Recipe, output: Path, resume: bool) -> str | None:
    """The checkpoint to go on from; refuses to mix a new run with the checkpoints of an old one."""
    if resume:
        last = last_good_checkpoint(output)
        if last is None:
            raise HfmetaError(f"--resume: there is no checkpoint in {output}; leave --resume out to start anew.")
        _check_same_run(recipe, last)
        return str(last)
    if any(output.glob("checkpoint-*")):
        # The Trainer would count the old run's checkpoints among its own and delete the wrong ones.
        raise HfmetaError(
            f"{output} holds checkpoints of an earlier run. Go on from the last one with --resume, choose another folder with "
            "training.output_dir=..., or delete it."
        )
    return None


def _check_same_run(recipe: Recipe, checkpoint: Path) -> None:
    """Refuse to go on with a run of another algorithm, model or corpus; other options may change."""
    content = json.loads((checkpoint / CONFIG).read_text(encoding="utf-8"))
    there: dict[str, Any] = {"algorithm.name": content["algorithm"]["name"]}
    here: dict[str, Any] = {"algorithm.name": recipe.algorithm_name}
    for section, key in (("model", "name"), ("model", "task"), ("data", "corpus"), ("data", "dataset")):
        there[f"{section}.{key}"] = content["info"].get(section, {}).get(key)
        here[f"{section}.{key}"] = (recipe.tree.get(section) or {}).get(key)
    other = [f"{key} is {there[key]} there and {here[key]} here" for key in here if there[key] != here[key]]
    if other:
        made = content["info"].get("recipe")
        raise HfmetaError(
            f"--resume: {checkpoint.parent} holds another run: {'; '.join(other)}. Go on with its own recipe"
            f"{f' ({made})' if made else ''}, or choose another folder with training.output_dir=...."
        )


def _take_finished(trainer: MetaTrainer, checkpoint: Path) -> bool:
    """Whether the run was already trained to its end; its values are then taken, since the Trainer would add a step."""
    state = TrainerState.load_from_json(str(checkpoint / "trainer_state.json"))
    last = trainer.args.max_steps if trainer.args.max_steps > 0 else state.max_steps
    if state.global_step < last:
        return False
    best = state.best_model_checkpoint if trainer.args.load_best_model_at_end else None
    load_weights_into(trainer.learner, Path(best) if best and Path(best).is_dir() else checkpoint)
    trainer.state = state
    trainer.finite.restore(state, trainer.args)
    trainer.start.take()
    return True


def _steps_of_epochs(built: Build) -> int:
    args = built.args
    batch = args.per_device_train_batch_size * args.gradient_accumulation_steps * args.world_size
    return max(1, round(args.num_train_epochs * len(built.episodes.train) / batch))


@contextmanager
def _no_empty_folder_left(output: Path) -> Iterator[None]:
    """Take back the folders that were made for a run which was refused before it wrote anything."""
    absent = [folder for folder in (output, *output.parents) if not folder.exists()]
    try:
        yield
    except HfmetaError:
        for folder in absent:
            if folder.is_dir() and not any(folder.iterdir()):
                folder.rmdir()
        raise
