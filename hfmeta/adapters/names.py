"""Which tensors of a model belong to its PEFT adapter."""

from __future__ import annotations

from peft import PeftModel, PeftType
from peft.mapping import PEFT_TYPE_TO_PREFIX_MAPPING
from torch import nn

from hfmeta.inner.errors import HfmetaError


def adapter_names(model: nn.Module) -> list[str]:
    """Names of the trainable tensors of a PEFT adapter, without a head that is trained beside it.

    Raises:
        HfmetaError: the model carries no adapter, or one without trainable tensors.
    """
    if not isinstance(model, PeftModel):
        raise HfmetaError(
            f'adapt="adapter" needs a PEFT model; {type(model).__name__} has no adapter. Attach one (recipe section `adapter`, or '
            'peft.get_peft_model), or use adapt="all" or "head".'
        )
    prefixes = {PEFT_TYPE_TO_PREFIX_MAPPING[PeftType(config.peft_type)] for config in model.peft_config.values()}
    names = [
        name
        for name, value in model.named_parameters()
        if value.requires_grad and any(f".{prefix}" in f".{name}" for prefix in prefixes)
    ]
    if not names:
        raise HfmetaError("the PEFT adapter has no trainable tensor: load it with is_trainable=True.")
    return names
