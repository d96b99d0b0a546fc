"""An outer gradient that is not finite never reaches the learned values, and a run with nothing left to learn from ends."""

from __future__ import annotations

import math
from types import SimpleNamespace

import pytest
import torch
from transformers import TrainerCallback, TrainerControl, TrainerState

import hfmeta.finite
from hfmeta import HfmetaError, Maml, MetaConfig, MetaLearner, MetaTrainer
from hfmeta.finite import FiniteSteps
from tiny import random_batch, tiny_mlp

STEPS = 5


class Watch(TrainerCallback):
    """Spoils the gradient of one tensor at one step, and keeps the values after every step."""

    def __init__(self, learner, at, factor):
        self.learner, self.at, self.factor, self.step = learner, at, factor, 0
        self.values = [self.read()]
        spoilt = list(learner.parameters())[1]
        spoilt.register_hook(lambda gradient: gradient * (self.factor if self.step == self.at else 1.0))

    def read(self):
        return [value.detach().clone() for value in self.learner.parameters()]

    def on_step_begin(self, args, state, control, **kwargs):
        self.step = state.global_step + 1

    def on_step_end(self, args, state, control, **kwargs):
        self.values.append(self.read())


def run(folder, algorithm, factor=math.inf, at=3, labels=None, **options):
    """A trainer of five steps on one batch, whose gradient is spoilt at one of them."""
    learner = MetaLearner(tiny_mlp(), algorithm)
    batch = random_batch("regression", T=2)
    if labels is not None:
        batch["support"]["labels"].fill_(labels)
    args = MetaConfig(
        output_dir=str(folder),
        **{"max_steps": STEPS, "per_device_train_batch_size": 1, "learning_rate": 0.01, "report_to": "none"},
        **{"use_cpu": True, "disable_tqdm": True, "save_strategy": "no", "logging_steps": 1, **options},
    )
    watch = Watch(learner, at, factor)
    trainer = MetaTrainer(
        learner, args, train_dataset=[batch] * 99, data_collator=lambda batches: batches[0], callbacks=[watch]
    )
    return trainer, watch


@pytest.mark.parametrize("max_grad_norm", [0.0, 1.0])
@pytest.mark.parametrize("factor", [math.inf, math.nan])
def test_a_run_stops_before_such_a_step(tmp_path, factor, max_grad_norm):
    trainer, watch = run(tmp_path, Maml(inner_lr=0.1), factor, max_grad_norm=max_grad_norm)
    with pytest.raises(HfmetaError, match="the outer gradient of step 3 is not finite, though the losses are. Clip it"):
        trainer.train()
    assert all(torch.equal(a, b) for a, b in zip(watch.values[-1], watch.read(), strict=True))
    assert all(torch.isfinite(value).all() for value in watch.read())


def test_such_a_step_is_left_out_and_counted(tmp_path):
    trainer, watch = run(tmp_path, Maml(inner_lr=0.1, on_nonfinite="skip"))
    trainer.train()
    assert trainer.state.global_step == STEPS
    assert trainer.finite.skipped_steps == 1
    assert [entry.get("skipped_steps") for entry in trainer.state.log_history][:5] == [None, None, 1.0, 1.0, 1.0]
    moved = [
        any(not torch.equal(a, b) for a, b in zip(*pair, strict=True))
        for pair in zip(watch.values[:-1], watch.values[1:], strict=True)
    ]
    assert moved == [True, True, False, True, True]
    assert all(torch.isfinite(value).all() for value in watch.read())


def half_broken(trainer):
    """Every batch has one task that is skipped and one that is not."""
    for batch in trainer.train_dataset[:1]:
        batch["support"]["labels"][0] = math.nan
    return trainer


def test_a_run_that_is_gone_on_from_goes_on_counting(tmp_path):
    options = {"save_strategy": "steps", "save_steps": 2, "at": 2}
    whole, _ = run(tmp_path / "whole", Maml(inner_lr=0.1, on_nonfinite="skip"), **options)
    half_broken(whole).train()
    counts = {"skipped_tasks": STEPS, "skipped_steps": 1}
    assert whole.finite.counts() == counts
    resumed, _ = run(tmp_path / "whole", Maml(inner_lr=0.1, on_nonfinite="skip"), **options | {"at": None})
    half_broken(resumed).train(resume_from_checkpoint=str(tmp_path / "whole" / "checkpoint-2"))
    assert resumed.finite.counts() == counts
    assert resumed.finite.summary() == {name: float(count) for name, count in counts.items()}


def test_a_run_without_a_task_left_ends(tmp_path, monkeypatch):
    monkeypatch.setattr(hfmeta.finite, "IDLE_PASSES", 4)
    trainer, watch = run(tmp_path, Maml(on_nonfinite="skip"), factor=1.0, labels=math.nan)
    with pytest.raises(HfmetaError, match="no task of the last 4 batches had finite losses, up to outer step 4"):
        trainer.train()
    assert trainer.learner.skipped == 8
    assert all(torch.equal(a, b) for a, b in zip(watch.values[0], watch.read(), strict=True))


def test_a_batch_with_a_task_left_begins_the_count_anew():
    learner = MetaLearner(tiny_mlp(), Maml(on_nonfinite="skip")).train()
    batch, broken = random_batch("regression", T=2), random_batch("regression", T=2)
    broken["support"]["labels"].fill_(math.nan)
    counts = []
    for one in (broken, broken, batch, broken):
        learner(**one)
        counts.append(learner.idle)
    assert counts == [1, 2, 0, 1]


def test_a_gradient_scaler_is_left_to_itself():
    learner = MetaLearner(tiny_mlp(), Maml())
    for value in learner.parameters():
        value.grad = torch.full_like(value, math.inf)
    guard = FiniteSteps(learner)
    guard.on_pre_optimizer_step(SimpleNamespace(fp16=True), TrainerState(), TrainerControl())
    with pytest.raises(HfmetaError, match="is not finite"):
        guard.on_pre_optimizer_step(SimpleNamespace(fp16=False), TrainerState(), TrainerControl())
