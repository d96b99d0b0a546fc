"""Attention and exact gradients: which kernel can be differentiated twice, and masks that vmap can carry.

The fused attention kernels of torch have no second derivative. The mathematical kernel has, and costs more, so it is chosen
around the passes that an exact gradient differentiates twice (the support passes) and nowhere else.
"""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext

import torch
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel


def twice_differentiable(enabled: bool) -> AbstractContextManager[None]:
    """Within this context scaled-dot-product attention can be differentiated twice (if enabled; else nothing changes)."""
    return sdpa_kernel([SDPBackend.MATH]) if enabled else nullcontext()


def additive_mask(attention_mask: Tensor, causal: bool, dtype: torch.dtype) -> Tensor:
    """Turn a padding mask into the ready additive mask that transformers pass on unread.

    A two-dimensional mask makes the models ask `mask.all()`, which vmap cannot answer; a boolean four-dimensional mask is added
    as 0 and 1 under eager attention, silently. A float mask is right everywhere.

    Args:
        attention_mask: `[..., rows, L]`, 1 for tokens, 0 for padding.
        causal: whether a token may only see itself and the tokens before it.
        dtype: the dtype of the model's activations.

    Returns:
        `[..., rows, 1, 1, L]`, causal `[..., rows, 1, L, L]`: 0 where attention is allowed and the most negative finite number
        elsewhere. The first serves queries of any number: an encoder's tokens, and a decoder's that look at them.
    """
    length = attention_mask.shape[-1]
    allowed = attention_mask.bool()[..., None, None, :]
    if causal:
        allowed = allowed & torch.ones(length, length, dtype=torch.bool, device=attention_mask.device).tril()
    return torch.zeros(allowed.shape, dtype=dtype, device=allowed.device).masked_fill(~allowed, torch.finfo(dtype).min)
