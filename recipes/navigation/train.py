"""MAML for reinforcement learning: a policy that finds an unseen goal in the plane after one to three policy-gradient updates.

    pip install hfmeta                                     # the extra `rl` is only needed for the gymnasium environment
    python recipes/navigation/train.py                     # with recipes/navigation/settings.yml; a quarter of an hour on a free core
    python recipes/navigation/train.py iterations=100 seed=1

The 2-D navigation task of Finn, Abbeel, Levine 2017, section 5.3, on hfmeta's one inner loop. `output_dir` gets `results.json`
(returns after each update with 95 % intervals over goals, and the training curves), `returns.png`, and each policy's weights.

Compared on the same unseen goals: MAML with the exact meta-gradient, MAML with the first-order one, a policy trained on all goals
together (pretrained) and fresh weights (random). The latter two are adapted likewise, with the inner rate that does best on validation
goals. What `exact` means for sampled trajectories stands at the head of `hfmeta.reinforcement.practice`.

Taken from the paper, as remembered and not looked up again: the world, the policy of 100 and 100 units with ReLU, the inner rate of
0.1 halved in the test after the first update, 20 tasks a batch, 500 outer steps, the linear baseline fitted to each task, 40
trajectories an update in the test, actions in units of the greatest velocity with a standard deviation that starts at 1. Not the
paper's: Adam in the place of TRPO, the last policy in the place of the best one, `surrogate: ratio`, and no oracle.
"""

from __future__ import annotations

import io
import shlex
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from safetensors.torch import save

from hfmeta.inner import HfmetaError
from hfmeta.metrics import mean_ci95
from hfmeta.recipe.coercion import fill
from hfmeta.recipe.results import versions
from hfmeta.reinforcement import GaussianPolicy, Practice, Trajectories, adapted, draw_goals
from hfmeta.reporting.files import write_bytes, write_json
from hfmeta.reporting.plots import COLOURS

HERE = Path(__file__).parent
TRAIN, VALID, TEST = 0, 1, 2  # streams of chance
METHODS = {
    "maml_exact": "MAML, exact meta-gradient",
    "maml_first_order": "MAML, first order",
    "pretrained": "pretrained on all goals",
    "random": "random weights",
}
GOALS_PER_PASS = 20  # in the test; bounds memory


@dataclass(kw_only=True)
class Settings:
    """Keys of settings.yml and of the command line.

    Args:
        output_dir: where results go.
        seed: of weights, goals and trajectories in training; validation and test goals are always the same.
        hidden_sizes: layers of the policy.
        iterations: outer steps.
        tasks_per_batch: goals of an outer step, T.
        trajectories: for each goal before and after the update, N; the pretrained policy gets both at once.
        inner_lr: of the first update; further ones, which only the test has, take half of it.
        updates: policy-gradient updates in the test.
        learning_rate: Adam's, falling linearly to 0.
        discount: of later rewards.
        surrogate: inner and outer loss, see `hfmeta.reinforcement.practice`.
        test_goals: goals of the test.
        test_trajectories: for each of its goals and updates.
        valid_goals: goals on which a baseline's inner rate is chosen.
        baseline_rates: what it is chosen from.
    """

    output_dir: str = "out/navigation"
    seed: int = 0
    hidden_sizes: list[int] = field(default_factory=lambda: [100, 100])
    iterations: int = 500
    tasks_per_batch: int = 20
    trajectories: int = 20
    inner_lr: float = 0.1
    updates: int = 3
    learning_rate: float = 3e-3
    discount: float = 0.99
    surrogate: str = "ratio"
    test_goals: int = 200
    test_trajectories: int = 40
    valid_goals: int = 40
    baseline_rates: list[float] = field(default_factory=lambda: [0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0])

    def rates(self, first: float) -> list[float]:
        """The inner rate of every update in the test."""
        return [first] + [first / 2] * (self.updates - 1)


