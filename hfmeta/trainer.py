"""MetaTrainer: transformers' Trainer over episodes; the loop, logging, devices and resuming are the stock ones.

Overridden are: which items are drawn (episodes of an epoch), what an evaluation step returns (per-task scores), the optimiser's
groups, and how weights are written and read (learner folders). Neither `training_step` nor `compute_loss` is touched: the inner loop
lives in the learner's `forward`, inside whatever wraps it.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.utils.data import Dataset, Sampler
from transformers import EvalPrediction, Trainer, TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from hfmeta.algorithms import Algorithm, Cmaml, Hsml, LstmMetaLearner, Maml
from hfmeta.averaging import StartAverage
from hfmeta.config import MetaConfig
from hfmeta.episodes import Encoder, EpisodeDataset, EpisodeSampler, collate_episodes
from hfmeta.finite import FiniteSteps
from hfmeta.inner.errors import HfmetaError
from hfmeta.learner import MetaLearner, check_clusters
from hfmeta.learner.checks import check_ways
from hfmeta.learner.gates import GateMeter
from hfmeta.metrics.evaluation import task_metrics
from hfmeta.models import task_type_of
from hfmeta.phases import Phases
from hfmeta.publishing import check_run, load_weights_into, push_run, sealing, whole_checkpoint

logger = logging.getLogger(__name__)


class MetaTrainer(Trainer):
    """Train a learner over episodes.

    Args:
        model: a stock model (with `algorithm`), or a MetaLearner.
        args: a MetaConfig; batch sizes count tasks.
        algorithm: how the model adapts; not with a MetaLearner, which has its own.
        train_dataset: an EpisodeDataset, or any dataset of episodes.
        eval_dataset: FixedEpisodes, or any dataset of episodes.
        processing_class: tokenizer or image processor, saved with the learner.
        compute_metrics: as in the Trainer; predictions are a dict of per-task arrays `loss` and `accuracy` `[N, K + 1]` (before and
            after each inner step) and `logits`. The default reports means with 95 % intervals over tasks.
        others: as in the Trainer.

    Raises:
        HfmetaError: fp16 with an exact gradient, a missing algorithm, and all that MetaLearner refuses.
    """

    loss_is_scaled_for_ga = False
    default_algorithm: ClassVar[type[Algorithm] | None] = None
    """The algorithm, with its own defaults, of a stock model that comes without one; None: it must be given."""

    def __init__(
        self,
        model: Any,
        args: TrainingArguments | None = None,
        *,
        algorithm: Algorithm | None = None,
        train_dataset: Dataset[Any] | None = None,
        eval_dataset: Any = None,
        processing_class: Any = None,
        data_collator: Callable[[list[Any]], Any] | None = None,
        compute_metrics: Callable[[EvalPrediction], dict[str, float]] | None = None,
        callbacks: list[TrainerCallback] | None = None,
        **others: Any,
    ):
        args = args if args is not None else MetaConfig(output_dir="tmp_trainer")
        if algorithm is None and self.default_algorithm is not None and not isinstance(model, MetaLearner):
            algorithm = self.default_algorithm()
        datasets = [train_dataset, *(eval_dataset.values() if isinstance(eval_dataset, dict) else [eval_dataset])]
        learner = _learner(model, algorithm, processing_class, datasets)
        check_ways(learner, datasets)
        if args.fp16 and learner.algorithm.order == 2:
            raise HfmetaError(
                "fp16=True overflows in the second derivatives of an exact gradient (order=2). Use bf16=True, float32, or order=1."
            )
        if learner.encoder is None:
            learner.encoder = _encoder(datasets, learner.task_type)
        else:
            _settle(datasets, learner.task_type)
        if learner.processing_class is None and learner.encoder is not None:
            learner.processing_class = learner.encoder.processing_class
        finite, self.start = FiniteSteps(learner), StartAverage(learner, getattr(args, "start_weight", 0.0))
        collate = next((d.collate for d in datasets if hasattr(d, "collate")), collate_episodes)
        super().__init__(
            model=learner,
            args=args,
            train_dataset=train_dataset,
            eval_dataset=eval_dataset,
            processing_class=learner.processing_class,
            data_collator=data_collator or collate,
            compute_metrics=compute_metrics or task_metrics,
            callbacks=[*(callbacks or []), _Progress(learner), finite],
            **others,
        )
        self.learner, self.finite = learner, finite
        self.gates = GateMeter(learner.rule)
        if self.start.weight and (self.is_fsdp_enabled or self.is_deepspeed_enabled):
            raise HfmetaError(
                "start_weight averages whole tensors, and here each process has shards of them; leave it 0."
            )
        if learner.private is not None:
            self.add_callback(Phases(self))
        _say_what_runs(learner, self.args)
        check_clusters(learner, len(getattr(train_dataset, "task_names", ())))

    # ---- data ---------------------------------------------------------------------------------------------------------

    def _get_train_sampler(self, train_dataset: Any = None) -> Sampler[Any] | None:
        dataset = self.train_dataset if train_dataset is None else train_dataset
        if isinstance(dataset, EpisodeDataset):
            seed = self.args.seed if self.args.data_seed is None else self.args.data_seed
            return EpisodeSampler(dataset, seed)
        return super()._get_train_sampler(train_dataset)

    # ---- optimiser ----------------------------------------------------------------------------------------------------

    def create_optimizer(self, model: Any = None) -> torch.optim.Optimizer:
        """As the Trainer's, with a rate of its own for what rule and init learn (never decayed)."""
        if self.optimizer is not None:
            return self.optimizer
        rate = getattr(self.args, "rule_learning_rate", None)
        own = [*self.learner.rule.parameters(), *self.learner.init.parameters()]
        optimizer = super().create_optimizer(model)
        if own:
            # Lists in a fixed order, never sets: the optimiser's state is dealt to tensors by position when resuming.
            ids = {id(value) for value in own}
            for group in optimizer.param_groups:
                group["params"] = [value for value in group["params"] if id(value) not in ids]
            optimizer.add_param_group(
                {"params": own, "weight_decay": 0.0, "lr": self.args.learning_rate if rate is None else rate}
            )
        return optimizer

    # ---- evaluation ---------------------------------------------------------------------------------------------------

    def prediction_step(
        self,
        model: nn.Module,
        inputs: dict[str, Any],
        prediction_loss_only: bool,
        ignore_keys: list[str] | None = None,
    ) -> tuple[Any, Any, Any]:
        """Adapt to each task of the batch, graph-free, and return its scores before and after every inner step."""
        inputs = self._prepare_inputs(inputs)
        with self.accelerator.autocast():
            scores = self.learner.scores(inputs["support"], inputs["query"], inputs.get("task"))
        loss = scores["loss"][:, -1].mean()
        if prediction_loss_only:
            return loss, None, None
        labels = _answers(inputs["query"]["labels"])
        if isinstance(inputs.get("task"), Tensor):
            labels["task"] = inputs["task"]
        return loss, {name: value.float() for name, value in scores.items()}, labels

    def task_scores(self, dataset: Any) -> dict[str, NDArray[np.float64]]:
        """Per-task scores over a dataset of episodes, in its order.

        Args:
            dataset: N episodes.

        Returns:
            `loss` `[N, K + 1]` and, for classification, `accuracy` `[N, K + 1]`: before and after each inner step.
        """
        predictions: Any = self.predict(dataset).predictions
        return {
            name: np.asarray(predictions[name], dtype=np.float64)
            for name in ("loss", "accuracy")
            if name in predictions
        }

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        """Log what the Trainer logs, and with training losses the learned rates or gates and what was skipped."""
        more = {**self.learner.summary(), **self.finite.summary(), **self.gates.read()} if "loss" in logs else {}
        super().log({**logs, **more}, start_time)

    # ---- files --------------------------------------------------------------------------------------------------------

    def train(self, resume_from_checkpoint: str | bool | None = None, *args: Any, **kwargs: Any) -> Any:
        """As the Trainer's; checkpoints that are damaged or half-written are named and passed over, or refused.

        With `start_weight` the learner has the average in the end, whichever checkpoint the run went on from.
        """
        found = super().train(whole_checkpoint(resume_from_checkpoint, str(self.args.output_dir)), *args, **kwargs)
        self.start.take()
        return found

    def save_model(self, output_dir: str | None = None, _internal_call: bool = False) -> None:
        """As the Trainer's; what was saved at the end is opened again and compared on one episode."""
        super().save_model(output_dir, True)
        if not _internal_call:
            check_run(self, Path(output_dir or str(self.args.output_dir)))
            if self.args.push_to_hub:
                self.push_to_hub(commit_message="Model save")

    def _save_checkpoint(self, model: nn.Module, trial: Any) -> None:
        """As the Trainer's, with checksums and with what was skipped so far."""
        self.finite.keep(self.state)
        with sealing(self, Path(self._get_output_dir(trial)) / f"checkpoint-{self.state.global_step}"):
            super()._save_checkpoint(model, trial)

    def _save(self, output_dir: str | None = None, state_dict: dict[str, Any] | None = None) -> None:
        if self.args.should_save:
            self.learner.save_pretrained(output_dir or str(self.args.output_dir))

    def _load_from_checkpoint(self, resume_from_checkpoint: str, model: Any = None) -> None:
        load_weights_into(self.learner, Path(resume_from_checkpoint))

    def _load_best_model(self) -> None:
        logger.info("best checkpoint: %s (%s).", self.state.best_model_checkpoint, self.state.best_metric)
        load_weights_into(self.learner, Path(str(self.state.best_model_checkpoint)))

    def push_to_hub(
        self,
        commit_message: str | None = "End of training",
        blocking: bool = True,
        token: str | None = None,
        revision: str | None = None,
        private: bool | None = None,
        **kwargs: Any,
    ) -> Any:
        """Save the learner and upload its folder; the Trainer's resume files stay here."""
        self.save_model(_internal_call=True)
        return push_run(self, Path(str(self.args.output_dir)), commit_message, private, token, revision)

    def _push_from_checkpoint(self, checkpoint_folder: str) -> None:
        """As the Trainer's (`push_to_hub=True`), but of the published files alone: no training_args.bin, no resume files."""
        if self.args.hub_strategy != "end":
            push_run(self, Path(checkpoint_folder), f"Training in progress, step {self.state.global_step}")


