"""The values of a batch of tasks along the inner loop, pass by pass; the one place where init, portions, masks and rule meet.

A pass is one inner step on the whole support set, or one on each of its portions. Used by `forward`, `scores` and `adapt` alike, so
that what is evaluated is what a user gets.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from hfmeta.adapters.pruning import Masks, apply_masks
from hfmeta.inner import GradientMode, inner_loop
from hfmeta.inner.rules import Adam, Apart, Masked, Shrink, Waiting
from hfmeta.inner.types import Batch, Bound, LossesOf, Params, Start
from hfmeta.learner.checks import say_long_loop
from hfmeta.learner.portions import Portions
from hfmeta.learner.statistics import running_statistics

if TYPE_CHECKING:
    from hfmeta.learner.core import MetaLearner


class Trajectory:
    """Where each task starts and how it moves, for one support batch.

    Args:
        learner: read, never written.
        support: `[T, S, ...]`.
        task: ids `[T]`, for tasks whose masks are known.
    """

    def __init__(self, learner: MetaLearner, support: Batch, task: Tensor | None):
        self.learner, self.task = learner, task
        self.options: Any = learner.algorithm
        self.masks: Masks | None = None
        """What each task kept of the private network, once `values` has cut it out."""
        evaluator = learner.evaluator(support)
        self.portions = Portions(support, learner.algorithm.inner_batch_size, learner.kind)
        self.bounds: list[Bound] = [evaluator.bind(batch) for batch in self.portions.batches]
        whole = self.bounds[0] if len(self.bounds) == 1 else None
        theta = learner.moving.theta(learner.model)
        begun = learner.init(theta, support, lambda: learner.features(whole or evaluator.bind(support), support))
        begun = begun if isinstance(begun, Start) else Start(begun)
        self.start: Params = begun.params
        self.aux: Tensor | None = begun.aux
        """What the init adds to each task's outer loss in training, `[T]`."""
        self.statistics: Params = {}
        """What a model with `statistics="task"` normalises query rows by in evaluation, at the values that were yielded last."""

    def values(self, steps: int, mode: GradientMode) -> Iterator[Params]:
        """Yield the values before the first pass and after every pass: `steps + 1` stacks.

        A learner with private networks first cuts each task's structure out, unless it is training and has its masks; the values
        yielded first are the learner's own, before either.
        """
        private = self.learner.private
        if private is None or not private.ready:
            yield from self._passes(self.start, self.learner.rule, steps, mode)
            return
        if self.learner.training:
            masks = private.of(self.task)
            start = self.start
        else:
            yield self.start
            if not steps:
                return
            start, masks = self.carve(self.options.eval_prune_steps)
        self.masks = masks
        if self.options.masks == "forward":
            start = apply_masks(start, masks)
        path = self._passes(start, Masked(self.learner.rule, masks), steps, mode)
        if not self.learner.training:
            next(path)
        yield from path

    def carve(self, passes: int, names: Sequence[str] | None = None) -> tuple[Params, Masks]:
        """Fine-tune with L1 and prune (CMAML, Algorithm 1), without gradients.

        Args:
            passes: over the support set, before pruning.
            names: of the T tasks, for messages.

        Returns:
            where adaptation goes on from (the fine-tuned values or, with `reset_after_prune`, the learner's own), and the masks,
            `[T, ...]` both.
        """
        private = self.learner.private
        assert private is not None
        options, weights = self.options, private.weights
        rule: Any = self.learner.rule
        losses_of = self._losses
        if options.prune_lr is not None:
            rule = Apart(rule, Adam(options.prune_lr), private.shapes)
        if options.prune_proximal:
            rule = Shrink(rule, (options.prune_lr or options.inner_lr) * options.prune_l1, weights)
        elif options.prune_l1:

            def losses_of(params: Params, step: int) -> Tensor:
                size = torch.stack([params[name].abs().flatten(1).sum(1) for name in weights]).sum(0)
                return self._losses(params, step) + options.prune_l1 * size

        *_, tuned = self._passes(self.start, rule, passes, GradientMode(1, track=False), losses_of)
        masks = private.prune(tuned, names)
        return (self.start if options.reset_after_prune else tuned), masks

    def _losses(self, params: Params, step: int) -> Tensor:
        return self.bounds[step % len(self.bounds)](params).losses

    def _passes(
        self, start: Params, rule: Any, steps: int, mode: GradientMode, losses_of: LossesOf | None = None
    ) -> Iterator[Params]:
        each = len(self.bounds)
        say_long_loop(self.learner.algorithm, rule, steps)
        if any(active is not None for active in self.portions.active):
            rule = Waiting(rule, self.portions.active)
        shared = {id(tensor): tensor for bound in self.bounds for tensor in bound.shared}
        loop = inner_loop(
            losses_of or self._losses, start, rule, steps=steps * each, mode=mode, shared=list(shared.values())
        )
        tasks = len(self.portions.batches[0]["labels"])
        running = None if self.learner.training else running_statistics(self.learner.model, tasks)
        for step, params in enumerate(loop):
            if running is not None:
                self.statistics = running.values
            if step % each == 0:
                yield params
            if running is not None and step < steps * each:
                running.see(params, self.portions.batches[step % each], self.portions.active[step % each])
