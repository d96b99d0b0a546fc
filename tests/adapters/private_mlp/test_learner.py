"""A MetaLearner over private adapters: exact meta-gradients, and its files."""

from __future__ import annotations

import pytest
import torch
from peft import PeftModel

from hfmeta import Maml, MetaLearner
from hfmeta.publishing.models import ADAPTER_TENSORS
from private import MODELS, logits, private, prune, rows_of
from saving import same_adaptation
from tiny import random_batch, tiny_lstm, tiny_tokenizer
from truth import central_difference, of_model, outer_gradient, random_direction, relative_gap, unroll

TEXTS = ["bert", "gpt2", "t5", "seq2spg"]
EXACT = {"bert", "seq2spg"}
"""Models whose loss is in double precision; transformers computes those of GPT-2 and T5 in single."""


def built(name, **options):
    own = {} if name == "seq2spg" else {"attn_implementation": "eager"}
    return private(MODELS[name][0](dtype=torch.float64, **own), **options)


def learner_of(name, **options):
    model = MODELS[name][0](dtype=torch.float64)
    return MetaLearner(private(model), Maml(inner_steps=2, inner_lr=0.1, adapt="adapter", **options))


@pytest.mark.parametrize("name", TEXTS)
@pytest.mark.parametrize("order", [1, 2])
def test_the_gradient_equals_an_independent_unroll(name, order):
    batch = random_batch(MODELS[name][1], dtype=torch.float64)
    reference = built(name)
    adapted = [key for key, value in reference.named_parameters() if value.requires_grad]
    loss, expected = unroll(reference.train(), adapted, batch, 2, 0.1, order)
    limit = 1e-9 if name in EXACT else 1e-5
    for options in ({"evaluator": "looped"}, {"evaluator": "auto"}, {"backward": "recompute"}):
        found_loss, found = outer_gradient(learner_of(name, order=order, **options), batch)
        assert abs(found_loss - loss) <= limit * abs(loss)
        assert relative_gap(of_model(found), expected) < limit


@pytest.mark.parametrize("name", sorted(EXACT))
def test_the_gradient_equals_finite_differences(name):
    learner, batch = learner_of(name, order=2), random_batch(MODELS[name][1], dtype=torch.float64)
    _, grads = outer_gradient(learner, batch)
    direction = random_direction(learner)
    told = sum((grads[key] * along).sum().item() for key, along in direction.items())
    seen = [central_difference(learner, batch, direction, step) for step in (1e-4, 1e-5, 1e-6)]
    assert min(abs(told - slope) for slope in seen) <= 1e-6 * max(1e-2, abs(told))


@pytest.mark.parametrize("name", TEXTS)
@pytest.mark.parametrize("sparse", [False, True])
def test_a_learner_folder_opens_again(name, sparse, tmp_path):
    model = private(MODELS[name][0](), hidden_sizes=[24, 24], sparse=sparse)
    if sparse:
        prune(model)
    learner = MetaLearner(model, Maml(inner_lr=0.1, order=1, adapt="adapter"), processing_class=tiny_tokenizer())
    learner.save_pretrained(tmp_path)
    again = MetaLearner.from_pretrained(tmp_path)
    assert (tmp_path / ADAPTER_TENSORS).is_file()
    assert torch.equal(logits(again.model, rows_of(name)), logits(model, rows_of(name)))
    assert same_adaptation(learner, again, MODELS[name][1])


def test_an_adapted_model_is_a_peft_folder(tmp_path):
    model = private(tiny_lstm())
    learner = MetaLearner(model, Maml(inner_lr=0.5, adapt="adapter"), processing_class=tiny_tokenizer())
    rows = rows_of("seq2spg")
    anna = learner.adapt(rows)
    assert not torch.equal(logits(anna, rows), logits(model, rows))
    learner.save_adapted(anna, tmp_path)
    again = PeftModel.from_pretrained(tiny_lstm().eval(), str(tmp_path))
    assert torch.equal(logits(again, rows), logits(anna, rows))
