"""MetaTrainer on tiny problems: it learns, reports, stops at bad settings, and the example of the documentation runs."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from datasets import Dataset
from transformers import AutoModelForSeq2SeqLM

from hfmeta import EpisodeDataset, FixedEpisodes, HfmetaError, Maml, MamlTrainer, MetaConfig, MetaLearner, MetaTrainer
from saving import TEXT, same_adaptation
from tiny import random_batch, tiny_bert, tiny_mlp, tiny_t5, tiny_tokenizer


def lines(seed=0, tasks=16, rows=10):
    """Rows of tasks y = a x + b, each with its own a and b."""
    rng = np.random.default_rng(seed)
    table = {"line": [], "x": [], "y": []}
    for task in range(tasks):
        slope, offset = rng.normal(size=2)
        for x in rng.uniform(-1, 1, rows):
            table["line"].append(f"line {seed} {task}")
            table["x"].append(x)
            table["y"].append(slope * x + offset)
    return Dataset.from_dict(table)


def episodes(seed=0):
    return EpisodeDataset(
        lines(seed), task_column="line", input_column="x", target_column="y", support=5, query=5, seed=seed
    )


def config(folder, **options):
    defaults = dict(
        per_device_train_batch_size=4, report_to="none", use_cpu=True, disable_tqdm=True, learning_rate=0.01
    )
    return MetaConfig(output_dir=str(folder), **(defaults | options))


def line_trainer(folder, algorithm=None, **options):
    return MamlTrainer(
        tiny_mlp(),
        config(folder, **options),
        algorithm=algorithm or Maml(inner_steps=2, inner_lr=0.1),
        train_dataset=episodes(),
        eval_dataset=episodes(1),
    )


def test_training_lowers_the_loss_after_adaptation_and_is_deterministic(tmp_path):
    found = []
    for run in range(2):
        trainer = line_trainer(tmp_path / str(run), num_train_epochs=25, save_strategy="no")
        before = trainer.evaluate()
        trainer.train()
        found.append((trainer.evaluate(), [value.clone() for value in trainer.learner.parameters()]))
    after = found[0][0]
    assert after["eval_query_loss"] < 0.5 * before["eval_query_loss"]
    assert after["eval_query_loss"] < after["eval_query_loss_before"]
    assert after["eval_tasks"] == 16
    assert after["eval_nonfinite_tasks"] == 0
    keys = {"query_loss", "query_loss_ci95", "query_loss_before", "query_loss_gain", "query_loss_gain_ci95", "loss"}
    assert {f"eval_{key}" for key in keys} <= set(after)
    assert after["eval_query_loss"] == found[1][0]["eval_query_loss"]
    assert all(torch.equal(a, b) for a, b in zip(found[0][1], found[1][1], strict=True))


def test_evaluation_of_classification_has_accuracies(tmp_path):
    rows = [
        {half: {key: value[0] for key, value in batch[half].items()} for half in ("support", "query")} | {"task": seed}
        for seed in range(3)
        for batch in [random_batch(TEXT, T=1, seed=seed)]
    ]
    trainer = MamlTrainer(tiny_bert(), config(tmp_path), algorithm=Maml(inner_steps=2, inner_lr=0.1), eval_dataset=rows)
    metrics = trainer.evaluate()
    keys = {"accuracy", "accuracy_ci95", "accuracy_before", "accuracy_gain", "accuracy_gain_ci95", "query_loss"}
    assert {f"eval_{key}" for key in keys} <= set(metrics)
    scores = trainer.task_scores(rows)
    assert scores["loss"].shape == scores["accuracy"].shape == (3, 3)
    assert metrics["eval_accuracy"] == pytest.approx(scores["accuracy"][:, -1].mean())
    one = trainer.learner.scores(
        *({k: v.unsqueeze(0) for k, v in rows[1][half].items()} for half in ("support", "query"))
    )
    np.testing.assert_allclose(scores["loss"][1], one["loss"][0], rtol=1e-5)


def test_the_best_model_comes_back_at_the_end(tmp_path):
    trainer = line_trainer(
        tmp_path,
        max_steps=8,
        learning_rate=0.5,  # far too large: later checkpoints are worse
        eval_strategy="steps",
        eval_steps=1,
        save_steps=1,
        load_best_model_at_end=True,
        metric_for_best_model="query_loss",
        greater_is_better=False,
    )
    trainer.train()
    losses = {
        entry["step"]: entry["eval_query_loss"] for entry in trainer.state.log_history if "eval_query_loss" in entry
    }
    best = min(losses, key=losses.__getitem__)
    assert Path(trainer.state.best_model_checkpoint).name == f"checkpoint-{best}"
    assert best != 8
    assert trainer.evaluate()["eval_query_loss"] == losses[best]


def test_checkpoints_are_learner_folders_and_hold_no_pickles_of_ours(tmp_path):
    trainer = line_trainer(tmp_path / "run", max_steps=2, save_steps=2)
    trainer.train()
    folder = tmp_path / "run" / "checkpoint-2"
    mine = {path.name for path in folder.iterdir()}
    resume = {
        "optimizer.pt",
        "scheduler.pt",
        "rng_state.pth",
        "trainer_state.json",
        "training_args.bin",
        "checksums.json",
    }
    assert mine - resume == {
        "config.json",
        "model.safetensors",
        "hfmeta_config.json",
        "hfmeta.safetensors",
        "README.md",
    }
    assert same_adaptation(trainer.learner, MetaLearner.from_pretrained(folder), "regression")


def test_resuming_gives_the_uninterrupted_run(tmp_path):
    whole = line_trainer(tmp_path / "whole", Maml(inner_lr=0.1, rates="tensor"), max_steps=6, save_steps=3)
    whole.train()
    resumed = line_trainer(tmp_path / "other", Maml(inner_lr=0.1, rates="tensor"), max_steps=6, save_steps=3)
    resumed.train(resume_from_checkpoint=str(tmp_path / "whole" / "checkpoint-3"))
    pairs = zip(whole.learner.named_parameters(), resumed.learner.named_parameters(), strict=True)
    assert all(torch.equal(a, b) for (_, a), (_, b) in pairs)


def test_the_rule_has_a_rate_of_its_own(tmp_path):
    for given, expected in ((0.5, 0.5), (None, 0.01)):
        trainer = line_trainer(
            tmp_path, Maml(inner_lr=0.1, rates="tensor"), rule_learning_rate=given, weight_decay=0.1, max_steps=1
        )
        groups = trainer.create_optimizer().param_groups
        rule = list(trainer.learner.rule.parameters())
        assert [id(value) for value in groups[-1]["params"]] == [id(value) for value in rule]
        assert groups[-1]["lr"] == expected
        assert groups[-1]["weight_decay"] == 0.0
        everything = [id(value) for group in groups for value in group["params"]]
        assert sorted(everything) == sorted(id(value) for value in trainer.learner.parameters())
        assert trainer.create_optimizer() is trainer.optimizer


def test_accumulating_tasks_equals_one_batch(tmp_path):
    assert MetaTrainer.loss_is_scaled_for_ga is False
    values = []
    for size, parts in ((4, 1), (2, 2), (1, 4)):
        trainer = line_trainer(
            tmp_path, per_device_train_batch_size=size, gradient_accumulation_steps=parts, max_steps=3, save_strategy="no",
            logging_steps=1,
        )  # fmt: skip
        trainer.train()
        losses = [entry["loss"] for entry in trainer.state.log_history if "loss" in entry]
        values.append((torch.cat([value.flatten() for value in trainer.learner.parameters()]), losses))
    for other, losses in values[1:]:
        torch.testing.assert_close(other, values[0][0], rtol=1e-4, atol=1e-5)
        assert losses == pytest.approx(values[0][1], rel=1e-3)


def test_a_users_own_metrics_get_the_per_task_scores(tmp_path):
    seen = {}

    def metrics(prediction):
        seen.update(prediction.predictions)
        seen["labels"] = prediction.label_ids["labels"]
        return {"worst": float(prediction.predictions["loss"][:, -1].max())}

    trainer = MamlTrainer(tiny_mlp(), config(tmp_path), eval_dataset=episodes(1), compute_metrics=metrics)
    found = trainer.evaluate()
    assert seen["loss"].shape == (16, 2)
    assert seen["logits"].shape == seen["labels"].shape == (16, 5, 1)
    assert found["eval_worst"] == seen["loss"][:, -1].max()


def test_learned_rates_are_logged(tmp_path):
    trainer = line_trainer(tmp_path, Maml(inner_lr=0.1, rates="scalar"), max_steps=1, logging_steps=1)
    trainer.train()
    logged = trainer.state.log_history[0]
    assert set(trainer.learner.summary()) <= set(logged)
    assert trainer.learner.summary()


def test_refusals(tmp_path):
    # TrainingArguments itself asks for a GPU when fp16 is set; the trainer's check must not depend on that.
    half = config(tmp_path)
    half.fp16 = True
    with pytest.raises(HfmetaError, match="fp16=True overflows in the second derivatives"):
        MamlTrainer(tiny_mlp(), half, train_dataset=episodes())
    with pytest.raises(HfmetaError, match="pass algorithm=..., for example Maml"):
        MetaTrainer(tiny_mlp(), config(tmp_path), train_dataset=episodes())
    learner = MetaLearner(tiny_mlp(), Maml())
    with pytest.raises(HfmetaError, match="a MetaLearner has its algorithm already"):
        MetaTrainer(learner, config(tmp_path), algorithm=Maml(), train_dataset=episodes())


PERSONAS = {"anna": "yes", "ben": "no", "cora": "good", "dan": "bad"}


def dialogues(names):
    rows = [
        {"persona": name, "context": f"hello {letter}", "reply": f"{PERSONAS[name]} {letter}"}
        for name in names
        for letter in "abcdefgh"
    ]
    return Dataset.from_list(rows)


def test_the_example_of_the_documentation(tmp_path):
    base = tmp_path / "base"
    tiny_t5().save_pretrained(base)
    tokenizer = tiny_tokenizer()
    model = AutoModelForSeq2SeqLM.from_pretrained(base)
    columns = dict(task_column="persona", input_column="context", target_column="reply")
    train = EpisodeDataset(
        dialogues(["anna", "ben", "cora"]), **columns, support=4, query=4, processing_class=tokenizer, seed=0
    )
    dev = EpisodeDataset(dialogues(["dan"]), **columns, support=4, query=4, processing_class=tokenizer)
    trainer = MamlTrainer(
        model,
        args=config(tmp_path / "out", num_train_epochs=2),
        algorithm=Maml(inner_steps=3, inner_lr=0.1, order=2),
        train_dataset=train,
        eval_dataset=dev,
        processing_class=tokenizer,
    )
    trainer.train()
    trainer.save_model()
    assert "eval_query_loss" in trainer.evaluate()
    learner = MetaLearner.from_pretrained(tmp_path / "out")
    rows_of_anna = dialogues(["anna"]).select(range(3))
    anna = learner.adapt(rows_of_anna)
    told = tokenizer("hello z", return_tensors="pt")
    written = anna.generate(input_ids=told["input_ids"], attention_mask=told["attention_mask"], max_new_tokens=4)
    assert written.shape[0] == 1
    learner.save_adapted(anna, tmp_path / "anna")
    again = AutoModelForSeq2SeqLM.from_pretrained(tmp_path / "anna")
    for name, value in anna.state_dict().items():
        assert torch.equal(value, again.state_dict()[name]), name
    content = json.loads((tmp_path / "out" / "hfmeta_config.json").read_text())
    assert content["task_type"] == "seq2seq-lm"
    assert content["encoder"]["input_column"] == "context"


def test_fixed_episodes_evaluate(tmp_path):
    fixed = FixedEpisodes(episodes(1), 5)
    trainer = MamlTrainer(tiny_mlp(), config(tmp_path), eval_dataset={"near": fixed, "far": fixed})
    found = trainer.evaluate()
    assert found["eval_near_tasks"] == found["eval_far_tasks"] == 5


def test_what_runs_is_said(tmp_path, caplog):
    with caplog.at_level("INFO", logger="hfmeta.trainer"):
        line_trainer(tmp_path, gradient_accumulation_steps=2)
    assert "meta-gradient exact" in caplog.text
    assert "8 tasks an outer step: 4 in each of 1 process(es), accumulated 2 time(s)" in caplog.text


def test_tasks_that_explode_are_counted(tmp_path):
    metrics = line_trainer(tmp_path, Maml(inner_steps=4, inner_lr=1e30)).evaluate()
    assert metrics["eval_nonfinite_tasks"] == 16
    assert "eval_query_loss" not in metrics
