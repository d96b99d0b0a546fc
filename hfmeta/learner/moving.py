"""What moves: from the option `adapt` to named tensors of a model, and where its head is."""

from __future__ import annotations

import re
from dataclasses import dataclass

from torch import Tensor, nn

from hfmeta.adapters import adapter_names
from hfmeta.algorithms import HeadNames
from hfmeta.episodes import Encoder
from hfmeta.inner.errors import HfmetaError
from hfmeta.learner.private import private_parts
from hfmeta.models import head_of, task_type_of

KINDS = {
    "sequence-classification": "classification",
    "image-classification": "classification",
    "regression": "regression",
    "causal-lm": "causal-lm",
    "seq2seq-lm": "tokens",
}
"""Which per-task loss (hfmeta.inner.losses) a task type has."""


@dataclass(frozen=True)
class Moving:
    """What of a model adapts.

    Args:
        names: the adapted tensors, in the model's order.
        head: the linear head, where the task type has one (classification, regression).
    """

    names: list[str]
    head: HeadNames | None

    def theta(self, model: nn.Module) -> dict[str, Tensor]:
        """The learned start of the adapted tensors."""
        named = dict(model.named_parameters())
        return {name: named[name] for name in self.names}

    def others(self, model: nn.Module) -> list[Tensor]:
        """Tensors that the outer loop trains and the inner loop leaves alone."""
        moving = set(self.names)
        return [value for name, value in model.named_parameters() if value.requires_grad and name not in moving]

    @property
    def only_head(self) -> bool:
        """Whether nothing but the linear head moves."""
        return self.head is not None and set(self.names) <= {self.head.weight, self.head.bias}


def what_moves(model: nn.Module, adapt: str, task_type: str | None) -> Moving:
    """The trainable tensors that `adapt` names.

    Args:
        adapt: `all`, `head`, `adapter`, `private` (private MLPs and LoRAs), or a regular expression that is searched in the
            names.
        task_type: decides whether the model has a head.

    Raises:
        HfmetaError: nothing is trainable, nothing matches, or there is no such head or adapter.
    """
    trainable = [name for name, value in model.named_parameters() if value.requires_grad]
    if not trainable:
        raise HfmetaError(
            f"{type(model).__name__} has no trainable tensor; set requires_grad_(True) on what shall adapt."
        )
    head = linear_head(model, task_type)
    if adapt == "all":
        return Moving(trainable, head)
    if adapt == "adapter":
        return Moving(adapter_names(model), head)
    if adapt == "private":
        return Moving(_private_names(model, trainable), head)
    if adapt == "head":
        if head is None:
            raise HfmetaError(f'adapt="head" needs a model with a linear head; {type(model).__name__} has none.')
        own = {head.weight, head.bias}
        names = [name for name in trainable if name in own]
        if not names:
            raise HfmetaError(f'adapt="head": the head {head.module} is frozen; set requires_grad_(True) on it.')
        return Moving(names, head)
    try:
        pattern = re.compile(adapt)
    except re.error as error:
        raise HfmetaError(
            f"adapt={adapt!r} is neither all, head, adapter, private nor a regular expression: {error}."
        ) from error
    names = [name for name in trainable if pattern.search(name)]
    if not names:
        raise HfmetaError(
            f"adapt={adapt!r} matches no trainable tensor. The first of {len(trainable)}: {', '.join(trainable[:5])}."
        )
    return Moving(names, head)


def _private_names(model: nn.Module, trainable: list[str]) -> list[str]:
    """The trainable tensors of private networks: private MLPs and LoRAs."""
    own = {name for part in private_parts(trainable) for name in part.names}
    if not own:
        raise HfmetaError(
            f'adapt="private" needs a private network: a Seq2SPG, a private-MLP adapter or a LoRA. {type(model).__name__} has none '
            "that is trainable."
        )
    return [name for name in trainable if name in own]


def linear_head(model: nn.Module, task_type: str | None) -> HeadNames | None:
    """The linear head of a classification or regression model; None for others."""
    if KINDS.get(task_type or "") not in ("classification", "regression"):
        return None
    module, layer = head_of(model)
    return HeadNames(module, f"{module}.weight", f"{module}.bias" if layer.bias is not None else None)


def known_task_type(model: nn.Module, encoder: Encoder | None) -> str | None:
    """The model's task type, or that of what reads its rows; None for a model class of somebody's own, whose own loss is then used."""
    try:
        return task_type_of(model)
    except HfmetaError:
        return encoder.task_type if encoder is not None else None
