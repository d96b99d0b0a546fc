"""The truth table for ragged tasks: rows that fill a smaller task up to the batch's size change no gradient.

`collate_episodes` makes such rows (labels -100, one attended token) for tokens with whole-number labels. Regression and images
have none: their ragged sets are refused (tests/episodes/test_collation.py).
"""

from __future__ import annotations

import functools

import pytest
import torch
from torch.nn.functional import cross_entropy

from hfmeta.algorithms import Maml
from hfmeta.episodes import collate_episodes
from hfmeta.learner import MetaLearner
from tiny import random_batch, tiny_bert, tiny_gpt2, with_lora
from truth import of_model, outer_gradient, relative_gap, unroll

ROWS = ((5, 4), (2, 1), (4, 2))
"""Support and query rows of the three tasks."""
LR = 0.1


def double_loss(logits, labels, vocab_size, **_):
    """The loss of GPT-2 as transformers has it, but in the precision of the logits: theirs is single at all times."""
    return cross_entropy(logits[..., :-1, :].flatten(0, -2), labels[..., 1:].flatten(), ignore_index=-100)


def gpt2(loss_function=double_loss, **config):
    model = tiny_gpt2(dtype=torch.float64, **config)
    model.loss_function = loss_function or model.loss_function
    return model


def bert(**config):
    return tiny_bert(num_labels=2, dtype=torch.float64, **config)


MODELS = {
    "bert": (bert, "sequence-classification"),
    "bert-lora": (lambda **config: with_lora(bert(**config)), "sequence-classification"),
    "gpt2": (gpt2, "causal-lm"),
    "gpt2-single": (functools.partial(gpt2, None), "causal-lm"),
    "gpt2-lora": (lambda **config: with_lora(gpt2(**config)), "causal-lm"),
}
ALL = ("looped", "vectorised")
CASES = [
    ("bert", "all", ALL, {}),
    ("bert", "classifier|LayerNorm|query|value", (*ALL, "batched"), {}),
    ("bert", "head", (*ALL, "batched"), {}),
    ("bert", "head", (*ALL, "batched"), {"head": "prototype"}),
    ("bert-lora", "all", (*ALL, "batched"), {}),
    ("gpt2", "all", ALL, {}),
    ("gpt2-single", "all", ALL, {}),
    ("gpt2-lora", "all", (*ALL, "batched"), {}),
]
VARIANTS = [
    (model, adapt, evaluator, tuple(options.items()))
    for model, adapt, evaluators, options in CASES
    for evaluator in evaluators
]
MODES = [{"backward": "full"}, {"backward": "recompute"}, {"order": 1}]


def made(model, adapt, options, mode, attention="sdpa"):
    algorithm = Maml(inner_steps=2, inner_lr=LR, adapt=adapt, **dict(options), **mode)
    return MetaLearner(MODELS[model][0](attn_implementation=attention), algorithm)


@functools.cache
def episodes(task_type):
    """Tasks of different size; each holds every class, and rows of different length."""
    batch = random_batch(task_type, T=len(ROWS), C=2, seed=1)
    cut = [
        {
            part: {name: value[t, :count] for name, value in batch[part].items()}
            for part, count in zip(("support", "query"), counts, strict=True)
        }
        for t, counts in enumerate(ROWS)
    ]
    if task_type == "sequence-classification":
        assert all(len(one["support"]["labels"].unique()) == 2 for one in cut)
    return [{**one, "task": t} for t, one in enumerate(cut)]


@functools.cache
def one_by_one(model, adapt, options, order):
    """The mean over tasks of the loss and gradient of each task alone, its own rows only: an independent unroll.

    The unroll knows no prototypes; there it is our loop, whose gradient on such tasks test_gradients.py holds to finite differences.
    """
    found = []
    for episode in episodes(MODELS[model][1]):
        batch = collate_episodes([episode])
        learner = made(model, adapt, options, {"order": order, "evaluator": "looped", "backward": "full"}, "eager")
        if options:
            loss, grads = outer_gradient(learner, batch)
            found.append((loss, of_model(grads)))
        else:
            found.append(unroll(learner.model, learner.moving.names, batch, 2, LR, order))
    loss = torch.stack([loss for loss, _ in found]).mean()
    return loss, {name: torch.stack([grads[name] for _, grads in found]).mean(0) for name in found[0][1]}


@pytest.mark.parametrize("mode", MODES, ids=["full", "recompute", "first-order"])
@pytest.mark.parametrize(("model", "adapt", "evaluator", "options"), VARIANTS)
def test_padded_rows_change_nothing(model, adapt, evaluator, options, mode):
    batch = collate_episodes(episodes(MODELS[model][1]))
    for part, column in (("support", 0), ("query", 1)):
        assert batch[part]["labels"].shape[1] == max(counts[column] for counts in ROWS)
        for t, counts in enumerate(ROWS):
            assert (batch[part]["labels"][t, counts[column] :] == -100).all()
            assert (batch[part]["attention_mask"][t, counts[column] :].sum(-1) == 1).all()
    loss, expected = one_by_one(model, adapt, options, mode.get("order", 2))
    found_loss, found = outer_gradient(made(model, adapt, options, {**mode, "evaluator": evaluator}), batch)
    tolerance = 1e-6 if model == "gpt2-single" else 1e-10
    assert abs(found_loss - loss) <= tolerance * abs(loss)
    assert relative_gap(of_model(found), expected) <= tolerance
