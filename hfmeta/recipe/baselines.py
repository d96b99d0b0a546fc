"""The baselines a recipe may name: their options, the choice among listed values on validation tasks, their scores on test tasks.

The baselines themselves are in `hfmeta.baselines`; all see the very episodes the learner is tested on.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from torch import nn

from hfmeta import baselines
from hfmeta.baselines.pretraining import pretrain
from hfmeta.episodes import EpisodeDataset, FixedEpisodes
from hfmeta.recipe.schema import CLASSIFICATION

Scores = NDArray[np.float64]


@dataclass(frozen=True)
class Bench:
    """What baselines are run with.

    Args:
        new_model: makes the model as it was before meta-training.
        train: training episodes.
        valid: validation episodes, on which listed options are chosen; None where the recipe has none.
        test: test episodes.
        adapted_loss: `(model, episodes, inner_lr) -> [T, K + 1]`, query losses after 0..K plain inner steps.
        iterations: outer steps of the recipe.
        learning_rate: outer rate of the recipe.
        tasks_per_batch: tasks per outer step of the recipe.
    """

    new_model: Callable[[], nn.Module]
    train: EpisodeDataset
    valid: FixedEpisodes | None
    test: FixedEpisodes
    adapted_loss: Callable[[nn.Module, FixedEpisodes, float], Scores]
    iterations: int
    learning_rate: float
    tasks_per_batch: int
    _known_features: dict[tuple[int, int, int], list[baselines.EpisodeFeatures]] = field(default_factory=dict)

    def features(self, episodes: FixedEpisodes) -> list[baselines.EpisodeFeatures]:
        """Features of the model before meta-training, computed once for each list of episodes."""
        key = (id(episodes.dataset), len(episodes), episodes.seed)
        if key not in self._known_features:
            self._known_features[key] = baselines.frozen_features(self.new_model(), episodes)
        return self._known_features[key]


@dataclass(frozen=True)
class Baseline:
    """A baseline's options and how it runs.

    Args:
        summary: one line for `hfmeta list`.
        tasks: task types it is for; None: all.
        options: option -> (annotation, value where the recipe gives none).
        prepare: `(bench, fixed options) -> state`, done once, whatever other options are tried.
        run: `(bench, state, episodes, options) -> [T]` or `[T, K + 1]` scores.
        fixed: options that take one value: those of `prepare`, and `tasks`.
    """

    summary: str
    tasks: tuple[str, ...] | None
    options: Mapping[str, tuple[Any, Any]]
    prepare: Callable[[Bench, Mapping[str, Any]], Any]
    run: Callable[[Bench, Any, FixedEpisodes, Mapping[str, Any]], Scores]
    fixed: frozenset[str] = frozenset({"tasks"})


@dataclass(frozen=True)
class BaselineScores:
    """One baseline on the test tasks.

    Args:
        scores: `[T]`, or `[T, K + 1]` after 0..K inner steps.
        options: the options used, listed ones as chosen.
        seconds: wall time, choosing included.
    """

    scores: Scores
    options: dict[str, Any]
    seconds: float

    @property
    def final(self) -> Scores:
        """`[T]`: the scores after the last step."""
        return self.scores if self.scores.ndim == 1 else self.scores[:, -1]


def run_baseline(name: str, options: Mapping[str, Any], bench: Bench, higher_is_better: bool) -> BaselineScores:
    """Score one baseline on the test episodes; options given as lists are chosen on the validation episodes first.

    Args:
        name: a key of `BASELINES`.
        options: as the recipe has them; `tasks` limits it to the first so many test tasks.
        bench: models and episodes.
        higher_is_better: how two mean scores compare.
    """
    started = time.perf_counter()
    baseline = BASELINES[name]
    values = {**{key: default for key, (_, default) in baseline.options.items()}, **options}
    count = values.pop("tasks")
    state = baseline.prepare(bench, {key: values[key] for key in baseline.fixed if key in values})
    chosen = _choose(baseline, values, bench, state, higher_is_better)
    test = bench.test if count is None else _first(bench.test, count)
    scores = np.asarray(baseline.run(bench, state, test, chosen), dtype=np.float64)
    return BaselineScores(scores, chosen, time.perf_counter() - started)


def choices(options: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Every combination of options whose values are lists.

    Args:
        options: option -> value, or list of values to choose from.
    """
    lists = [value if isinstance(value, list) else [value] for value in options.values()]
    for combination in itertools.product(*lists):
        yield dict(zip(options, combination, strict=True))