def read_settings(words: Sequence[str]) -> Settings:
    """Settings of a file (settings.yml beside this script unless one is named first) changed by `key=value`.

    Args:
        words: the command line.

    Raises:
        HfmetaError: no such file, or everything in it that does not fit, in one message.
    """
    named = [word for word in words if "=" not in word]
    path = Path(named[0]) if named else HERE / "settings.yml"
    if len(named) > 1 or not path.is_file():
        raise HfmetaError(f"expected one settings file and key=value, received {' '.join(map(str, words))!r}.")
    tree = yaml.safe_load(path.read_text(encoding="utf-8")) or {}
    tree |= {key: yaml.safe_load(value) for key, value in (word.split("=", 1) for word in words if "=" in word)}
    problems: list[str] = []
    settings = Settings(**fill(Settings, tree, "settings", problems))
    least = (
        "iterations",
        "tasks_per_batch",
        "trajectories",
        "updates",
        "test_goals",
        "test_trajectories",
        "valid_goals",
    )
    problems += [f"settings.{key}: expected at least 1" for key in least if getattr(settings, key) < 1]
    rates = [settings.inner_lr, settings.learning_rate, *settings.baseline_rates]
    if not settings.baseline_rates or min(rates) <= 0:
        problems.append("settings: inner_lr, learning_rate and baseline_rates must be positive numbers")
    if problems:
        raise HfmetaError("; ".join(problems) + ".")
    return settings


def train(settings: Settings, rates: Sequence[float], order: int) -> tuple[GaussianPolicy, list[list[float]]]:
    """Train a policy to be good after as many updates as there are rates: one for MAML, none for the pretrained policy.

    Args:
        settings: of the run.
        rates: inner rate of each update.
        order: 2 for the exact meta-gradient, 1 for first order.

    Returns:
        The policy and, for each outer step, the mean return before and after each update.
    """
    policy = GaussianPolicy(hidden_sizes=settings.hidden_sizes, seed=settings.seed)
    adam = torch.optim.Adam(policy.parameters(), lr=settings.learning_rate)
    falling = torch.optim.lr_scheduler.LinearLR(adam, 1.0, 0.0, total_iters=settings.iterations)
    each = settings.trajectories if rates else 2 * settings.trajectories
    curve = []
    for iteration in range(settings.iterations):
        chance = (settings.seed, TRAIN, iteration)
        practice = Practice(
            policy,
            draw_goals((*chance, 0), settings.tasks_per_batch),
            each,
            (*chance, 1),
            settings.discount,
            settings.surrogate,
        )
        *_, params = adapted(policy, practice, rates, order)
        loss = practice(params, len(rates)).mean()
        adam.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(policy.parameters(), 1.0)
        adam.step()
        falling.step()
        curve.append([float(seen.returns.mean()) for seen in practice.seen])
    return policy, curve


def act(
    settings: Settings, policy: GaussianPolicy, stream: int, goals: int, rates: Sequence[float]
) -> tuple[np.ndarray, list[Trajectories]]:
    """Adapt to goals that are the same for every method, and act before and after each update.

    Args:
        settings: of the run.
        policy: the start.
        stream: VALID or TEST.
        goals: how many.
        rates: inner rate of each update.

    Returns:
        The returns `[goals, updates + 1]`, mean over the trajectories of a goal, and the trajectories of the first goals.
    """
    drawn = draw_goals((stream,), goals)
    found, first = [], []
    for begin in range(0, goals, GOALS_PER_PASS):
        some = drawn[begin : begin + GOALS_PER_PASS]
        practice = Practice(
            policy, some, settings.test_trajectories, (stream, begin), settings.discount, settings.surrogate
        )
        for step, params in enumerate(adapted(policy, practice, rates)):
            practice.act(params, step)
        found.append(torch.stack([seen.returns for seen in practice.seen], dim=1))
        first = first or practice.seen
    return torch.cat(found).double().numpy(), first


def rate_merits(settings: Settings, policy: GaussianPolicy) -> dict[float, float]:
    """Mean return after the last update on validation goals, for each inner rate that a baseline chooses from."""

    def merit(rate: float) -> float:
        mean = act(settings, policy, VALID, settings.valid_goals, settings.rates(rate))[0][:, -1].mean()
        return float(mean) if np.isfinite(mean) else -np.inf

    return {rate: merit(rate) for rate in settings.baseline_rates}


def entry(returns: np.ndarray, rate: float) -> dict[str, Any]:
    """Mean and 95 % interval over goals after each update."""
    pairs = [mean_ci95(column) for column in returns.T]
    return {"mean": [mean for mean, _ in pairs], "ci95": [half for _, half in pairs], "inner_lr": rate}


