"""What an outer step must not do silently: follow a gradient that is not finite, or go on where no task is left to learn from.

A support and a query loss may be finite and their meta-gradient not: it holds products of second derivatives. One step by it turns
all that is learned into NaN. Losses that are not finite are met in the learner itself.
"""

from __future__ import annotations

import logging
from typing import Any

import torch
from accelerate.utils import gather_object
from torch.nn.utils import get_total_norm
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from hfmeta.inner.errors import HfmetaError
from hfmeta.learner import MetaLearner

logger = logging.getLogger(__name__)

KEPT = "hfmeta.skipped"
"""Where the trainer's state keeps the counts of a run that is gone on from."""

IDLE_PASSES = 100
"""Passes in a row without a task whose losses are finite, after which a run that skips such tasks is ended."""


class FiniteSteps(TrainerCallback):
    """Looks at the outer gradient before every optimiser step; with `on_nonfinite="skip"` the step is left out and counted.

    Args:
        learner: whose values the optimiser moves; its algorithm says whether to stop or to skip.

    Raises:
        HfmetaError: while training, at the first such step (`stop`), or once nothing but skipped tasks comes (`skip`).
    """

    def __init__(self, learner: MetaLearner):
        self.learner = learner
        self.skipped_steps = 0
        """Outer steps left out so far, the same in every process."""

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Go on counting where the checkpoint stopped."""
        self.restore(state, args)

    def on_pre_optimizer_step(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Check the gradient that the optimiser is about to follow."""
        if args.fp16:
            return  # the gradient scaler expects overflow and leaves such steps out itself
        values = [value for value in self.learner.parameters() if value.grad is not None]
        if not values or torch.isfinite(get_total_norm([value.grad for value in values if value.grad is not None])):
            return
        # Which tensor it began in cannot be said: by now the Trainer has multiplied all gradients by a factor of their norm.
        told = f"the outer gradient of step {state.global_step + 1} is not finite"
        if self.learner.algorithm.on_nonfinite == "stop":
            raise HfmetaError(
                f"{told}, though the losses are. Clip it (training.max_grad_norm=10), clip inner gradients (inner_clip=1.0), lower "
                'inner_lr, learning_rate or rule_learning_rate, or set on_nonfinite="skip" to leave such steps out and count them.'
            )
        logger.warning("step left out: %s.", told)
        self.skipped_steps += 1
        for value in values:
            value.grad = None

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        """End a run in which all tasks are skipped, one batch after another."""
        if self.learner.idle >= IDLE_PASSES:
            raise HfmetaError(
                f"no task of the last {IDLE_PASSES} batches had finite losses, up to outer step {state.global_step}: all were "
                "skipped, and nothing is learned any more. Go on from an earlier checkpoint with a lower inner_lr, learning_rate or "
                "rule_learning_rate, or with clipping (training.max_grad_norm, inner_clip)."
            )

    def counts(self) -> dict[str, int]:
        """`skipped_tasks` of all processes and `skipped_steps` so far; every process must ask."""
        skips = self.learner.algorithm.on_nonfinite == "skip"  # otherwise there is nothing to gather
        tasks = sum(gather_object([self.learner.skipped])) if skips else self.learner.skipped
        return {"skipped_tasks": tasks, "skipped_steps": self.skipped_steps}

    def keep(self, state: TrainerState) -> None:
        """Put the counts into the state that a checkpoint holds; every process must take part."""
        _states_of_callbacks(state)[KEPT] = self.counts()

    def restore(self, state: TrainerState, args: TrainingArguments) -> None:
        """Take the counts of a state that has any; those of tasks are the main process's from here on, and add up to the same."""
        if (kept := _states_of_callbacks(state).get(KEPT)) is not None:
            self.learner.skipped = kept["skipped_tasks"] if args.process_index == 0 else 0
            self.skipped_steps = kept["skipped_steps"]

    def summary(self) -> dict[str, float]:
        """What is worth logging: tasks and steps left out, where there are any; every process must ask."""
        return {name: float(count) for name, count in self.counts().items() if count}


def _states_of_callbacks(state: TrainerState) -> dict[str, Any]:
    found: Any = state.stateful_callbacks  # given as a list, kept as a dictionary
    return found
