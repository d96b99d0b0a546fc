"""A LoRA on a stock model, through PEFT, drawn from a seed and without dropout unless asked for."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from peft import LoraConfig, PeftModel, TaskType, get_peft_model
from transformers import PreTrainedModel
from transformers.pytorch_utils import Conv1D

from hfmeta.inner.errors import HfmetaError

TASK_TYPES = {
    "sequence-classification": TaskType.SEQ_CLS,
    "causal-lm": TaskType.CAUSAL_LM,
    "seq2seq-lm": TaskType.SEQ_2_SEQ_LM,
}


def attach_lora(
    model: PreTrainedModel,
    task_type: str,
    *,
    r: int = 8,
    alpha: float | None = None,
    target_modules: Sequence[str] | None = None,
    dropout: float = 0.0,
    head: str | None = None,
    seed: int = 0,
) -> PeftModel:
    """Put a LoRA on a model: its own tensors are frozen, the LoRA's (and a classification head's) are trainable.

    Args:
        model: a stock model; it becomes part of the result.
        task_type: the model's task type, kept with the adapter so that PEFT's Auto classes open it.
        r: rank.
        alpha: scale; the LoRA's output is multiplied by alpha / r. None: 2 r.
        target_modules: ends of the names of the modules that get one; None: PEFT's choice for the architecture.
        dropout: share of the LoRA's inputs dropped in training.
        head: name of a classification head to train too; PEFT makes a copy of it that is saved with the adapter.
        seed: draws the LoRA's first matrices; the second ones are zero, so the model's output is unchanged at first.

    Raises:
        HfmetaError: an impossible rank or dropout, or modules that the model does not have.

    Source: Hu et al. 2021, LoRA (arXiv 2106.09685).
    """
    if r < 1 or not 0 <= dropout < 1:
        raise HfmetaError(
            f"a LoRA needs a rank of at least 1 and a dropout in [0, 1); received r={r}, dropout={dropout}."
        )
    classifies = task_type == "sequence-classification"
    config = LoraConfig(
        r=r,
        lora_alpha=2 * r if alpha is None else alpha,  # type: ignore[arg-type]  # PEFT says int and takes any number
        target_modules=None if target_modules is None else list(target_modules),
        lora_dropout=dropout,
        # With SEQ_CLS, PEFT trains the head whether it was named or not.
        task_type=None if classifies and head is None else TASK_TYPES.get(task_type),
        modules_to_save=None if head is None else [head],
        fan_in_fan_out=any(isinstance(module, Conv1D) for module in model.modules()),
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        try:
            adapted = get_peft_model(model, config)
        except (ValueError, TypeError) as error:
            wanted = "PEFT's choice" if target_modules is None else ", ".join(target_modules)
            raise HfmetaError(
                f"no LoRA fits {type(model).__name__} at target_modules = {wanted}: {' '.join(str(error).split())}"
            ) from error
    return adapted
