"""Clusters of a learner: added, saved and found again; too many for the tasks; portraits of tasks; and runs that resume."""

from __future__ import annotations

import logging

import numpy as np
import pytest
import torch
from datasets import Dataset

from hfmeta import EpisodeDataset, FixedEpisodes, Hsml, HsmlTrainer, Maml, MetaConfig, MetaLearner
from hfmeta.corpora import FunctionFamilies
from hfmeta.inner.errors import HfmetaError
from hfmeta.learner import add_clusters, check_clusters, task_portraits
from invariants.runs import StopAt
from tiny import random_batch, tiny_mlp


def hsml(**options):
    torch.manual_seed(0)
    options = {"size": 4, "encoder_size": 3, "tree": [3, 2, 1], "inner_steps": 2, "inner_lr": 0.01, **options}
    return MetaLearner(tiny_mlp(), Hsml(**options))


def trainer(folder, learner, *callbacks, steps=4):
    args = MetaConfig(
        output_dir=str(folder),
        max_steps=steps,
        per_device_train_batch_size=3,
        learning_rate=1e-2,
        save_steps=2,
        report_to="none",
        use_cpu=True,
        disable_tqdm=True,
        dataloader_pin_memory=False,
        logging_steps=1,
    )
    episodes = EpisodeDataset(FunctionFamilies(5, 5), seed=3, length=9)
    return HsmlTrainer(learner, args, train_dataset=episodes, callbacks=list(callbacks))


def tensors(learner):
    return {name: value.detach().clone() for name, value in learner.state_dict().items()}


def test_a_wider_tree_is_saved_and_opened(tmp_path):
    learner = hsml()
    before = tensors(learner)
    add_clusters(learner, 2, seed=1)
    assert learner.algorithm.tree == [5, 2, 1]
    for name, value in tensors(learner).items():
        assert torch.equal(value[: len(before[name])] if value.dim() else value, before[name])
    trainer(tmp_path / "run", learner, steps=2).train()
    learner.save_pretrained(tmp_path / "saved")
    again = MetaLearner.from_pretrained(tmp_path / "saved")
    assert again.init.tree.widths == again.algorithm.tree == [5, 2, 1]
    support = {name: value[0] for name, value in random_batch("regression")["support"].items()}
    one, other = (made.adapt(support).state_dict() for made in (learner, again))
    assert all(torch.equal(value, other[name]) for name, value in one.items())


def test_the_new_clusters_depend_on_their_seed_alone():
    made = []
    for seed in (1, 1, 2):
        learner = hsml()
        add_clusters(learner, 1, seed)
        made.append(learner.init.tree.levels[0].centres[-1])
    assert torch.equal(made[0], made[1])
    assert not torch.equal(made[0], made[2])


def test_clusters_need_a_tree_and_a_gate():
    with pytest.raises(HfmetaError, match=r"no tree \(tree=\[\]\)"):
        add_clusters(hsml(tree=[]), 1)
    with pytest.raises(HfmetaError, match="Maml has no task gate, so no clusters; that is what Hsml has"):
        add_clusters(MetaLearner(tiny_mlp(), Maml()), 1)


def test_more_clusters_than_tasks_are_told(caplog, tmp_path):
    rows = Dataset.from_dict({"task": ["a"] * 6 + ["b"] * 6, "x": np.arange(12.0).tolist(), "y": np.ones(12).tolist()})
    episodes = EpisodeDataset(
        rows, task_column="task", input_column="x", target_column="y", support=2, query=2, task_type="regression"
    )
    args = MetaConfig(output_dir=str(tmp_path), report_to="none", use_cpu=True)
    with caplog.at_level(logging.WARNING, "hfmeta.learner.clusters"):
        HsmlTrainer(hsml(), args, train_dataset=episodes)
    assert [record.getMessage() for record in caplog.records] == [
        "the tree has 3 clusters at its first level and there are 2 training tasks or classes: clusters cannot stand for kinds of "
        "tasks. Use at most 2, or more tasks."
    ]
    caplog.clear()
    with caplog.at_level(logging.WARNING, "hfmeta.learner.clusters"):
        check_clusters(hsml(), 3)
        check_clusters(hsml(), 0)
        check_clusters(hsml(tree=[]), 1)
    assert not caplog.records


def test_portraits_of_tasks():
    learner = hsml().train()
    episodes = FixedEpisodes(EpisodeDataset(FunctionFamilies(5, 5)), 7)
    before = tensors(learner)
    found = task_portraits(learner, episodes, batch_size=3)
    assert found.embedding.shape == (7, 4)
    assert [level.shape for level in found.clusters] == [(7, 3), (7, 2)]
    for level in found.clusters:
        np.testing.assert_allclose(level.sum(1), 1, rtol=1e-6)
    assert set(found.gates) == set(learner.moving.names)
    assert all(values.shape == (7,) and (values > 0).all() and (values < 1).all() for values in found.gates.values())
    assert learner.training
    assert all(torch.equal(value, before[name]) for name, value in tensors(learner).items())
    alone = task_portraits(learner, episodes, batch_size=7)
    np.testing.assert_allclose(alone.embedding, found.embedding, rtol=1e-5, atol=1e-7)
    assert task_portraits(hsml(tree=[]), episodes).clusters == []


def test_stopped_and_resumed_equals_uninterrupted(tmp_path):
    whole = hsml()
    trainer(tmp_path / "whole", whole).train()
    start = tensors(hsml())
    assert any("init" in name and not torch.equal(value, start[name]) for name, value in tensors(whole).items())
    trainer(tmp_path / "parts", hsml(), StopAt(2, "stop")).train()
    torch.manual_seed(5)
    again = hsml()
    trainer(tmp_path / "parts", again).train(resume_from_checkpoint=str(tmp_path / "parts" / "checkpoint-2"))
    found = tensors(again)
    assert [name for name, value in tensors(whole).items() if not torch.equal(value, found[name])] == []


def test_the_trainer_logs_the_use_of_clusters_and_is_hsml_by_default(tmp_path):
    run = trainer(tmp_path, hsml(), steps=2)
    run.train()
    logged = [entry for entry in run.state.log_history if "loss" in entry]
    assert {"cluster_1.1", "cluster_1.3", "cluster_2.2"} <= set(logged[-1])
    args = MetaConfig(output_dir=str(tmp_path / "default"), report_to="none", use_cpu=True)
    assert isinstance(HsmlTrainer(tiny_mlp(), args, train_dataset=run.train_dataset).learner.algorithm, Hsml)
