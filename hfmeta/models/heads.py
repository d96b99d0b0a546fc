"""Where the linear head of a model is, by structure and not by a list of architectures."""

from __future__ import annotations

from torch import nn

from hfmeta.inner.errors import HfmetaError


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
