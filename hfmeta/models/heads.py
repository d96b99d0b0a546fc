"""What the structure of a model tells: where its linear head is, and whether it mixes the rows of a batch."""

from __future__ import annotations

from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from hfmeta.inner.errors import HfmetaError
from hfmeta.models.conv4 import BatchStatisticsNorm


def head_of(model: nn.Module) -> tuple[str, nn.Linear]:
    """The name and the module of a model's head: its last linear layer, in the order in which layers are registered.

    That is `classifier` in BERT and ViT, `classifier.out_proj` in RoBERTa, `head` in our MLP.

    Args:
        model: any model; a PEFT model's trained copy of the head is found rather than the original.

    Raises:
        HfmetaError: no linear layer at all.
    """
    linear = [(name, module) for name, module in model.named_modules() if isinstance(module, nn.Linear)]
    if not linear:
        raise HfmetaError(
            f"{type(model).__name__} has no linear layer, so it has no head to take features from or to start anew."
        )
    return linear[-1]


def mixes_rows(model: nn.Module) -> bool:
    """Whether a row's prediction depends on the other rows of its batch: a layer normalises by batch statistics even in evaluation."""
    return any(
        (isinstance(module, BatchStatisticsNorm) and module.mean is None)
        or (isinstance(module, _BatchNorm) and module.running_mean is None)
        for module in model.modules()
    )
