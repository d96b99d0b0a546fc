"""What a private adapter must know of the module it stands beside: its widths, its input, its answer."""

from __future__ import annotations

from collections import Counter
from typing import Any

import torch
from torch import Tensor, nn
from transformers.pytorch_utils import Conv1D
from transformers.utils import ModelOutput

from hfmeta.inner.errors import HfmetaError

WIDTH_NAMES = ("hidden_size", "d_model", "n_embd", "dim", "embed_dim")
"""Where the configs of transformers keep the width of hidden states."""


def widths_of(module: nn.Module, name: str, model_config: dict[str, Any]) -> tuple[int, int]:
    """Widths of a module's input and output.

    A linear layer says its own. A block's input and output are hidden states: its width is the one that the model's
    config names and that the block's linear layers have, or else the one that most of them have.

    Args:
        name: the module's name, for the message.
        model_config: the model's config as a dict.

    Raises:
        HfmetaError: a module without linear layers, or one whose width cannot be told.
    """
    if (own := _linear_widths(module)) is not None:
        return own
    seen = Counter(width for inner in module.modules() for width in _linear_widths(inner) or ())
    text = model_config.get("text_config") or {}
    named = [holder.get(key) for holder in (model_config, text) for key in WIDTH_NAMES]  # lists, in some models
    ranked = [pair for pair in seen.most_common() if pair[0] in named] or seen.most_common()
    if not ranked or (len(ranked) > 1 and ranked[0][1] == ranked[1][1]):
        raise HfmetaError(
            f"a private adapter does not fit {name} ({type(module).__name__}): its width cannot be read off. Target "
            "a PrivateMlp, a linear layer, or a block whose input and output are hidden states [B, L, d]."
        )
    return ranked[0][0], ranked[0][0]


def _linear_widths(module: nn.Module) -> tuple[int, int] | None:
    if isinstance(module, nn.Linear):
        return module.in_features, module.out_features
    if isinstance(module, Conv1D):
        return module.weight.shape[0], module.weight.shape[1]
    return None


def input_of(args: tuple[Any, ...], kwargs: dict[str, Any]) -> Tensor:
    """The hidden states [B, ..., d] that a block was called with: its first argument, by position or by name."""
    if args:
        return args[0]
    if "hidden_states" in kwargs:
        return kwargs["hidden_states"]
    return next(value for value in kwargs.values() if isinstance(value, Tensor) and value.is_floating_point())


def answer_of(output: Any) -> Tensor:
    """The hidden states [B, ..., d] in a block's output, which is a tensor, a sequence or a ModelOutput."""
    if isinstance(output, Tensor):
        return output
    return output[next(iter(output))] if isinstance(output, dict) else output[0]


def with_answer(output: Any, answer: Tensor) -> Any:
    """A block's output with other hidden states in it, and otherwise as it was."""
    if isinstance(output, Tensor):
        return answer
    if isinstance(output, dict):
        values = {**output, next(iter(output)): answer}
        return type(output)(**values) if isinstance(output, ModelOutput) else values
    if hasattr(output, "_fields"):
        return type(output)(answer, *output[1:])
    return type(output)((answer, *output[1:]))


def rows_by_adapter(names: list[str], hidden: Tensor) -> dict[str, Tensor]:
    """Which rows of a batch belong to which adapter.

    Args:
        names: one adapter's name per row.
        hidden: the input, [B, ...].

    Raises:
        HfmetaError: not as many names as rows.
    """
    if len(names) != len(hidden):
        raise HfmetaError(
            f"Length of `adapter_names` should be the same as the number of inputs, but got {len(names)} and "
            f"{len(hidden)} respectively. In generation, give num_beams and num_return_sequences to generate() itself."
        )
    rows: dict[str, list[int]] = {}
    for row, name in enumerate(names):
        rows.setdefault(name, []).append(row)
    return {name: torch.tensor(found, device=hidden.device) for name, found in rows.items()}
