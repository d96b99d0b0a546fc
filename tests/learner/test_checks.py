"""Every combination that would be wrong without a sound is refused by its sentence; lost tasks are named or counted."""

from __future__ import annotations

import pytest
import torch
from datasets import Dataset
from torch import nn

from hfmeta import EpisodeDataset, FixedEpisodes, MetaConfig, MetaTrainer
from hfmeta.algorithms import Anil, Maml
from hfmeta.inner import HfmetaError, NonFiniteLossError, UnusedParameterError
from hfmeta.learner import MetaLearner
from tiny import random_batch, tiny_bert, tiny_conv4, tiny_gpt2, tiny_mlp, tiny_tokenizer
from truth import outer_gradient, relative_gap


def test_gradient_checkpointing_is_refused(tmp_path):
    model = tiny_bert()
    model.activation_checkpointing_enable()
    with pytest.raises(HfmetaError, match="the model has gradient checkpointing on"):
        MetaLearner(model, Maml())
    with pytest.raises(HfmetaError, match="gradient_checkpointing=True gives a silently wrong gradient"):
        MetaConfig(output_dir=str(tmp_path), gradient_checkpointing=True)


def test_names_in_the_place_of_things_are_told():
    with pytest.raises(HfmetaError, match="a learner is made of a model, received 'bert-base-uncased'. Open it: "):
        MetaLearner("bert-base-uncased", Maml())
    with pytest.raises(HfmetaError, match=r"as Maml\(inner_steps=3, inner_lr=0.1\); received 'maml'"):
        MetaLearner(tiny_bert(), "maml")
    with pytest.raises(HfmetaError, match=r"with its options, as Anil\("):
        MetaLearner(tiny_bert(), Anil)


@pytest.mark.parametrize("fixed", [False, True])
def test_more_classes_than_the_head_has_outputs(fixed, tmp_path):
    rows = [{"text": f"the card {i}", "label": f"l{i % 5}"} for i in range(20)]
    columns = {"label_column": "label", "input_column": "text", "processing_class": tiny_tokenizer()}
    episodes = EpisodeDataset.n_way(Dataset.from_list(rows), n_way=5, k_shot=1, query=1, **columns)
    given = {"eval_dataset": FixedEpisodes(episodes, 2)} if fixed else {"train_dataset": episodes}
    args = MetaConfig(output_dir=str(tmp_path), report_to="none")
    with pytest.raises(HfmetaError, match=r"5 classes \(n_way\), and the head .* 2 outputs: open it with num_labels=5"):
        MetaTrainer(tiny_bert(num_labels=2), args, algorithm=Maml(), **given)
    MetaTrainer(tiny_bert(num_labels=5), args, algorithm=Maml(), **given)


def test_half_precision_with_an_exact_gradient_is_refused():
    with pytest.raises(HfmetaError, match=r"exact gradient \(order=2\) in float16 overflows"):
        MetaLearner(tiny_bert(dtype=torch.float16), Maml())
    MetaLearner(tiny_bert(dtype=torch.float16), Maml(order=1))


def test_running_statistics_are_refused():
    model = tiny_conv4()
    model.blocks[0].norm = nn.BatchNorm2d(4)
    with pytest.raises(HfmetaError, match="blocks.0.norm is a batch norm .* that were never filled"):
        MetaLearner(model, Maml())
    with pytest.raises(HfmetaError, match="would carry one task's data to the next"):
        MetaLearner(model, Maml(), dropout=True)


def test_an_unused_adapted_tensor_is_named():
    model = tiny_mlp()
    model.idle = nn.Parameter(torch.ones(2))
    with pytest.raises(UnusedParameterError, match="1 adapted tensor.s.: idle"):
        MetaLearner(model, Maml(evaluator="looped")).train()(**random_batch("regression"))


@pytest.mark.parametrize(
    ("build", "task_type", "sentence"),
    [(tiny_conv4, "image-classification", "batch statistics"), (tiny_gpt2, "causal-lm", "Conv1D|Embedding")],
)
def test_batched_is_refused_where_it_cannot_work(build, task_type, sentence):
    learner = MetaLearner(build(), Maml(evaluator="batched")).train()
    with pytest.raises(HfmetaError, match=sentence):
        learner(**random_batch(task_type))


def broken_batch():
    batch = random_batch("regression", T=3, dtype=torch.float64)
    batch["support"]["labels"][1, 0] = float("nan")
    batch["task"] = torch.tensor([10, 11, 12])
    return batch


def test_a_loss_that_is_not_finite_names_task_and_step():
    with pytest.raises(NonFiniteLossError, match=r"support loss at inner step 0 of task\(s\) \[11\] is not finite"):
        MetaLearner(tiny_mlp(dtype=torch.float64), Maml()).train()(**broken_batch())


def test_skipping_counts_and_gives_the_gradient_of_the_others():
    learner = MetaLearner(tiny_mlp(dtype=torch.float64), Maml(on_nonfinite="skip"))
    batch = broken_batch()
    loss, grads = outer_gradient(learner, batch)
    assert learner.skipped == 1
    kept = {part: {name: rows[[0, 2]] for name, rows in batch[part].items()} for part in ("support", "query")}
    expected_loss, expected = outer_gradient(learner, {**kept, "task": batch["task"][[0, 2]]})
    assert abs(loss - expected_loss) < 1e-12
    assert relative_gap(grads, expected) < 1e-12


def test_with_all_tasks_skipped_the_gradient_is_zero():
    learner = MetaLearner(tiny_mlp(dtype=torch.float64), Maml(on_nonfinite="skip")).train()
    batch = broken_batch()
    batch["support"]["labels"].fill_(float("nan"))
    learner(**batch)["loss"].backward()
    assert learner.skipped == 3
    assert all(value.grad is not None and not value.grad.any() for value in learner.parameters())


def test_a_sharded_configuration_and_fp16_are_refused(tmp_path):
    with pytest.raises(HfmetaError, match="shards the adapted tensors"):
        MetaConfig(output_dir=str(tmp_path), fsdp="full_shard", use_cpu=True)
    args = MetaConfig(output_dir=str(tmp_path), use_cpu=True, report_to="none")
    args.fp16 = True
    with pytest.raises(HfmetaError, match="fp16=True overflows"):
        MetaTrainer(tiny_mlp(), args, algorithm=Maml())
