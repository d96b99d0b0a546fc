"""The LSTM meta-learner through a run: stopped and resumed to the bit, saved, reloaded, adapting alike."""

from __future__ import annotations

import torch

from hfmeta import LstmMetaLearner, LstmTrainer, MetaConfig, MetaLearner
from hfmeta.corpora import Sinusoid
from hfmeta.episodes import EpisodeDataset
from invariants.runs import StopAt, tensors
from tiny import tiny_mlp


def trainer(folder, *callbacks):
    args = MetaConfig(
        str(folder),
        max_steps=6,
        per_device_train_batch_size=2,
        learning_rate=1e-2,
        save_steps=3,
        max_grad_norm=0.25,
        report_to="none",
        use_cpu=True,
        disable_tqdm=True,
        dataloader_pin_memory=False,
    )
    data = EpisodeDataset(Sinusoid(5, 5), seed=3, length=8)
    return LstmTrainer(
        tiny_mlp(), args, algorithm=LstmMetaLearner(inner_steps=3), train_dataset=data, callbacks=list(callbacks)
    )


def test_stopped_and_resumed_equals_uninterrupted(tmp_path):
    whole = trainer(tmp_path / "whole")
    start = tensors(whole)
    whole.train()
    expected = tensors(whole)
    assert not any(torch.equal(expected[name], start[name]) for name in start if name.startswith("rule."))
    trainer(tmp_path / "parts", StopAt(3, "stop")).train()
    again = trainer(tmp_path / "parts")
    again.train(resume_from_checkpoint=str(tmp_path / "parts" / "checkpoint-3"))
    found = tensors(again)
    assert found.keys() == expected.keys()
    assert [name for name, value in found.items() if not torch.equal(value, expected[name])] == []


def test_saved_and_reloaded_it_adapts_alike(tmp_path):
    run = trainer(tmp_path / "run")
    run.train()
    run.save_model(str(tmp_path / "saved"))
    again = MetaLearner.from_pretrained(tmp_path / "saved")
    assert again.algorithm == run.learner.algorithm
    rows = {"x": [0.1, 1.0, -2.0], "y": [0.5, 0.0, 1.0]}
    support = {"inputs": torch.tensor(rows["x"]).unsqueeze(1), "labels": torch.tensor(rows["y"]).unsqueeze(1)}
    one, other = (learner.adapt(support).state_dict() for learner in (run.learner, again))
    assert all(torch.equal(value, other[name]) for name, value in one.items())