class MamlTrainer(MetaTrainer):
    """MetaTrainer whose algorithm is MAML unless another is given."""

    default_algorithm = Maml


class CmamlTrainer(MetaTrainer):
    """MetaTrainer whose algorithm is CMAML unless another is given; the three phases are one run (see hfmeta.phases)."""

    default_algorithm = Cmaml


class HsmlTrainer(MetaTrainer):
    """MetaTrainer whose algorithm is HSML unless another is given."""

    default_algorithm = Hsml


class LstmTrainer(MetaTrainer):
    """MetaTrainer whose algorithm is the LSTM meta-learner unless another is given."""

    default_algorithm = LstmMetaLearner


class _Progress(TrainerCallback):
    """Tells the learner which share of the run is done: a function of the global step alone, so that a resumed run agrees."""

    def __init__(self, learner: MetaLearner):
        self.learner = learner

    def on_step_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        self.learner.progress = state.global_step / max(1, state.max_steps)


def _answers(labels: Tensor) -> dict[str, Tensor]:
    """What `compute_metrics` gets of query sets: their labels; of token labels `[T, Q, L]`, which do not stack, the number `[T]`."""
    if labels.dim() == 3 and not labels.is_floating_point():
        return {"target_tokens": (labels != -100).flatten(1).sum(1)}
    return {"labels": labels}


