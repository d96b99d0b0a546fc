"""What the Trainer costs: an outer step of the sinusoid recipe through MamlTrainer against the bare step on a ready batch."""

from __future__ import annotations

import tempfile
from typing import Any

import numpy as np
import torch

from benchmarks.common import seconds_of
from benchmarks.meta_gradient.workloads import WORKLOADS
from hfmeta import EpisodeDataset, Maml, MamlTrainer, MetaConfig, MetaLearner
from hfmeta.corpora.sinusoid import Sinusoid

SHORT, LONG = 50, 250
"""Outer steps of two runs, whose difference leaves out what a run costs once."""


def _algorithm() -> Maml:
    return Maml(inner_steps=1, inner_lr=0.001)


def through_the_trainer(steps: int) -> float:
    """Processor seconds of a run of so many outer steps; logging as in the recipe, no evaluation, no checkpoint."""
    with tempfile.TemporaryDirectory() as folder:
        arguments = MetaConfig(
            output_dir=folder,
            max_steps=steps,
            per_device_train_batch_size=25,
            learning_rate=1e-3,
            lr_scheduler_type="constant",
            max_grad_norm=0,
            logging_steps=500,
            save_strategy="no",
            report_to="none",
            disable_tqdm=True,
            use_cpu=True,
        )
        tasks = EpisodeDataset(Sinusoid(10, 10), length=25_000)
        trainer = MamlTrainer(WORKLOADS["A"].build(), arguments, algorithm=_algorithm(), train_dataset=tasks)
        return seconds_of(trainer.train)[1]


def bare(steps: int) -> float:
    """Processor seconds of as many outer steps with torch's Adam on one batch."""
    learner = MetaLearner(WORKLOADS["A"].build(), _algorithm()).train()
    optimizer = torch.optim.AdamW(learner.parameters(), lr=1e-3, weight_decay=0.0)
    batch = WORKLOADS["A"].batch()

    def run() -> None:
        for _ in range(steps):
            learner(**batch)["loss"].backward()
            optimizer.step()
            optimizer.zero_grad()

    return seconds_of(run)[1]


def cost_of_the_trainer(rounds: int) -> dict[str, Any]:
    """Milliseconds of the processor a step, both ways, and their ratio, medians over rounds."""
    found = []
    for _ in range(rounds):
        times = [(way(LONG) - way(SHORT)) / (LONG - SHORT) for way in (through_the_trainer, bare)]
        found.append((1000 * times[0], 1000 * times[1], times[0] / times[1]))
    trainer, step, ratio = np.median(np.array(found), axis=0)
    return {"trainer_ms": round(float(trainer), 3), "bare_ms": round(float(step), 3), "ratio": round(float(ratio), 3)}
