"""Private adapters on a stock model, through PEFT, drawn from a seed."""

from __future__ import annotations

from typing import Any

import torch
from peft import PeftModel, get_peft_model
from transformers import PreTrainedModel

from hfmeta.adapters.lora import TASK_TYPES
from hfmeta.adapters.private_mlp.config import PrivateMlpConfig
from hfmeta.inner.errors import HfmetaError


def attach_private_mlp(
    model: PreTrainedModel, task_type: str, *, head: str | None = None, seed: int = 0, **options: Any
) -> PeftModel:
    """Put a private adapter on a model: its own tensors are frozen, the adapter's (and a classification head's) are
    trainable.

    Args:
        model: a stock model; it becomes part of the result.
        task_type: the model's task type, kept with the adapter so that PEFT's Auto classes open it.
        head: name of a classification head to train too; PEFT makes a copy of it that is saved with the adapter.
        seed: draws the random part of the start.
        options: those of `PrivateMlpConfig`.

    Raises:
        HfmetaError: options that do not exist or do not fit, or modules that the model does not have.
    """
    classifies = task_type == "sequence-classification"
    try:
        config = PrivateMlpConfig(
            # With SEQ_CLS, PEFT trains the head whether it was named or not.
            task_type=None if classifies and head is None else TASK_TYPES.get(task_type),
            modules_to_save=None if head is None else [head],
            **options,
        )
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            return get_peft_model(model, config)
    except HfmetaError:
        raise
    except (ValueError, TypeError) as error:
        raise HfmetaError(
            f"no private adapter fits {type(model).__name__} with {options or 'the defaults'}: "
            f"{' '.join(str(error).split())}"
        ) from error
