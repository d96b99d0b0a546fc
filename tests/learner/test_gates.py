"""Gates watched from outside: means for the log, courses over inner steps for the plot, and nothing for rules without gates."""

from __future__ import annotations

import copy

import pytest
import torch

from hfmeta import EpisodeDataset, LstmMetaLearner, LstmTrainer, Maml, MetaConfig, MetaLearner
from hfmeta.corpora import Sinusoid
from hfmeta.episodes import FixedEpisodes
from hfmeta.inner.rules.lstm import watched_gates
from hfmeta.learner.gates import GateMeter, gates_over_steps
from tiny import random_batch, tiny_mlp


def learner(**options):
    return MetaLearner(tiny_mlp(), LstmMetaLearner(**({"inner_steps": 3} | options)))


def test_the_meter_reads_means_of_training_steps_and_begins_anew():
    made, batch, seen = learner(inner_clip=10.0), random_batch("regression"), []
    meter = GateMeter(made.rule)
    assert meter.read() == {}
    with watched_gates(made.rule, lambda *gates: seen.append([gate.mean() for gate in gates])):
        made.train()(**batch)["loss"].backward()
    made.scores(**batch)
    read = meter.read()
    assert list(read) == ["input_gate", "forget_gate"]
    for name, index in (("input_gate", 0), ("forget_gate", 1)):
        assert read[name] == pytest.approx(torch.stack([gates[index] for gates in seen]).mean().item(), rel=1e-6)
    assert meter.read() == {}


def test_a_run_logs_them(tmp_path):
    args = MetaConfig(
        str(tmp_path),
        max_steps=2,
        logging_steps=1,
        save_strategy="no",
        report_to="none",
        use_cpu=True,
        disable_tqdm=True,
    )
    args.dataloader_pin_memory = False
    data = EpisodeDataset(Sinusoid(3, 3), seed=0, length=4)
    run = LstmTrainer(tiny_mlp(), args, algorithm=LstmMetaLearner(inner_steps=2), train_dataset=data)
    run.train()
    logged = [entry for entry in run.state.log_history if "loss" in entry]
    assert len(logged) == 2
    for entry in logged:
        assert 0 < entry["input_gate"] < 0.1
        assert 0.9 < entry["forget_gate"] < 1
        assert 0 < entry["input_gate_at_rest"] < 0.1
        assert 0.9 < entry["forget_gate_at_rest"] < 1


def test_courses_are_those_of_evaluation():
    made = learner(test_inner_steps=4)
    episodes = FixedEpisodes(EpisodeDataset(Sinusoid(3, 3)), count=3, seed=1)
    before = copy.deepcopy(made.state_dict())
    made.train()
    found = gates_over_steps(made, episodes, tasks=2)
    assert made.training
    assert found["tasks"] == 2
    names = [name for name, _ in made.model.named_parameters()]
    for gate in ("input", "forget"):
        course = found[gate]
        assert len(course["mean"]) == len(course["low"]) == len(course["high"]) == 4
        assert list(course["tensors"]) == names
        assert all(
            low <= mean <= high for low, mean, high in zip(course["low"], course["mean"], course["high"], strict=True)
        )
        sizes = [value.numel() for value in made.model.parameters()]
        for k in range(4):
            weighted = sum(size * curve[k] for size, curve in zip(sizes, course["tensors"].values(), strict=True))
            assert weighted / sum(sizes) == pytest.approx(course["mean"][k], rel=1e-5)
    assert all(torch.equal(value, before[name]) for name, value in made.state_dict().items())


def test_tasks_that_diverge_are_left_out_and_rules_without_gates_have_none():
    episodes = FixedEpisodes(EpisodeDataset(Sinusoid(3, 3)), count=3, seed=1)
    assert gates_over_steps(MetaLearner(tiny_mlp(), Maml()), episodes) == {}
    made = learner()
    with torch.no_grad():
        made.rule.input_bias.fill_(float("nan"))
    assert gates_over_steps(made, episodes) == {}
    assert GateMeter(MetaLearner(tiny_mlp(), Maml()).rule).read() == {}