def _learner(model: Any, algorithm: Algorithm | None, processing_class: Any, datasets: list[Any]) -> MetaLearner:
    if isinstance(model, MetaLearner):
        if algorithm is not None:
            raise HfmetaError(
                "a MetaLearner has its algorithm already; pass either the learner, or a model with algorithm=..."
            )
        model.processing_class = processing_class or model.processing_class
        return model
    if algorithm is None:
        raise HfmetaError("pass algorithm=..., for example Maml(inner_steps=3, inner_lr=0.1), or a MetaLearner.")
    try:
        task_type = task_type_of(model)
    except HfmetaError:
        task_type = None  # a class of somebody's own, whose datasets must know
    return MetaLearner(model, algorithm, processing_class=processing_class, encoder=_encoder(datasets, task_type))


def _settle(datasets: list[Any], task_type: str | None) -> None:
    """Tell datasets whose columns leave the task type open what the model's is."""
    for dataset in datasets:
        if hasattr(dataset, "set_task_type") and task_type is not None:
            dataset.set_task_type(task_type)


def _encoder(datasets: list[Any], task_type: str | None) -> Encoder | None:
    """The encoder of the first dataset that has one."""
    _settle(datasets, task_type)
    return next((d.encoder for d in datasets if getattr(d, "encoder", None) is not None), None)


def _say_what_runs(learner: MetaLearner, args: TrainingArguments) -> None:
    theta = learner.moving.theta(learner.model)
    trained = sum(value.numel() for value in learner.parameters() if value.requires_grad)
    logger.info(
        "%s: %d tensors (%d scalars) adapt, %d scalars learn; meta-gradient %s, backward %s.",
        type(learner.algorithm).__name__,
        len(theta),
        sum(value.numel() for value in theta.values()),
        trained,
        learner.algorithm.meta_gradient.replace("_", " "),
        learner.algorithm.steps_backward,
    )
    # Launchers may start fewer processes than they were asked for, silently.
    logger.info(
        "%d tasks an outer step: %d in each of %d process(es), accumulated %d time(s).",
        args.train_batch_size * args.world_size * args.gradient_accumulation_steps,
        args.train_batch_size,
        args.world_size,
        args.gradient_accumulation_steps,
    )
