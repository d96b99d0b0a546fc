"""Checks of hfmeta/metrics/training.py on a task that a tiny model learns: whether two segments begin with the same word."""

from __future__ import annotations

import random

import numpy as np
import pytest
import torch
from datasets import ClassLabel, Dataset, Features, Value

from hfmeta.inner.errors import HfmetaError
from hfmeta.metrics import consistency_labels
from hfmeta.metrics.training import report_classifier, train_classifier
from tiny import WORDS, tiny_bert, tiny_tokenizer

NAMES = ["good", "bad", "lost"]


def rows(count=48, names=NAMES):
    features = Features({"text": Value("string"), "label": ClassLabel(names=names)})
    labels = [place % len(names) for place in range(count)]
    texts = [f"{names[label]} {WORDS[place % 10]}" for place, label in enumerate(labels)]
    return Dataset.from_dict({"text": texts, "label": labels}, features=features)


def trained(seed=0, **options):
    model = tiny_bert(num_labels=3, hidden_dropout_prob=0.1)
    settings = {"epochs": 8, "learning_rate": 5e-3, "batch_size": 8, "max_length": 16} | options
    return train_classifier(model, tiny_tokenizer(), rows(), ["text"], seed=seed, **settings)


def test_it_learns_and_names_its_classes():
    model = trained()
    report = report_classifier(model, tiny_tokenizer(), rows(30), ["text"])
    assert report.accuracy == report.balanced_accuracy == report.top5 == 1.0
    assert report.by_class == dict.fromkeys(NAMES, 1.0)
    assert report.rows_by_class == dict.fromkeys(NAMES, 10)
    assert model.config.id2label == {0: "good", 1: "bad", 2: "lost"}
    assert not model.training


def test_equal_seeds_give_equal_weights_and_nobody_elses_draws_change():
    before = random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state().tolist()
    first, second, other = trained(1, epochs=1), trained(1, epochs=1), trained(2, epochs=1)
    assert (random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state().tolist()) == before
    pairs = list(zip(first.parameters(), second.parameters(), other.parameters(), strict=True))
    assert all(torch.equal(a, b) for a, b, _ in pairs)
    assert not all(torch.equal(a, c) for a, _, c in pairs)


def test_embeddings_can_stay():
    before = tiny_bert(num_labels=3, hidden_dropout_prob=0.1).get_input_embeddings().weight
    assert torch.equal(trained(epochs=1, freeze_embeddings=True).get_input_embeddings().weight, before)
    assert not torch.equal(trained(epochs=1).get_input_embeddings().weight, before)


def test_the_report_by_hand():
    model = tiny_bert(num_labels=3)
    with torch.no_grad():
        model.classifier.weight.zero_()
        model.classifier.bias.copy_(torch.tensor([0.0, 1.0, 0.5]))
    report = report_classifier(model, tiny_tokenizer(), rows(6), ["text"])
    assert report.accuracy == pytest.approx(1 / 3)
    assert report.by_class == {"good": 0.0, "bad": 1.0, "lost": 0.0}
    assert report.confusion["lost"] == {"good": 0, "bad": 2, "lost": 0}
    assert report.as_dict()["balanced_accuracy"] == pytest.approx(1 / 3)


def test_pairs_train_a_judge_for_the_c_score():
    names = ["entailment", "neutral", "contradiction"]
    features = Features({"premise": Value("string"), "hypothesis": Value("string"), "label": ClassLabel(names=names)})
    pairs = Dataset.from_dict({"premise": ["a"] * 3, "hypothesis": ["b"] * 3, "label": [0, 1, 2]}, features=features)
    model = tiny_bert(num_labels=3)
    train_classifier(model, tiny_tokenizer(), pairs, ["premise", "hypothesis"], epochs=1)
    assert list(consistency_labels(model).values()) == names


@pytest.mark.parametrize(
    ("change", "columns", "message"),
    [
        (lambda data: data, ["words"], "asked for words, label; the 48 rows have text, label"),
        (lambda data: data, ["text", "text", "text"], "one or two text columns"),
        (lambda data: data.select([]), ["text"], "the 0 rows have text, label"),
        (lambda data: data.cast_column("label", Value("int64")), ["text"], "column label has no class names"),
    ],
)
def test_rows_that_do_not_fit(change, columns, message):
    with pytest.raises(HfmetaError, match=message):
        train_classifier(tiny_bert(num_labels=3), tiny_tokenizer(), change(rows()), columns)


def test_a_model_of_another_width():
    with pytest.raises(HfmetaError, match="the rows have 3 classes, the model 5 logits: load it with num_labels=3"):
        train_classifier(tiny_bert(num_labels=5), tiny_tokenizer(), rows(), ["text"])
