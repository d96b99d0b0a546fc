"""What the gates of a learned rule do: their means for a run's log, and their course over inner steps for a plot.

A rule keeps nothing of its steps; everything here watches from outside. Not here: the plot (reporting room).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from hfmeta.inner import GradientMode, NonFiniteLossError
from hfmeta.inner.rules.lstm import gated_modules, watched_gates
from hfmeta.inner.types import Batch
from hfmeta.learner.core import MetaLearner
from hfmeta.learner.speakers import with_speakers
from hfmeta.learner.trajectory import Trajectory

GATES = ("input", "forget")
BAND = (0.1, 0.9)


class GateMeter:
    """Means of the gates over the steps in training since they were last read.

    Args:
        rule: watched as long as it lives; one without gates has nothing to read.
    """

    def __init__(self, rule: nn.Module):
        self.total: Tensor | None = None
        self.steps = 0
        for module in gated_modules(rule):
            module.register_forward_hook(self._see)

    def _see(self, module: Any, _: Any, result: tuple[Any, Any]) -> None:
        if module.training:
            means = torch.stack([gate.mean() for gate in module.gates(result[1])])
            self.total = means if self.total is None else self.total + means
            self.steps += 1

    def read(self) -> dict[str, float]:
        """`input_gate` and `forget_gate`, and begin anew; empty where no step was taken."""
        if self.total is None:
            return {}
        means = (self.total / self.steps).tolist()
        self.total, self.steps = None, 0
        return {f"{name}_gate": mean for name, mean in zip(GATES, means, strict=True)}


def gates_over_steps(learner: MetaLearner, episodes: Any, tasks: int = 20) -> dict[str, Any]:
    """The gates along the inner loops of evaluation, without touching the learner.

    Args:
        learner: model and algorithm.
        episodes: a dataset of episodes with a `collate`; its first ones are taken.
        tasks: how many at most.

    Returns:
        empty for a rule without gates; else `tasks`, and for `input` and `forget` K numbers each: the `mean` over scalars and tasks
        after each of the K steps, `low` and `high`, between which four fifths of them are, and `tensors`, the mean of each tensor.
    """
    if not gated_modules(learner.rule):
        return {}
    device = next(learner.model.parameters()).device
    was_training, runs = learner.training, []
    learner.eval()
    try:
        for index in range(min(tasks, len(episodes))):
            batch = episodes.collate([episodes[index]])
            support = {name: value.to(device) for name, value in batch["support"].items()}
            run = _run(learner, with_speakers(learner.model, support, batch["task"], known=False), batch["task"])
            runs += [run] if run else []
    finally:
        learner.train(was_training)
    if not runs or not runs[0]:
        return {}
    sizes = {name: value.numel() for name, value in learner.moving.theta(learner.model).items()}
    # With portions (`inner_batch_size`) larger tasks take more steps; the course ends with the smallest.
    steps = [torch.stack(step) for step in zip(*runs, strict=False)]
    courses = {gate: _course([step[:, g] for step in steps], sizes) for g, gate in enumerate(GATES)}
    return {"tasks": len(runs), **courses}


def _run(learner: MetaLearner, support: Batch, task: Tensor) -> list[Tensor]:
    """Both gates `[2, P]` after each step of one task; empty where its loss stopped being finite."""
    seen: list[Tensor] = []
    mode = GradientMode(learner.algorithm.order, track=False)
    with torch.no_grad(), watched_gates(learner.rule, lambda *gates: seen.append(torch.cat(gates).cpu())):
        try:
            for _ in Trajectory(learner, support, task).values(learner.algorithm.eval_steps, mode):
                pass
        except NonFiniteLossError:
            return []
    return seen


def _course(steps: Sequence[Tensor], sizes: dict[str, int]) -> dict[str, Any]:
    """Curves of one gate from its values `[tasks, P]` after each step."""
    ends = [_ends(step.flatten()) for step in steps]
    parts = [[part.mean().item() for part in step.split(list(sizes.values()), 1)] for step in steps]
    return {
        "mean": [step.mean().item() for step in steps],
        "low": [low for low, _ in ends],
        "high": [high for _, high in ends],
        "tensors": {name: list(curve) for name, curve in zip(sizes, zip(*parts, strict=True), strict=True)},
    }


def _ends(values: Tensor) -> tuple[float, float]:
    # torch.quantile refuses more than 16 million numbers.
    low, high = (values.kthvalue(1 + round(share * (values.numel() - 1))).values.item() for share in BAND)
    return low, high
