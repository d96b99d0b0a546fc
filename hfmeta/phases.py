"""The phases of a CMAML run inside one Trainer run: MAML pretraining, pruning of every training task, joint training.

Which phase a step belongs to is a function of the global step alone, and pruning one of the values at that step: a run that was killed
anywhere resumes to the same bits, whichever checkpoint it resumes from.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

import torch
from accelerate.utils import gather_object
from torch import Tensor
from transformers import EarlyStoppingCallback, TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from hfmeta.adapters.pruning.bits import pack, unpack
from hfmeta.episodes import EpisodeDataset
from hfmeta.inner.errors import HfmetaError
from hfmeta.learner.trajectory import Trajectory

if TYPE_CHECKING:
    from hfmeta.trainer import MetaTrainer

logger = logging.getLogger(__name__)


class Phases(TrainerCallback):
    """Prunes when a run passes from pretraining to joint training, and keeps abandoned edges where they are.

    Args:
        trainer: whose learner has private networks.
    """

    def __init__(self, trainer: MetaTrainer):
        self.trainer = trainer
        assert trainer.learner.private is not None
        self.private = trainer.learner.private
        self._resting: list[tuple[Tensor, Tensor, Tensor]] = []

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """A run from the start has no structures yet; masks of a checkpoint must be those of these tasks."""
        dataset = self.trainer.train_dataset
        _one_round(dataset)  # what cannot be pruned is refused now, not after the pretraining
        names = [str(name) for name in dataset.task_names]  # type: ignore[union-attr]
        if not self.private.ready or self._share(state) < self.private.algorithm.pretrain_until:
            self.private.begin(names)
        else:
            self.private.expect(names)

    def on_step_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Prune before the first step of joint training."""
        if self.private.ready or self._share(state) < self.private.algorithm.pretrain_until:
            return
        found = prune_all(self.trainer)
        logger.info(
            "pruned %d tasks: %s.", len(self.private.store), ", ".join(f"{k} {v:.3g}" for k, v in found.items())
        )
        # Before and after are measured on different ground: a pretrained model must not win as the best of the run.
        state.best_metric, state.best_model_checkpoint, state.best_global_step = None, None, None
        for callback in self.trainer.callback_handler.callbacks:
            if isinstance(callback, EarlyStoppingCallback):
                callback.early_stopping_patience_counter = 0

    @staticmethod
    def _share(state: TrainerState) -> float:
        return state.global_step / max(1, state.max_steps)

    def on_pre_optimizer_step(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Remember the private edges that no task of this step holds."""
        if not self.private.ready or self.private.algorithm.masks != "forward":
            return
        named = dict(self.trainer.learner.model.named_parameters())
        for name in self.private.thinnable:
            value = named[name]
            if value.grad is not None:
                self._resting.append((value, value.grad == 0, value.detach().clone()))

    def on_optimizer_step(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Put them back: an optimiser with momentum moves them without a gradient."""
        with torch.no_grad():
            for value, resting, before in self._resting:
                value.copy_(torch.where(resting, before, value))
        self._resting.clear()


def prune_all(trainer: MetaTrainer) -> dict[str, float]:
    """Fine-tune and prune every training task (Algorithm 1); the processes of a run share the tasks out.

    Returns:
        keep ratios and overlap, for the log.
    """
    learner, dataset, accelerator = trainer.learner, trainer.train_dataset, trainer.accelerator
    private = learner.private
    assert private is not None
    assert isinstance(dataset, EpisodeDataset)
    rounds = _one_round(dataset)
    private.begin([str(name) for name in dataset.task_names])
    mine = rounds[accelerator.process_index :: accelerator.num_processes]
    size = learner.algorithm.tasks_per_pass or trainer.args.train_batch_size
    packed: list[tuple[list[int], dict[str, Any]]] = []
    was_training = learner.training
    learner.eval()
    with torch.no_grad(), accelerator.autocast():
        for first in range(0, len(mine), size):
            batch = dataset.collate(dataset.episodes(mine[first : first + size]))
            support = {name: value.to(accelerator.device) for name, value in batch["support"].items()}
            some = [int(task) for task in batch["task"]]
            path = Trajectory(learner, support, batch["task"].to(accelerator.device))
            _, masks = path.carve(private.algorithm.prune_steps, [private.id_of(task) for task in some])
            packed.append((some, {name: pack(mask) for name, mask in masks.items()}))
    learner.train(was_training)
    everyone = gather_object(packed) if accelerator.num_processes > 1 else packed
    rows = {
        task: {name: bits[i] for name, bits in part.items()} for some, part in everyone for i, task in enumerate(some)
    }
    for task in sorted(rows):
        private.keep([task], {name: unpack(row[None], private.shapes[name]) for name, row in rows[task].items()})
    return private.finish()


def _one_round(dataset: Any) -> list[tuple[int, int]]:
    """Keys of the first episode of every task, whose support sets are what the tasks are pruned on.

    Raises:
        HfmetaError: a dataset without a fixed list of tasks, each visited once in a round.
    """
    draws = getattr(getattr(dataset, "source", None), "draws", None)
    keys = [(0, index) for index in range(len(getattr(draws, "tasks", ())))]
    found = [dataset.draw(key) for key in keys]
    tasks = {draw.task for draw in found if draw is not None}
    if not keys or len(tasks) < len(keys):
        raise HfmetaError(
            "a structure for each training task needs a fixed list of tasks, each visited once in a round: episodes by task column, "
            "EpisodeDataset(rows, task_column=...), not an endless family, N-way episodes or leave-one-out tests."
        )
    return keys
