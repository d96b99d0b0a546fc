"""One small training run with learned rates, shared by the invariants and runnable as a program (several processes, kill)."""

from __future__ import annotations

import os
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from transformers import TrainerCallback

from hfmeta import MetaConfig, MetaTrainer
from hfmeta.algorithms import Maml
from hfmeta.corpora import Sinusoid
from hfmeta.episodes import EpisodeDataset
from hfmeta.models import MlpConfig, MlpForRegression


class StopAt(TrainerCallback):
    """At one step: end the training (`stop`), or say so and hang until killed (`hang`)."""

    def __init__(self, step: int, how: str):
        self.step, self.how = step, how

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """See the class."""
        if state.global_step != self.step:
            return
        if self.how == "stop":
            control.should_training_stop = True
            return
        print("reached", flush=True)
        time.sleep(300)


def trainer(folder: Path, *callbacks: TrainerCallback, **options: Any) -> MetaTrainer:
    """A trainer over sinusoid tasks: 6 steps of 4 tasks, a checkpoint every 2 steps."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = MlpForRegression(MlpConfig(hidden_sizes=[8, 8], init_std=0.5))
    settings: dict[str, Any] = {
        "output_dir": str(folder),
        "max_steps": 6,
        "per_device_train_batch_size": 4,
        "learning_rate": 1e-2,
        "save_steps": 2,
        "report_to": "none",
        "use_cpu": True,
        "disable_tqdm": True,
        "dataloader_pin_memory": False,
    }
    return MetaTrainer(
        model,
        MetaConfig(**(settings | options)),
        algorithm=Maml(inner_steps=2, inner_lr=0.01, rates="tensor", rates_per_step=True),
        train_dataset=EpisodeDataset(Sinusoid(5, 5), seed=3, length=10),
        callbacks=list(callbacks),
    )


def tensors(run: MetaTrainer) -> dict[str, torch.Tensor]:
    """A copy of everything that was learned."""
    return {name: value.detach().clone() for name, value in run.learner.state_dict().items()}


def main() -> None:
    """`runs.py hang FOLDER`: train, hang at step 5. `runs.py rank FOLDER`: one of two processes, save what it learned and count."""
    torch.set_num_threads(1)
    how, folder = sys.argv[1], Path(sys.argv[2])
    if how == "hang":
        trainer(folder, StopAt(5, "hang")).train()
        return
    run = trainer(folder, per_device_train_batch_size=2, save_strategy="no", ddp_backend="gloo", max_steps=2)
    assert run.args.world_size == torch.distributed.get_world_size() == 2, run.args.world_size
    run.train()
    run.learner.algorithm = replace(run.learner.algorithm, on_nonfinite="skip")
    run.learner.skipped = 2 + run.args.process_index
    for _ in range(2):  # as counted, and as a checkpoint gives it back
        assert run.finite.counts() == {"skipped_tasks": 5, "skipped_steps": 0}
        run.finite.keep(run.state)
        run.finite.restore(run.state, run.args)
    torch.save(tensors(run), folder / f"rank{run.args.process_index}.pt")
    torch.distributed.destroy_process_group()
    # Without letting go of the run: gloo's destructor joins its threads with the interpreter's lock held, and a thread that still has
    # to drop what was gathered waits for that lock. On a busy machine every other run of this program hung there (torch 2.13).
    os._exit(0)


if __name__ == "__main__":
    main()
