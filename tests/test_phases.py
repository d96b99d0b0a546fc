"""What a phase change does to the Trainer's own bookkeeping. Resuming, kills and processes: tests/invariants/test_cmaml.py."""

from __future__ import annotations

from pathlib import Path

from transformers import EarlyStoppingCallback

from hfmeta.episodes import EpisodeDataset, FixedEpisodes
from invariants.cmaml_runs import rows, trainer
from tiny import tiny_tokenizer


def watched(folder, *callbacks, **options):
    """The small run, evaluated and saved at each step; its rate is far too large, so that each step is worse than the first."""
    columns = {"task_column": "user", "input_column": "said", "target_column": "reply", "task_type": "seq2seq-lm"}
    users = EpisodeDataset(rows(), **columns, support=3, query=2, processing_class=tiny_tokenizer())
    settings = {
        "learning_rate": 0.5,
        "eval_strategy": "steps",
        "eval_steps": 1,
        "save_steps": 1,
        "metric_for_best_model": "query_loss",
        "greater_is_better": False,
    }
    return trainer(folder, *callbacks, eval_dataset=FixedEpisodes(users, 4), **{**settings, **options})


def losses_of(run):
    return {entry["step"]: entry["eval_query_loss"] for entry in run.state.log_history if "eval_query_loss" in entry}


def test_the_best_model_is_one_of_joint_training(tmp_path):
    run = watched(tmp_path, load_best_model_at_end=True)
    run.train()
    losses = losses_of(run)
    joint = {step: loss for step, loss in losses.items() if step > 3}
    best = min(joint, key=joint.__getitem__)
    assert min(losses, key=losses.__getitem__) <= 3, "the pretrained model is the better one, and must not win"
    assert Path(run.state.best_model_checkpoint).name == f"checkpoint-{best}"
    assert run.learner.private.ready
    assert run.evaluate()["eval_query_loss"] == losses[best]


def test_patience_starts_afresh_with_joint_training(tmp_path):
    run = watched(tmp_path, EarlyStoppingCallback(early_stopping_patience=3))
    run.train()
    losses = losses_of(run)
    assert losses[1] < min(losses[2], losses[3], losses[4]), "without a fresh start it would have stopped at step 4"
    assert run.state.global_step > 4
