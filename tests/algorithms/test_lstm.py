"""Options of the LSTM meta-learner, its names, and the sentence about steps that were never trained."""

from __future__ import annotations

import logging

import pytest
import torch

from hfmeta import LstmMetaLearner, LstmTrainer, Maml, MetaConfig, MetaLearner
from hfmeta.algorithms import find_algorithm
from hfmeta.corpora import Sinusoid
from hfmeta.episodes import EpisodeDataset
from hfmeta.inner.errors import HfmetaError, NonFiniteLossError
from hfmeta.inner.rules import Clip, Lstm
from hfmeta.learner import checks
from tiny import random_batch, tiny_mlp


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"inner_lr": 1.0}, "inner_lr is where the input gate starts, below 1, not 1.0"),
        ({"inner_lr": 0.0}, "inner_lr must be positive"),
        ({"forget_bias": float("nan")}, "forget_bias must be a finite number, not nan"),
        ({"hidden_size": 0}, "hidden_size must be a whole number of at least 1, not 0"),
        ({"hidden_size": 2.5}, "hidden_size must be a whole number of at least 1, not 2.5"),
        ({"gradient_divisor": 0}, "gradient_divisor must be a positive number, not 0"),
        ({"seed": "a"}, "seed must be a whole number, not 'a'"),
    ],
)
def test_bad_values(options, words):
    with pytest.raises(HfmetaError) as caught:
        LstmMetaLearner(**options)
    assert str(caught.value).startswith("LstmMetaLearner: ")
    assert words in str(caught.value)


def test_it_is_found_by_name_and_its_defaults_are_the_papers():
    assert find_algorithm("lstm") is LstmMetaLearner
    default = LstmMetaLearner()
    assert (default.inner_steps, default.order, default.hidden_size, default.gradient_divisor) == (12, 1, 20, 1.0)
    assert LstmMetaLearner.from_dict(default.to_dict()) == default


def test_its_rule_has_the_options_and_the_wrappers():
    theta = {"w": torch.zeros(3)}
    rule = LstmMetaLearner(inner_clip=1.0, hidden_size=4, gradient_divisor=5, forget_bias=2.0, inner_lr=0.5).rule(theta)
    assert isinstance(rule, Clip)
    inside = rule.rule
    assert isinstance(inside, Lstm)
    assert (inside.hidden_size, inside.gradient_divisor) == (4, 5)
    assert 1.5 <= inside.forget_bias.item() <= 2.5
    assert -0.5 <= inside.input_bias.item() <= 0.5


def test_the_trainer_of_its_name_uses_it_unless_told_otherwise(tmp_path):
    data = EpisodeDataset(Sinusoid(3, 3), seed=0, length=4)
    args = MetaConfig(str(tmp_path), report_to="none", use_cpu=True, dataloader_pin_memory=False)
    assert isinstance(LstmTrainer(tiny_mlp(), args, train_dataset=data).learner.algorithm, LstmMetaLearner)
    other = LstmTrainer(tiny_mlp(), args, algorithm=LstmMetaLearner(inner_steps=2), train_dataset=data)
    assert other.learner.algorithm.inner_steps == 2
    learner = MetaLearner(tiny_mlp(), LstmMetaLearner(inner_steps=3))
    assert LstmTrainer(learner, args, train_dataset=data).learner is learner


def test_more_steps_than_trained_are_allowed_and_said_once(caplog):
    checks._say_once.cache_clear()
    batch = random_batch("regression")
    learner = MetaLearner(tiny_mlp(), LstmMetaLearner(inner_steps=2, test_inner_steps=5))
    with caplog.at_level(logging.WARNING):
        learner.train()(**batch)
        assert not caplog.records
        assert learner.scores(**batch)["loss"].shape == (2, 6)
        learner.scores(**batch)
        learner.adapt({name: rows[0] for name, rows in batch["support"].items()})
        MetaLearner(tiny_mlp(), Maml(inner_steps=1, test_inner_steps=5)).scores(**batch)  # learns no rule
    (record,) = caplog.records
    assert "LstmMetaLearner learned its rule on 2 inner steps and now takes 5" in record.getMessage()


@pytest.mark.parametrize("steps", [1, 3])
def test_gates_that_are_not_finite_stop_the_run_by_a_sentence(steps):
    learner = MetaLearner(tiny_mlp(), LstmMetaLearner(inner_steps=steps))
    with torch.no_grad():
        learner.rule.input_bias.fill_(float("nan"))
    with pytest.raises(NonFiniteLossError, match="not finite"):
        learner.train()(**random_batch("regression"))
