"""Checks of hfmeta/metrics/classifiers.py: loading, and running over many inputs. Label names are checked with their uses."""

from __future__ import annotations

import pytest
import torch

from hfmeta.inner.errors import HfmetaError
from hfmeta.metrics import load_classifier
from hfmeta.metrics.classifiers import classify
from metrics.judges import saved_classifier
from tiny import tiny_bert, tiny_tokenizer


def test_logits_are_those_of_the_model_in_the_order_asked(tmp_path):
    classifier = load_classifier(saved_classifier(tmp_path, ["x", "y", "z"]))
    texts = ["hello bank", "no", "hello bank", "the card is lost yes"]
    logits = classify(classifier, texts, batch_size=2)
    assert logits.shape == (4, 3)
    assert torch.equal(logits[0], logits[2])
    for text, row in zip(texts, logits, strict=True):
        with torch.no_grad():
            alone = classifier.model(**classifier.tokenizer(text, return_tensors="pt")).logits[0]
        torch.testing.assert_close(row, alone, atol=1e-5, rtol=1e-5)


def test_a_model_without_a_tokenizer():
    with pytest.raises(HfmetaError, match="handed over without a tokenizer.*Pass tokenizer="):
        load_classifier(tiny_bert())
    assert load_classifier(tiny_bert(), tiny_tokenizer()).name == "BertForSequenceClassification"


def test_the_tokenizer_of_a_loaded_model_is_found_where_it_came_from(tmp_path):
    classifier = load_classifier(saved_classifier(tmp_path, ["x", "y"]))
    assert load_classifier(classifier.model).tokenizer.get_vocab() == classifier.tokenizer.get_vocab()


def test_a_body_without_a_head_is_refused(tmp_path):
    tiny_bert().bert.save_pretrained(tmp_path)
    tiny_tokenizer().save_pretrained(tmp_path)
    with pytest.raises(HfmetaError, match="is no trained classifier: there are no weights for classifier.bias"):
        load_classifier(tmp_path)


def test_nothing_to_classify(tmp_path):
    classifier = load_classifier(tiny_bert(), tiny_tokenizer())
    with pytest.raises(HfmetaError, match="at least one text.*received 0 texts, no second segments, batch_size=32"):
        classify(classifier, [])
    with pytest.raises(HfmetaError, match="received 1 texts, 2 second segments"):
        classify(classifier, ["a"], ["b", "c"])
