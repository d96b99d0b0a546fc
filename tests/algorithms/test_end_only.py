"""Reptile and implicit MAML: what they refuse, what they take in training and in the test, and a run that resumes bit for bit."""

from __future__ import annotations

import pytest
import torch

from hfmeta import ImplicitMaml, MetaConfig, MetaLearner, MetaTrainer, Reptile
from hfmeta.corpora import Sinusoid
from hfmeta.episodes import EpisodeDataset
from hfmeta.inner import HfmetaError
from hfmeta.inner.rules import Adam, Clip, Sgd
from invariants.runs import StopAt, tensors
from tiny import random_batch, tiny_mlp

THETA = {"head.weight": torch.ones(2, 3)}


@pytest.mark.parametrize(
    ("cls", "options", "words"),
    [
        (ImplicitMaml, {"lam": 0.0}, "lam must be a positive number, not 0.0"),
        (ImplicitMaml, {"cg_steps": 0}, "cg_steps must be a whole number of at least 1, not 0"),
        (ImplicitMaml, {"damping": -0.1}, "damping must be zero or more, not -0.1"),
        (ImplicitMaml, {"test_lam": -1.0}, "test_lam must be zero or more, not -1.0"),
        (ImplicitMaml, {"proximal": "first"}, "proximal must be 'every_step' or 'last', not 'first'"),
        (ImplicitMaml, {"order": 1}, "ImplicitMaml: order=1 says how the outer gradient goes through the inner steps"),
        (ImplicitMaml, {"query_loss": "every_step"}, "query_loss='every_step' says how .* depends on their end alone"),
        (ImplicitMaml, {"first_order_until": 0.5}, "first_order_until=0.5 says how"),
        (
            ImplicitMaml,
            {"inner_batch_size": 5},
            "inner_batch_size=5 cannot be had, since the Hessian is that of the whole",
        ),
        (ImplicitMaml, {"inner_l1": 0.1}, "inner_l1=0.1 cannot be had, since the inner problem must be smooth"),
        (ImplicitMaml, {"inner_steps": 0, "head": "prototype"}, "inner_steps must be at least 1"),
        (Reptile, {"order": 2}, "Reptile: order=2 says how"),
        (
            Reptile,
            {"backward": "recompute", "query_loss": "every_step"},
            "backward='recompute', query_loss='every_step' says",
        ),
        (Reptile, {"optimiser": "adamw"}, "optimiser must be 'adam' or 'sgd', not 'adamw'"),
        (Reptile, {"beta2": 1.0}, "beta2 is a number from 0 up to, not including, 1, not 1.0"),
        (Reptile, {"head": "prototype"}, "Reptile: head=.prototype. makes the head from features"),
    ],
)
def test_bad_options(cls, options, words):
    with pytest.raises(HfmetaError, match=words):
        cls(**options)


def test_learned_rates_are_no_option():
    for cls in (ImplicitMaml, Reptile):
        with pytest.raises(HfmetaError, match=f"{cls.__name__} has no option rates"):
            cls.from_dict({"rates": "tensor"})


def test_rules_and_words():
    assert isinstance(Reptile().rule(THETA), Adam)
    assert Reptile().rule(THETA).betas == (0.0, 0.999)
    assert isinstance(Reptile(optimiser="sgd").rule(THETA), Sgd)
    assert isinstance(ImplicitMaml(inner_clip=1.0).rule(THETA), Clip)
    assert (Reptile().meta_gradient, ImplicitMaml().meta_gradient) == ("difference", "implicit")


def test_the_proximal_term_has_its_own_weight_in_the_test():
    batch = random_batch("regression", dtype=torch.float64)
    losses = {}
    for name, options in {
        "same": {},
        "without": {"test_lam": 0.0},
        "after": {"proximal": "last"},
        "after, without": {"proximal": "last", "test_lam": 0.0},
    }.items():
        learner = MetaLearner(tiny_mlp(dtype=torch.float64), ImplicitMaml(inner_steps=4, inner_lr=0.05, **options))
        losses[name] = learner.scores(**batch)["loss"]
        assert torch.allclose(learner.train()(**batch)["task_losses"], losses[name][:, -1]) is (
            options.get("test_lam") is None
        )
    assert torch.equal(losses["without"], losses["after, without"])
    assert torch.equal(losses["after"][:, :4], losses["without"][:, :4])
    assert not torch.allclose(losses["after"][:, 4], losses["without"][:, 4])
    assert not torch.allclose(losses["same"], losses["without"])


def trainer(folder, algorithm, *callbacks, **options):
    settings = {
        "output_dir": str(folder),
        "max_steps": 4,
        "per_device_train_batch_size": 2,
        "learning_rate": 0.5,
        "optim": "sgd",
        "save_steps": 2,
        "report_to": "none",
        "use_cpu": True,
        "disable_tqdm": True,
        "dataloader_pin_memory": False,
    }
    return MetaTrainer(
        tiny_mlp(),
        MetaConfig(**(settings | options)),
        algorithm=algorithm,
        train_dataset=EpisodeDataset(Sinusoid(6, 5), seed=3, length=10),
        callbacks=list(callbacks),
    )


@pytest.mark.parametrize(
    "algorithm",
    [
        Reptile(inner_steps=2, inner_batch_size=3, inner_lr=0.01),
        ImplicitMaml(inner_steps=3, inner_lr=0.01, damping=0.1),
    ],
    ids=["reptile", "implicit"],
)
def test_stopped_and_resumed_equals_uninterrupted(tmp_path, algorithm):
    whole = trainer(tmp_path / "whole", algorithm, save_strategy="no")
    start = tensors(whole)
    whole.train()
    expected = tensors(whole)
    assert any(not torch.equal(value, start[name]) for name, value in expected.items())
    trainer(tmp_path / "parts", algorithm, StopAt(2, "stop")).train()
    again = trainer(tmp_path / "parts", algorithm)
    again.train(resume_from_checkpoint=str(tmp_path / "parts" / "checkpoint-2"))
    assert [name for name, value in tensors(again).items() if not torch.equal(value, expected[name])] == []
