"""MetaConfig: the Trainer's arguments, in episodes."""

from __future__ import annotations

import os
from dataclasses import dataclass, field

import torch
from transformers import TrainingArguments

from hfmeta.inner.errors import HfmetaError


@dataclass
class MetaConfig(TrainingArguments):
    """Arguments of the outer loop; `per_device_train_batch_size` counts tasks.

    Args (besides those of transformers.TrainingArguments):
        rule_learning_rate: outer rate of what the rule and the init learn (None: `learning_rate`).
        start_weight: weight of the values that training started from in the average that `train` leaves, in [0, 1); see
            `hfmeta.averaging`. Evaluations and the choice of the best checkpoint before that are of the values as they are learned.
    """

    rule_learning_rate: float | None = field(
        default=None, metadata={"help": "Outer rate of learned inner rates and inits; None: learning_rate."}
    )
    start_weight: float = field(
        default=0.0,
        metadata={"help": "Weight of the start in the average with what was learned, which training leaves; 0: none."},
    )
    remove_unused_columns: bool = field(
        default=False,
        metadata={"help": "Episodes are nested, so no column of theirs is a model argument; leave False."},
    )
    dataloader_pin_memory: bool = field(
        default_factory=torch.cuda.is_available,
        metadata={"help": "Page-locked batches, which only copies to a GPU need; elsewhere torch warns of them."},
    )

    def __post_init__(self) -> None:
        """Refuse what cannot work with an inner loop; processes that torchrun starts on a machine without a GPU join on the CPU.

        Raises:
            HfmetaError: gradient checkpointing, a fully sharded model, or processes that did not join.
        """
        # Asked first: transformers calls it activation_checkpointing from 5.23 on and warns of the older name.
        older = self.gradient_checkpointing
        if older or getattr(self, "activation_checkpointing", False):
            name = "gradient_checkpointing" if older else "activation_checkpointing"
            raise HfmetaError(
                f"{name}=True gives a silently wrong gradient with an inner loop. Use the algorithm's "
                'backward="recompute", which saves the same memory.'
            )
        started = int(os.environ.get("WORLD_SIZE", "1"))
        if started > 1 and not torch.accelerator.is_available():
            self.use_cpu = True  # without it each process silently does the whole run by itself
        super().__post_init__()
        if self.world_size != started:
            raise HfmetaError(
                f"{started} processes were started (WORLD_SIZE), but {self.world_size} work together: each would do the whole run and "
                "write to the same files. On CPUs set use_cpu=True (training.use_cpu=true in a recipe)."
            )
        if self.remove_unused_columns:
            raise HfmetaError(
                "remove_unused_columns=True would drop support and query from every episode; leave it False."
            )
        if self.fsdp:
            raise HfmetaError(
                f"fsdp={self.fsdp} shards the adapted tensors, which an inner loop must replace whole. Use data parallelism (DDP)."
            )
