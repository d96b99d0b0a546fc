"""One small CMAML run over users of unequal size, as a function and as a program (two processes, kill in any phase)."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path
from typing import Any

import torch
from datasets import Dataset
from transformers import TrainerCallback

from hfmeta import Cmaml, CmamlTrainer, MetaConfig
from hfmeta.episodes import EpisodeDataset
from hfmeta.learner.private import PrivateNetworks
from tiny import tiny_lstm, tiny_tokenizer

USERS = {"anna ✿": 7, "../bob": 5, "cleo": 9, "dan": 6}
"""Task ids with spaces, symbols and slashes, and the number of their rows."""


def rows() -> Dataset:
    """Each user answers in words of their own."""
    words = ["card lost", "my money", "hello you", "pay the bank", "good card"]
    table = [
        {"user": user, "said": f"{words[(i + u) % 5]} {i}", "reply": f"{words[(2 * i + u) % 5]}"}
        for u, (user, count) in enumerate(USERS.items())
        for i in range(count)
    ]
    return Dataset.from_list(table)


def trainer(
    folder: Path,
    *callbacks: TrainerCallback,
    algorithm: dict[str, Any] | None = None,
    eval_dataset: Any = None,
    **options: Any,
) -> CmamlTrainer:
    """8 steps of 4 tasks: 3 of pretraining, pruning, 5 of joint training; a checkpoint every 2 steps."""
    settings: dict[str, Any] = {
        "output_dir": str(folder),
        "max_steps": 8,
        "per_device_train_batch_size": 4,
        "learning_rate": 1e-2,
        "save_steps": 2,
        "report_to": "none",
        "use_cpu": True,
        "disable_tqdm": True,
        "dataloader_pin_memory": False,
    }
    choices: dict[str, Any] = {"keep_ratio": 0.5, "pretrain_until": 0.375, "inner_batch_size": 2, "inner_lr": 2.0}
    columns = {"task_column": "user", "input_column": "said", "target_column": "reply"}
    train = EpisodeDataset(
        rows(), **columns, support=3, query=2, processing_class=tiny_tokenizer(), task_type="seq2seq-lm"
    )
    return CmamlTrainer(
        tiny_lstm(),
        MetaConfig(**(settings | options)),
        algorithm=Cmaml(**(choices | (algorithm or {}))),
        train_dataset=train,
        eval_dataset=eval_dataset,
        callbacks=list(callbacks),
    )


def learned(run: CmamlTrainer) -> dict[str, torch.Tensor]:
    """A copy of everything that was learned, the structures of all users included."""
    assert run.learner.private is not None
    found = {name: value.detach().clone() for name, value in run.learner.state_dict().items()}
    if run.learner.private.ready:
        masks = run.learner.private.store.get("train", list(USERS))
        found |= {f"mask of {name}": mask for name, mask in masks.items()}
    return found


class HangAt(TrainerCallback):
    """Says so at one step and hangs until killed."""

    def __init__(self, step: int):
        self.step = step

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """See the class."""
        if state.global_step == self.step:
            hang()


def hang() -> None:
    """Say so, and wait to be killed."""
    print("reached", flush=True)
    time.sleep(300)


def main() -> None:
    """`cmaml_runs.py FOLDER pretrain | prune | joint`: hang in that phase. `cmaml_runs.py FOLDER rank`: one of two processes."""
    torch.set_num_threads(1)
    folder, how = Path(sys.argv[1]), sys.argv[2]
    if how == "prune":
        kept = PrivateNetworks.prune

        def slow(self: PrivateNetworks, *arguments: Any) -> Any:
            result = kept(self, *arguments)
            hang()
            return result

        PrivateNetworks.prune = slow  # type: ignore[method-assign]
        trainer(folder, algorithm={"tasks_per_pass": 2}).train()
    elif how in ("pretrain", "joint"):
        trainer(folder, HangAt({"pretrain": 3, "joint": 7}[how]), algorithm={"tasks_per_pass": 2}).train()
    else:
        run = trainer(folder, per_device_train_batch_size=2, save_strategy="no", ddp_backend="gloo")
        assert run.args.world_size == torch.distributed.get_world_size() == 2, run.args.world_size
        run.train()
        torch.save(learned(run), folder / f"rank{run.args.process_index}.pt")
        torch.distributed.destroy_process_group()
    os._exit(0)


if __name__ == "__main__":
    main()