def draw(
    results: dict[str, Any], paths: Sequence[Trajectories], goals: torch.Tensor, path: Path, shown: int = 6
) -> None:
    """Three panels: returns by updates, training curves, and trajectories of MAML before and after one update.

    Args:
        results: as written.
        paths: trajectories before and after each update, of the first test goals.
        goals: the test goals `[T, 2]`.
        path: the PNG to write.
        shown: goals of the third panel.
    """
    figure = Figure(figsize=(15.0, 4.4), dpi=110, layout="constrained")
    FigureCanvasAgg(figure)
    left, middle, right = figure.subplots(1, 3)
    for (name, found), colour in zip(results["returns"].items(), COLOURS, strict=False):
        mean, half = np.array(found["mean"]), np.nan_to_num(np.array(found["ci95"], dtype=float))
        left.plot(mean, color=colour, marker="o", markersize=4, label=METHODS[name])
        left.fill_between(range(len(mean)), mean - half, mean + half, color=colour, alpha=0.2, linewidth=0)
        if name in results["training_curve"]:
            trained = np.array(results["training_curve"][name])[:, -1]
            width = min(10, len(trained))
            smooth = np.convolve(trained, np.ones(width) / width, mode="valid")
            middle.plot(range(width, len(trained) + 1), smooth, color=colour, label=METHODS[name])
    left.set(xlabel="policy-gradient updates", ylabel="return", title="Unseen goals (95 % interval over goals)")
    left.set_yscale("symlog", linthresh=1)  # random weights are far below the others
    left.xaxis.set_major_locator(MaxNLocator(integer=True))
    middle.set(xlabel="outer step", ylabel="return after adaptation", title="Training (mean of ten steps)")
    for place in range(min(shown, len(goals))):
        colour = COLOURS[place % len(COLOURS)]
        for seen, style in ((paths[0], ":"), (paths[1], "-")):
            for line, alive in zip(seen.states[place][:3], seen.alive[place][:3], strict=True):
                right.plot(*line[alive].T.tolist(), style, color=colour, linewidth=1, alpha=0.7)
        right.plot(*goals[place].tolist(), "*", color=colour, markersize=12, markeredgecolor="black")
    right.set(title="MAML before (dotted) and after one update", xlim=(-0.8, 0.8), ylim=(-0.8, 0.8), aspect="equal")
    for axis in (left, middle):
        axis.grid(alpha=0.25)
        axis.legend(fontsize=8)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png")
    write_bytes(path, buffer.getvalue())


def main(words: Sequence[str], say: Callable[[str], None] = print) -> dict[str, Any]:
    """Train the three policies, test all four, write results.

    Args:
        words: the command line.
        say: takes lines for the user.

    Returns:
        the results, as written.
    """
    settings = read_settings(words)
    output = Path(settings.output_dir)
    plans = {
        "maml_exact": ([settings.inner_lr], 2),
        "maml_first_order": ([settings.inner_lr], 1),
        "pretrained": ([], 1),
    }
    curves: dict[str, list[list[float]]] = {}
    returns: dict[str, np.ndarray] = {}
    entries, seconds, paths = {}, {}, []
    for name, label in METHODS.items():
        started = time.perf_counter()
        if name in plans:
            policy, curves[name] = train(settings, *plans[name])
            write_bytes(output / f"{name}.safetensors", save({k: v.detach() for k, v in policy.theta().items()}))
        else:
            policy = GaussianPolicy(hidden_sizes=settings.hidden_sizes, seed=settings.seed)
        trained = time.perf_counter()
        merits = {} if name.startswith("maml") else rate_merits(settings, policy)
        rate = max(merits, key=merits.__getitem__) if merits else settings.inner_lr
        returns[name], seen = act(settings, policy, TEST, settings.test_goals, settings.rates(rate))
        paths = paths or seen
        entries[name] = entry(returns[name], rate) | (
            {"validation": {str(key): value for key, value in merits.items()}} if merits else {}
        )
        seconds[name] = {
            "train": round(trained - started, 1),
            "test": round(time.perf_counter() - trained, 1),
        }
        say(
            f"{label}: return after 0 to {settings.updates} updates "
            + ", ".join(f"{m:.2f}" for m in entries[name]["mean"])
        )
    better = {
        name: [dict(zip(("mean", "ci95"), mean_ci95(column), strict=True)) for column in (returns[name] - other).T]
        for name in ("maml_exact", "maml_first_order")
        for other in (returns["pretrained"],)
    }
    results = {
        "command": shlex.join(["python", "recipes/navigation/train.py", *words]),
        "seed": settings.seed,
        "versions": versions(),
        "settings": asdict(settings),
        "test_goals": settings.test_goals,
        "returns": entries,
        "above_pretrained": better,
        "seconds": seconds,
        "training_curve": {
            name: [[round(value, 3) for value in step] for step in curve] for name, curve in curves.items()
        },
    }
    write_json(output / "results.json", results)
    draw(results, paths, draw_goals((TEST,), settings.test_goals), output / "returns.png")
    return results


if __name__ == "__main__":
    try:
        main(sys.argv[1:])
    except HfmetaError as error:
        sys.exit(str(error))
