"""MetaLearner: losses and scores of a batch, tasks in parts, tasks that explode, and modes."""

from __future__ import annotations

import pytest
import torch

from hfmeta import Maml, MamlPlusPlus, MetaLearner
from hfmeta.inner.errors import NonFiniteLossError
from saving import LEARNERS, TEXT, make_learner
from tiny import random_batch, tiny_bert, tiny_mlp


def exploding(tasks=3, bad=1):
    """A batch in which one task's inner loss is not finite: its targets are infinite."""
    batch = random_batch("regression", T=tasks)
    batch["support"]["labels"][bad] = float("inf")
    return batch


@pytest.mark.parametrize("name", LEARNERS)
def test_forward_and_scores_agree(name):
    learner, batch = make_learner(name), random_batch(LEARNERS[name][0], T=3)
    steps = learner.algorithm.eval_steps
    scores = learner.scores(**batch)
    assert scores["loss"].shape == (3, steps + 1)
    found = learner(**batch)
    torch.testing.assert_close(found["task_losses"], scores["loss"][:, -1], rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(found["loss"], found["task_losses"].mean())
    assert ("accuracy" in scores) == LEARNERS[name][0].endswith("classification")
    assert ("logits" in scores) == (not LEARNERS[name][0].endswith("-lm"))
    learner.train()
    loss = learner(**batch)["loss"]
    torch.testing.assert_close(loss.detach(), found["loss"].detach(), rtol=1e-5, atol=1e-6)
    loss.backward()
    assert any(value.grad is not None and value.grad.abs().sum() > 0 for value in learner.parameters())


def test_tasks_in_parts_give_the_same():
    batch = random_batch(TEXT, T=5)
    whole, parts = (MetaLearner(tiny_bert(), Maml(inner_lr=0.1, tasks_per_pass=size)).train() for size in (None, 2))
    one, other = whole(**batch), parts(**batch)
    torch.testing.assert_close(one["task_losses"], other["task_losses"], rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(whole.scores(**batch)["logits"], parts.scores(**batch)["logits"], rtol=1e-4, atol=1e-5)


def test_a_task_that_explodes_stops_or_is_left_out(caplog):
    batch = exploding()
    batch["task"] = torch.tensor([10, 11, 12])
    with pytest.raises(NonFiniteLossError, match=r"support loss at inner step 0 of task\(s\) \[11\]"):
        MetaLearner(tiny_mlp(), Maml(inner_lr=0.1)).train()(**batch)
    learner = MetaLearner(tiny_mlp(), Maml(inner_lr=0.1, on_nonfinite="skip")).train()
    found = learner(**batch)
    assert found["task_losses"].shape == (2,)
    assert learner.skipped == 1
    assert "[11]" in caplog.text
    batch["support"]["labels"][:] = float("inf")
    nothing = learner(**batch)
    assert nothing["loss"] == 0
    nothing["loss"].backward()
    assert all(value.grad is not None for value in learner.model.parameters())


def test_scores_of_a_task_that_explodes_are_nan_from_there_on():
    batch = exploding()
    scores = MetaLearner(tiny_mlp(), Maml(inner_steps=2, inner_lr=0.1)).scores(**batch)["loss"]
    assert torch.isfinite(scores[[0, 2]]).all()
    assert torch.isfinite(scores[1, 0])
    assert scores[1, 1:].isnan().all()


def test_the_model_stays_in_evaluation_mode_unless_dropout_is_on():
    for dropout in (False, True):
        learner = MetaLearner(tiny_bert(), Maml(), dropout=dropout).train()
        assert learner.training
        assert learner.model.training is dropout
        learner.scores(**random_batch(TEXT))
        assert learner.training
        assert learner.model.training is dropout


def test_every_step_counts_until_its_share_of_the_run():
    batch = random_batch(TEXT)
    learner = MetaLearner(tiny_bert(), MamlPlusPlus(inner_steps=2, inner_lr=0.1)).train()
    curve = learner.scores(**batch)["loss"].mean(0)
    torch.testing.assert_close(learner(**batch)["loss"].detach(), curve[1:].mean(), rtol=1e-5, atol=1e-6)
    learner.progress = 0.5
    torch.testing.assert_close(learner(**batch)["loss"].detach(), curve[2], rtol=1e-5, atol=1e-6)
    assert learner.config is learner.model.config