def _choose(
    baseline: Baseline, options: Mapping[str, Any], bench: Bench, state: Any, higher_is_better: bool
) -> dict[str, Any]:
    candidates = list(choices(options))
    if len(candidates) == 1 or bench.valid is None:
        return candidates[0]

    def merit(candidate: dict[str, Any]) -> float:
        scores = np.asarray(baseline.run(bench, state, bench.valid, candidate))  # type: ignore[arg-type]
        mean = float((scores if scores.ndim == 1 else scores[:, -1]).mean())
        # A candidate that diverged is the worst there is.
        return (mean if higher_is_better else -mean) if np.isfinite(mean) else -np.inf

    return max(candidates, key=merit)


def _first(episodes: FixedEpisodes, count: int) -> FixedEpisodes:
    return FixedEpisodes(episodes.dataset, min(count, len(episodes)), episodes.seed)


def _nothing(bench: Bench, options: Mapping[str, Any]) -> None:
    return None


def _model(bench: Bench, options: Mapping[str, Any]) -> nn.Module:
    return bench.new_model()


def _frozen_ncm(bench: Bench, state: None, episodes: FixedEpisodes, options: Mapping[str, Any]) -> Scores:
    return baselines.nearest_class_mean(bench.features(episodes), **options).numpy()


def _frozen_logreg(bench: Bench, state: None, episodes: FixedEpisodes, options: Mapping[str, Any]) -> Scores:
    return baselines.logistic_regression(bench.features(episodes), **options).numpy()


def _fine_tuning(bench: Bench, model: nn.Module, episodes: FixedEpisodes, options: Mapping[str, Any]) -> Scores:
    return baselines.fine_tuning(model, episodes, **options).numpy()


def _no_adaptation(bench: Bench, model: nn.Module, episodes: FixedEpisodes, options: Mapping[str, Any]) -> Scores:
    return baselines.no_adaptation(model, episodes).numpy()


def _modified_hausdorff(bench: Bench, state: None, episodes: FixedEpisodes, options: Mapping[str, Any]) -> Scores:
    return baselines.hausdorff_matching(episodes, **options).numpy()


def _pretrain(bench: Bench, options: Mapping[str, Any]) -> nn.Module:
    iterations, rate = options["iterations"], options["learning_rate"]
    return pretrain(
        bench.new_model(),
        bench.train,
        bench.iterations if iterations is None else iterations,
        bench.learning_rate if rate is None else rate,
        bench.tasks_per_batch,
    )


def _pretrained(bench: Bench, model: nn.Module, episodes: FixedEpisodes, options: Mapping[str, Any]) -> Scores:
    return bench.adapted_loss(model, episodes, options["inner_lr"])


TASKS = (int | None, None)
BASELINES: dict[str, Baseline] = {
    "frozen_ncm": Baseline(
        "frozen features + nearest class mean",
        CLASSIFICATION,
        {"metric": (Literal["euclidean", "cosine"], "euclidean"), "tasks": TASKS},
        _nothing,
        _frozen_ncm,
    ),
    "frozen_logreg": Baseline(
        "frozen features + logistic regression",
        CLASSIFICATION,
        {"C": (float, 1.0), "tasks": TASKS},
        _nothing,
        _frozen_logreg,
    ),
    "fine_tuning": Baseline(
        "ordinary fine-tuning on each support set",
        None,
        {
            "steps": (int, 20),
            "lr": (float, 5e-5),
            "adapt": (Literal["all", "head"], "all"),
            "optimizer": (Literal["adamw", "sgd"], "adamw"),
            "reset_head": (bool | None, None),
            "seed": (int, 0),
            "tasks": TASKS,
        },
        _model,
        _fine_tuning,
    ),
    "modified_hausdorff": Baseline(
        "the support drawing whose ink is nearest by the modified Hausdorff distance",
        ("image-classification",),
        {"threshold": (float, 0.5), "tasks": TASKS},
        _nothing,
        _modified_hausdorff,
    ),
    "no_adaptation": Baseline(
        "the model before meta-training, as it stands", None, {"tasks": TASKS}, _model, _no_adaptation
    ),
    "pretrained": Baseline(
        "training on all tasks pooled, then plain inner steps",
        ("regression", "causal-lm", "seq2seq-lm"),
        {
            "inner_lr": (float, 0.01),
            "iterations": (int | None, None),
            "learning_rate": (float | None, None),
            "tasks": TASKS,
        },
        _pretrain,
        _pretrained,
        frozenset({"iterations", "learning_rate", "tasks"}),
    ),
}
