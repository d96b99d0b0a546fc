"""Running statistics of a normalisation, gathered by each task along its own inner loop and forgotten with it.

Here: what a task's query rows are normalised by in evaluation, where a model's configuration says `statistics="task"` (Ravi and
Larochelle 2017: without them a prediction would depend on the other query rows). Statistics are values `[T, channels]` beside the
adapted ones, never buffers of the model that is shared, so that no task leaves anything to the next.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call

from hfmeta.inner.types import Batch, Params, per_task
from hfmeta.models.conv4 import BatchStatisticsNorm


class RunningStatistics:
    """Mean and variance of every channel over the support passes that a task has made so far.

    They start at (0, 1) in each episode; a pass at the values before inner step k is weighted by `statistics_momentum`, all earlier
    ones by the rest. The variance is the unbiased one, as in the networks of the paper.

    Args:
        model: read, never written.
        tasks: T.
    """

    def __init__(self, model: Any, tasks: int):
        self.model, self.momentum = model, float(model.config.statistics_momentum)
        self.norms = norms_of(model)
        self.values: Params = {}
        """By the names of the model's buffers, `[T, channels]`."""
        for name, norm in self.norms.items():
            like = norm.shift.detach()
            self.values[f"{name}.mean"] = like.new_zeros(tasks, len(like))
            self.values[f"{name}.variance"] = like.new_ones(tasks, len(like))

    @torch.no_grad()
    def see(self, params: Params, batch: Batch, active: Tensor | None) -> None:
        """Add a support pass.

        Args:
            params: the values of the pass, `[T, ...]`.
            batch: the rows that passed, `[T, S, ...]`.
            active: which tasks made the pass, `[T]`; None: all.
        """
        found = [self._of_pass(own, inputs) for own, inputs in zip(per_task(params), per_task(batch), strict=True)]
        values = {}
        for name, old in self.values.items():
            new = torch.lerp(old, torch.stack([one[name] for one in found]), self.momentum)
            values[name] = new if active is None else torch.where(active.unsqueeze(1), new, old)
        self.values = values

    def _of_pass(self, own: Params, inputs: Mapping[str, Tensor]) -> Params:
        seen: Params = {}

        def hook_of(name: str) -> Any:
            def hook(_: nn.Module, args: tuple[Tensor, ...]) -> None:
                seen[f"{name}.variance"], seen[f"{name}.mean"] = torch.var_mean(args[0], dim=(0, 2, 3))

            return hook

        handles = [norm.register_forward_pre_hook(hook_of(name)) for name, norm in self.norms.items()]
        try:
            functional_call(self.model, own, args=(), kwargs=dict(inputs))
        finally:
            for handle in handles:
                handle.remove()
        return seen


def norms_of(model: nn.Module) -> dict[str, BatchStatisticsNorm]:
    """The normalisations of a model by batch statistics, by name."""
    return {name: module for name, module in model.named_modules() if isinstance(module, BatchStatisticsNorm)}


def running_statistics(model: Any, tasks: int) -> RunningStatistics | None:
    """Statistics at their start, or None for a model that gathers none.

    Args:
        model: its configuration decides.
        tasks: T.
    """
    if getattr(getattr(model, "config", None), "statistics", None) != "task":
        return None
    return RunningStatistics(model, tasks)


def fix_statistics(model: Any, statistics: Params) -> None:
    """Make one task's statistics a model's own: it then normalises every batch by them, and saves them.

    Args:
        model: changed in place; it gathers statistics by task until now.
        statistics: `[channels]` by name.
    """
    for name, norm in norms_of(model).items():
        norm.mean, norm.variance = statistics[f"{name}.mean"].clone(), statistics[f"{name}.variance"].clone()
    model.config.statistics = "fixed"
