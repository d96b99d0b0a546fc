"""`adapt`: a copy of the learner's model, or its private values alone, moved to one task. The learner is read, never written."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from hfmeta.adapters.pruning import Masks
from hfmeta.inner import HfmetaError
from hfmeta.learner.private import private_among
from hfmeta.learner.speakers import with_speakers
from hfmeta.learner.statistics import fix_statistics
from hfmeta.learner.trajectory import Trajectory
from hfmeta.publishing.adapted import with_push
from hfmeta.publishing.identity import forget_identity

if TYPE_CHECKING:
    from hfmeta.learner.core import MetaLearner


def adapted_model(learner: MetaLearner, rows: Any) -> Any:
    """See `MetaLearner.adapt`."""
    support, classes = support_of(learner, rows)
    twin = _twin(learner, support, classes)
    device = next(twin.model.parameters()).device
    batch = {name: value.unsqueeze(0).to(device) for name, value in support.items()}
    with torch.no_grad():
        path = Trajectory(twin, with_speakers(twin.model, batch, None, known=False), None)
        mode = learner.algorithm.gradient_mode()
        *_, values = path.values(learner.algorithm.eval_steps, mode)
        for name, value in twin.moving.theta(twin.model).items():
            value.copy_(values[name][0])
        if path.statistics:
            fix_statistics(twin.model, {name: value[0] for name, value in path.statistics.items()})
    return with_push(learner, twin.model.eval())


def private_values(learner: MetaLearner, rows: Any) -> tuple[dict[str, Tensor], Masks]:
    """What one task owns after adapting, without a copy of the model: where nothing else moves, that is the whole adapted model.

    Args:
        learner: its shared values are everybody's.
        rows: as for `MetaLearner.adapt`.

    Returns:
        the private tensors by name, and the masks of what the task kept of them (empty where nothing was cut out).

    Raises:
        HfmetaError: a learner whose tasks move more than private tensors, or rows that it cannot read.
    """
    check_private(learner)
    support, classes = support_of(learner, rows)
    if learner.kind == "classification":
        known = learner.model.config.num_labels
        count = len(classes) if classes is not None else _classes_in(support["labels"], known)
        if count != known:
            raise HfmetaError(
                f"the rows have {count} classes; the head is everybody's and has {known}. Give rows of {known} classes."
            )
    device = next(learner.model.parameters()).device
    batch = {name: value.unsqueeze(0).to(device) for name, value in support.items()}
    was_training = learner.training
    learner.eval()
    try:
        with torch.no_grad():
            path = Trajectory(learner, with_speakers(learner.model, batch, None, known=False), None)
            mode = learner.algorithm.gradient_mode()
            *_, values = path.values(learner.algorithm.eval_steps, mode)
    finally:
        learner.train(was_training)
    # Gradient masks say what does not move; the values behind them still count.
    cut = path.masks if learner.private is not None and learner.private.algorithm.masks == "forward" else None
    kept = {name: mask[0].cpu() for name, mask in (cut or {}).items()}
    return {name: values[name][0].detach().cpu().clone() for name in learner.private_names}, kept


def check_private(learner: MetaLearner) -> None:
    """Refuse a learner whose tasks own more than private tensors: those alone would not be the adapted model.

    Raises:
        HfmetaError: names a shared tensor that adapts.
    """
    if learner.private_names:
        return
    own = private_among(learner.moving.names)
    shared = next((name for name in learner.moving.names if name not in own), "every tensor")
    raise HfmetaError(
        f"adapt={learner.algorithm.adapt!r} moves {shared}, which is no private tensor, so a task's private adapter would not be "
        'what was evaluated. Train with adapt="private" (on a Seq2SPG, a private-MLP adapter or a LoRA), or keep whole adapted '
        "models by save_adapted."
    )


def support_of(learner: MetaLearner, rows: Any) -> tuple[dict[str, Tensor], list[str] | None]:
    """Tensors `[S, ...]` of the rows, and the names of their classes.

    Args:
        learner: whose encoder reads rows.
        rows: as for `MetaLearner.adapt`.

    Raises:
        HfmetaError: rows without an encoder that reads them, tensors without labels, or missing columns.
    """
    if isinstance(rows, Mapping) and rows and all(isinstance(value, Tensor) for value in rows.values()):
        if "labels" not in rows:
            raise HfmetaError(f"adapt needs labels beside {', '.join(rows)}: a tensor `labels` of shape [S, ...].")
        return dict(rows), None
    if learner.encoder is None:
        raise HfmetaError(
            "this learner does not know how to read rows: it was built without an encoder. Train it on an EpisodeDataset, pass "
            "encoder=..., or give adapt a dict of tensors."
        )
    return learner.encoder.encode(rows), learner.encoder.classes(rows)


def _twin(learner: MetaLearner, support: dict[str, Tensor], classes: list[str] | None) -> MetaLearner:
    """A learner around a copy of the model, with a head for the task's classes; rule and init are shared and only read."""
    model = copy.deepcopy(learner.model)
    if not learner.private_names:
        forget_identity(model)  # what is shared moves too, so private adapters of the learner do not fit the result
    if learner.kind == "classification":
        count = len(classes) if classes is not None else _classes_in(support["labels"], model.config.num_labels)
        if count != model.config.num_labels:
            _resize_head(learner, model, count)
        names = classes or [f"LABEL_{i}" for i in range(count)]
        model.config.id2label = dict(enumerate(names))
        model.config.label2id = {name: i for i, name in enumerate(names)}
    # The constructor makes a rule and an init of its own, which may draw random numbers; they give way to the learned ones.
    with torch.random.fork_rng(devices=[]):
        twin = type(learner)(
            model,
            learner.algorithm,
            processing_class=learner.processing_class,
            encoder=learner.encoder,
            dropout=learner.dropout,
        )
    twin.rule, twin.init, twin.private = learner.rule, learner.init, learner.private
    return twin


def _classes_in(labels: Tensor, known: int) -> int:
    return max(known, int(labels.max()) + 1)


def _resize_head(learner: MetaLearner, model: Any, count: int) -> None:
    """Give the copy a head for another number of classes; only possible where each task makes its own head."""
    head, algorithm = learner.moving.head, learner.algorithm
    trained = model.config.num_labels
    if algorithm.head == "shared" or head is None:
        raise HfmetaError(
            f"the support rows have {count} classes, the learner was trained for {trained} and its head is shared between tasks. "
            f'Give rows of {trained} classes, or train with head="zero" or "prototype", whose heads fit any number.'
        )
    if any(value.shape[-2:] == model.get_submodule(head.module).weight.shape for value in learner.rule.parameters()):
        raise HfmetaError(
            f"the support rows have {count} classes, and the learner has learned a rate for each weight of its head of {trained}. "
            f'Give rows of {trained} classes, or train with rates="tensor".'
        )
    most = getattr(learner.init, "most_classes", None)
    if most is not None and count > most:
        raise HfmetaError(
            f"the support rows have {count} classes, and the task embedding of this learner tells {most} apart. Give rows of at most "
            f"{most} classes."
        )
    parent, _, leaf = head.module.rpartition(".")
    old: Any = model.get_submodule(head.module)
    fresh = nn.Linear(
        old.in_features, count, bias=old.bias is not None, device=old.weight.device, dtype=old.weight.dtype
    )
    for value in fresh.parameters():
        nn.init.zeros_(value)
    setattr(model.get_submodule(parent) if parent else model, leaf, fresh)
    model.config.num_labels = count
    for module in model.modules():
        if hasattr(module, "num_labels"):
            module.num_labels = count
