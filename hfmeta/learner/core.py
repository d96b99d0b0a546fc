"""MetaLearner: a model and an algorithm, in one module whose `forward` contains the inner loop.

Here: the episode batch in, the outer loss out; per-task scores; `adapt`. Elsewhere: which tensors move (moving.py), what is refused
(checks.py), how losses are computed (evaluators.py), the adapted copy (adaptation.py), files (hfmeta.publishing).
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import torch
from torch import Tensor, nn

from hfmeta.algorithms import Algorithm
from hfmeta.episodes import Encoder
from hfmeta.inner import Evaluation, NonFiniteLossError
from hfmeta.inner.endpoints import difference_of
from hfmeta.inner.gradients import check_finite
from hfmeta.inner.losses import task_accuracies
from hfmeta.inner.types import Batch, Bound, Evaluator
from hfmeta.learner.adaptation import adapted_model
from hfmeta.learner.checks import check_model, check_parts, differentiable_attention
from hfmeta.learner.evaluators import checked_evaluator
from hfmeta.learner.moving import KINDS, known_task_type, what_moves
from hfmeta.learner.part import Part
from hfmeta.learner.private import PrivateNetworks, private_among
from hfmeta.learner.rows import row_shape, support_features
from hfmeta.learner.speakers import with_speakers
from hfmeta.learner.trajectory import Trajectory
from hfmeta.learner.weights import step_weights

if TYPE_CHECKING:
    from hfmeta.learner.serving import Serving

logger = logging.getLogger(__name__)


class MetaLearner(nn.Module):
    """A model that adapts to a task from a handful of examples, and what it learns to do so well.

    Args:
        model: any PreTrainedModel or PeftModel that returns a loss when given `labels`; its trainable tensors are what the outer
            loop trains. The learner holds it and keeps it in evaluation mode unless `dropout` is on.
        algorithm: a dataclass such as `Maml(inner_steps=3, inner_lr=0.1)`.
        processing_class: the tokenizer or image processor, saved beside the model.
        encoder: turns rows into tensors for `adapt(rows)`; the trainer takes it from the training episodes.
        info: JSON values that are saved with the learner (a recipe's sections, hashes).
        dropout: train with the model's dropout on. Off by default: the support gradient is then a function of the episode alone.

    Raises:
        HfmetaError: an illegal combination, named in one sentence.
    """

    def __init__(
        self,
        model: Any,
        algorithm: Algorithm,
        *,
        processing_class: Any = None,
        encoder: Encoder | None = None,
        info: dict[str, Any] | None = None,
        dropout: bool = False,
    ):
        super().__init__()
        check_parts(model, algorithm)
        self.algorithm, self.processing_class = algorithm, processing_class
        self.info, self.dropout = dict(info or {}), dropout
        self.task_type = known_task_type(model, encoder)
        self.moving = what_moves(model, algorithm.adapt, self.task_type)
        check_model(model, algorithm, self.moving, dropout)
        differentiable_attention(model, algorithm)
        self.model = model
        theta = self.moving.theta(model)
        self.rule: Any = algorithm.rule(theta)
        head = self.moving.head if self.kind == "classification" else None
        self.init: Any = algorithm.init(theta, head, row_shape(model, self.moving, self.task_type))
        self.encoder = encoder
        self.results: dict[str, Any] | None = None
        """How it did in a test (content of results.json): saved with it for as long as its values are those that were tested."""
        self.private: PrivateNetworks | None = None
        """What each task owns of the model, for algorithms with private networks."""
        if algorithm.has_private_networks:
            self.private = PrivateNetworks(algorithm, theta)
        self.progress = 0.0
        """Share of the outer run that is done, in [0, 1]; the trainer sets it, schedules read it."""
        self.skipped, self.idle = 0, 0
        """Tasks left out so far because a loss was not finite (`on_nonfinite="skip"`), and batches in a row that had none left."""
        self._evaluator: Evaluator | None = None
        self.train(False)

    @property
    def encoder(self) -> Encoder | None:
        """What turns rows into tensors; it knows whether labels are dealt afresh in each episode, which a head made by tasks needs."""
        return self._encoder

    @encoder.setter
    def encoder(self, encoder: Encoder | None) -> None:
        """Give the learner another one."""
        self._encoder = encoder
        if getattr(self.init, "own_classes", None) is not None:
            labels = getattr(encoder, "labels", None)
            self.init.own_classes = labels is not None and labels.names is None

    @property
    def config(self) -> Any:
        """The configuration of the model."""
        return self.model.config

    @property
    def kind(self) -> str | None:
        """Which per-task loss the model has (see hfmeta.inner.losses); None where its task type is unknown."""
        return KINDS.get(self.task_type or "")

    @property
    def private_names(self) -> list[str]:
        """The tensors that a task owns, where nothing else moves: what banks and private adapters hold. Empty elsewhere."""
        return list(self.moving.names) if private_among(self.moving.names) == set(self.moving.names) else []

    def train(self, mode: bool = True) -> Self:
        """Outer training mode; the model itself stays in evaluation mode unless `dropout` is on."""
        super().train(mode)
        if not self.dropout:
            self.model.eval()
        return self

    def forward(self, support: Batch, query: Batch, task: Tensor | None = None) -> dict[str, Tensor]:
        """Adapt to each task on its support set and return the loss on its query set.

        Args:
            support: `[T, S, ...]` by argument name of the model, with `labels`.
            query: `[T, Q, ...]` likewise.
            task: ids `[T]`, for messages.

        Returns:
            `loss`: mean over tasks; `task_losses`: `[T]`; both nats or squared units.

        Raises:
            NonFiniteLossError: names the task and the step, unless such tasks are skipped.
            UnusedParameterError: names adapted tensors that the support loss does not touch.
        """
        track = self.training and torch.is_grad_enabled()
        steps = self.algorithm.inner_steps if self.training else self.algorithm.eval_steps
        weights = {steps: 1.0}
        if self.training:
            weights = step_weights(self.algorithm, self.progress)
        losses = [self._weighted(part, steps, weights, track) for part in self._passes(support, query, task)]
        kept = torch.cat(losses)
        self.idle = 0 if kept.numel() else self.idle + 1
        if not kept.numel():
            # Every task was skipped: a loss of zero that still reaches every parameter keeps data parallelism in step.
            zero = sum(value.sum() * 0 for value in self.parameters() if value.requires_grad)
            return {"loss": torch.as_tensor(zero), "task_losses": kept}
        return {"loss": kept.mean(), "task_losses": kept.detach()}

    def scores(self, support: Batch, query: Batch, task: Tensor | None = None) -> dict[str, Tensor]:
        """Per-task scores before and after every inner step, without gradients.

        Args:
            support, query, task: as for `forward`.

        Returns:
            `loss` `[T, K + 1]`, for classification `accuracy` `[T, K + 1]`, and where the model gives logits of modest size
            `logits` `[T, Q, C]` after the last step; K is `algorithm.eval_steps`. A task whose inner loss is not finite has NaN
            from that step on.
        """
        was_training = self.training
        self.eval()
        try:
            parts = [self._scores_of(part) for part in self._passes(support, query, task)]
        finally:
            self.train(was_training)
        return {name: torch.cat([part[name] for part in parts]) for name in parts[0]}

    def adapt(self, rows: Any) -> Any:
        """A stock model adapted to one task; the learner itself is left untouched.

        Args:
            rows: a datasets.Dataset, a list of dicts or a dict of columns with the encoder's columns, or a dict of tensors
                `{argument name: [S, ...]}` with `labels`.

        Returns:
            a model of the same class as the learner's, in evaluation mode; for classification with the task's class names.

        Raises:
            HfmetaError: no encoder, missing columns, or a number of classes that this head cannot take.
        """
        return adapted_model(self, rows)

    def save_pretrained(self, folder: str | Path) -> None:
        """Write the learner: stock model files, tokenizer, `hfmeta_config.json`, `hfmeta.safetensors`, `README.md`."""
        from hfmeta.publishing.checkpoint import save_learner

        save_learner(self, Path(folder))

    @classmethod
    def from_pretrained(
        cls,
        name: str | Path,
        *,
        revision: str | None = None,
        subfolder: str | None = None,
        local_files_only: bool = False,
    ) -> Self:
        """Open a saved learner from a folder or a hub id, in one of its revisions or subfolders, or offline from the cache.

        Raises:
            HfmetaError: not a learner, an algorithm that is not installed (names its package), missing or extra tensors.
        """
        from hfmeta.publishing.checkpoint import load_learner

        return load_learner(cls, str(name), revision, local_files_only, subfolder)

    def save_adapted(self, model: Any, folder: str | Path) -> None:
        """Write an adapted model and the tokenizer as a stock folder that needs no hfmeta to open."""
        from hfmeta.publishing.checkpoint import save_adapted

        save_adapted(self, model, Path(folder))

    def save_private(
        self, model: Any, folder: str | Path, task: str | int | None = None, *, sparse: bool = True
    ) -> Path:
        """Write what one task owns of an adapted model as a PEFT folder; see `hfmeta.learner.serving.save_private`."""
        from hfmeta.learner.serving import save_private

        return save_private(self, model, Path(folder), task, sparse=sparse)

    def serve(self, folder: str | Path, mode: str = "r+") -> Serving:
        """The bank of users' private adapters in a folder, made if there is none, and the model that serves them."""
        from hfmeta.learner.serving import Serving

        return Serving(self, Path(folder), mode)

    def open_private(self, name: str | Path, **where: Any) -> Any:
        """The model with one user's private adapter, out of a folder or a hub; see `hfmeta.publishing.private.open_private`."""
        from hfmeta.publishing.private import open_private

        return open_private(self, str(name), **where)

    def push_to_hub(self, repo_id: str, *, private: bool | None = None, token: str | None = None) -> Any:
        """Save to a temporary folder and upload it to the hub; safetensors, JSON, tokenizer files and the card only."""
        from hfmeta.publishing.hub import push_learner

        return push_learner(self, repo_id, private, token)

    def summary(self) -> dict[str, float]:
        """What is worth logging of the learner: learned inner rates, clusters of tasks, private structures."""
        described: dict[str, float] = getattr(self.init, "summary", dict)()
        for rule in self.rule.modules():
            described = {**getattr(rule, "summary", dict)(), **described}
        if self.private is not None:
            described = {**described, **self.private.summary()}
        return described

    # ---- one pass: a chunk of the tasks -------------------------------------------------------------------------------

    def _passes(self, support: Batch, query: Batch, task: Tensor | None) -> Iterator[Part]:
        tasks = support["labels"].shape[0]
        size = self.algorithm.tasks_per_pass or tasks
        for first in range(0, tasks, size):
            part = Part(support, query, task)
            yield part if size >= tasks else part.rows(torch.arange(first, min(first + size, tasks)))

    def _weighted(self, part: Part, steps: int, weights: dict[int, float], track: bool) -> Tensor:
        """Query losses `[T]` of one pass, weighted over inner steps; skips tasks whose losses are not finite."""
        try:
            results, aux = self._query_losses(part, steps, set(weights), track)
            total = torch.stack([weight * results[k].losses for k, weight in weights.items()]).sum(0)
            if aux is not None and self.training:
                total = total + aux
            check_finite(total, -1)
            return total
        except NonFiniteLossError as error:
            tasks = None if part.task is None else part.task[error.rows].tolist()
            named = NonFiniteLossError(error.rows, error.step, tasks)
            if self.algorithm.on_nonfinite == "stop" or not self.training:
                raise named from error
            self.skipped += len(error.rows)
            logger.warning("skipped: %s", named)
            keep = [t for t in range(part.tasks) if t not in error.rows]
            if not keep:
                return torch.zeros(0, device=part.support["labels"].device)
            return self._weighted(part.rows(torch.tensor(keep)), steps, weights, track)

    def _scores_of(self, part: Part) -> dict[str, Tensor]:
        steps = self.algorithm.eval_steps
        try:
            results, _ = self._query_losses(part, steps, set(range(steps + 1)), track=False)
        except NonFiniteLossError:
            if part.tasks > 1:
                alone = [self._scores_of(part.rows(torch.tensor([t]))) for t in range(part.tasks)]
                return {name: torch.cat([one[name] for one in alone]) for name in alone[0]}
            return self._scores_until_divergence(part, steps)
        return self._as_scores([results[k] for k in range(steps + 1)], part.query["labels"])

    def _scores_until_divergence(self, part: Part, steps: int) -> dict[str, Tensor]:
        """Scores of one task, NaN from the step on at which its loss stopped being finite."""
        where = 0
        for reached in range(steps - 1, -1, -1):
            try:
                results, _ = self._query_losses(part, reached, set(range(reached + 1)), track=False)
            except NonFiniteLossError as error:
                where = error.step
                continue
            finite = self._as_scores([results[k] for k in range(reached + 1)], part.query["labels"])
            missing = torch.full((1, steps - reached), float("nan"))
            for name in ("loss", "accuracy"):
                if name in finite:
                    finite[name] = torch.cat([finite[name], missing.to(finite[name])], 1)
            return finite
        raise NonFiniteLossError([0], where, None if part.task is None else part.task.tolist())

    def _as_scores(self, results: list[Evaluation], labels: Tensor) -> dict[str, Tensor]:
        found = {"loss": torch.stack([result.losses for result in results], 1)}
        last = results[-1].logits
        if self.kind == "classification" and last is not None:
            curve = [task_accuracies(result.logits, labels) for result in results if result.logits is not None]
            found["accuracy"] = torch.stack(curve, 1)
        if self.kind in ("classification", "regression") and last is not None:
            found["logits"] = last
        return found

    def _query_losses(
        self, part: Part, steps: int, at: set[int], track: bool
    ) -> tuple[dict[int, Evaluation], Tensor | None]:
        """Run the inner loop for all tasks of a pass: query losses after the inner steps in `at`, and what the init adds `[T]`."""
        mode = self.algorithm.gradient_mode(self.progress, track, self.training)
        support, query = (with_speakers(self.model, b, part.task, self.training) for b in (part.support, part.query))
        with torch.set_grad_enabled(track):
            query_losses = self.evaluator(support).bind(query)
            path = Trajectory(self, support, part.task)
            losses_at = difference_of(query_losses, path.start) if track and mode.difference else query_losses
            values = enumerate(path.values(steps, mode))
            results = {k: losses_at({**params, **path.statistics}) for k, params in values if k in at}
            return results, path.aux

    def evaluator(self, support: Batch) -> Evaluator:
        """How losses are computed; chosen and checked on the first support batch `[T, S, ...]`."""
        if self._evaluator is None:
            self._evaluator = checked_evaluator(
                self.algorithm.evaluator, self.model, self.moving, self.task_type, support
            )
        return self._evaluator

    def features(self, bound: Bound, support: Batch) -> Tensor:
        """Inputs of the head, or pooled features of a language model, for the support rows: `[T, S, d]`, from the learned start."""
        ready = getattr(bound, "features", None)
        return support_features(self.model, self.moving, support) if ready is None else ready
