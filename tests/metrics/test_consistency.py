"""Checks of hfmeta/metrics/consistency.py: the score by hand with a judge of known answers, and the reading of label names."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch
from transformers import AutoModelForSequenceClassification

from hfmeta.inner.errors import HfmetaError
from hfmeta.metrics import consistency_labels, consistency_score, load_classifier
from metrics.judges import WordJudge, nli_judge, saved_classifier
from tiny import tiny_tokenizer

PERSONA = ["my card is good", "my bank is bad", "hello"]
RESPONSES = ["card bank", "no card", "money", "no card no bank", "hello card"]
EXPECTED = (2, -1, 0, -2, 2)


@pytest.mark.parametrize(
    "order", [("contradiction", "entailment", "neutral"), ("entailment", "neutral", "contradiction")]
)
def test_a_sum_over_persona_sentences_whatever_the_order_of_labels(order):
    result = consistency_score(RESPONSES, [PERSONA] * 5, nli_judge(order), tiny_tokenizer())
    assert result.per_response == EXPECTED
    assert result.mean == result.pooled == pytest.approx(sum(EXPECTED) / 5)
    assert (result.entailed, result.contradicted, result.pairs) == (4, 3, 15)
    assert result.labels == dict(enumerate(order))


def test_the_model_stands_beside_the_number():
    text = str(consistency_score(RESPONSES, [PERSONA] * 5, nli_judge(), tiny_tokenizer()))
    assert text.startswith("C score 0.2000 +- ")
    assert "NLI model judge: 0=contradiction, 1=entailment, 2=neutral" in text


def test_a_mean_over_tasks():
    result = consistency_score(RESPONSES, [PERSONA] * 5, nli_judge(), tiny_tokenizer(), tasks=["a", "a", "a", "b", "b"])
    assert result.mean == pytest.approx((1 / 3 + 0) / 2)
    assert result.pooled == pytest.approx(0.2)


def test_each_response_has_the_persona_of_its_own_dialogue():
    result = consistency_score(["card", "card"], [["my card"], ["my bank", "hello"]], nli_judge(), tiny_tokenizer())
    assert result.per_response == (1, 0)


def test_the_response_is_the_first_segment():
    # "no" counts in the first segment only.
    assert consistency_score(["card"], [["no card"]], nli_judge(), tiny_tokenizer()).per_response == (1,)
    assert consistency_score(["no card"], [["card"]], nli_judge(), tiny_tokenizer()).per_response == (-1,)


def test_equal_pairs_are_judged_once_and_in_batches():
    judge = nli_judge()
    consistency_score(["card", "card", "bank"], [PERSONA] * 3, judge, tiny_tokenizer(), batch_size=4)
    assert [rows for rows, _ in judge.batches] == [4, 2]


def test_long_responses_are_cut():
    judge = nli_judge()
    tokenizer = tiny_tokenizer()
    tokenizer.model_max_length = 512
    consistency_score(["card " * 400], [["my card"]], judge, tokenizer)
    assert judge.batches == [(1, 128)]
    consistency_score(["card " * 400], [["my card"]], judge, tokenizer, max_length=16)
    assert judge.batches[1] == (1, 16)


@pytest.mark.parametrize(
    ("labels", "meaning"),
    [
        ({0: "CONTRADICTION", 1: "NEUTRAL", 2: "ENTAILMENT"}, ["contradiction", "neutral", "entailment"]),
        ({0: "entail", 1: "neither", 2: "contradicts"}, ["entailment", "neutral", "contradiction"]),
        ({0: "inconsistent", 1: "Consistent"}, ["contradiction", "entailment"]),
        ({0: "entailment", 1: "not_entailment"}, ["entailment", "not entailment"]),
        ({"0": "entailment", "1": "contradiction"}, ["entailment", "contradiction"]),
    ],
)
def test_spellings(labels, meaning):
    model = SimpleNamespace(config=SimpleNamespace(id2label=labels, label2id=None))
    assert list(consistency_labels(model).values()) == meaning


def test_two_labels():
    judge = WordJudge({0: "inconsistent", 1: "consistent"}, agree=1, deny=0, else_=0)
    result = consistency_score(["card", "no card"], [["my card"]] * 2, judge, tiny_tokenizer())
    assert result.per_response == (1, -1)
    judge = WordJudge({0: "not_entailment", 1: "entailment"}, agree=1, deny=0, else_=0)
    assert consistency_score(["card", "no card"], [["my card"]] * 2, judge, tiny_tokenizer()).per_response == (1, 0)


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"id2label": {0: "LABEL_0", 1: "LABEL_1", 2: "LABEL_2"}}, "names no classes.*cannot be guessed"),
        ({}, "names no classes"),
        (
            {"id2label": {0: "positive", 1: "negative"}},
            "classes of the NLI model are positive, negative; expected entailment",
        ),
        ({"id2label": {0: "entailment", 1: "neutral"}}, "expected entailment, neutral and contradiction"),
        ({"id2label": {0: "entailment", 1: "entail", 2: "neutral"}}, "expected entailment, neutral and contradiction"),
        (
            {"id2label": {0: "entailment", 1: "contradiction"}, "label2id": {"entailment": 1, "contradiction": 0}},
            "contradicts itself",
        ),
        ({"id2label": {0: "entailment", 2: "contradiction"}}, r"numbers its classes \[0, 2\] rather than from 0"),
    ],
)
def test_label_names_that_do_not_say_enough(config, message):
    with pytest.raises(HfmetaError, match=message):
        consistency_labels(SimpleNamespace(config=SimpleNamespace(**config)))


def test_names_in_label2id_alone_count():
    config = SimpleNamespace(id2label={0: "LABEL_0", 1: "LABEL_1"}, label2id={"contradiction": 1, "entailment": 0})
    assert consistency_labels(SimpleNamespace(config=config)) == {0: "entailment", 1: "contradiction"}


def test_a_folder_a_model_and_a_loaded_classifier_agree(tmp_path):
    folder = saved_classifier(tmp_path / "nli", ["contradiction", "entailment", "neutral"])
    by_name = consistency_score(RESPONSES, [PERSONA] * 5, folder)
    model = AutoModelForSequenceClassification.from_pretrained(folder).train()
    by_model = consistency_score(RESPONSES, [PERSONA] * 5, model, tiny_tokenizer())
    again = consistency_score(RESPONSES, [PERSONA] * 5, load_classifier(folder))
    assert by_name.per_response == by_model.per_response == again.per_response
    assert by_name.model == again.model == folder
    assert model.training


def test_padding_and_batch_mates_change_nothing(tmp_path):
    classifier = load_classifier(saved_classifier(tmp_path, ["contradiction", "entailment", "neutral"], seed=3))
    whole = consistency_score(RESPONSES, [PERSONA] * 5, classifier, batch_size=64)
    assert consistency_score(RESPONSES, [PERSONA] * 5, classifier, batch_size=1).per_response == whole.per_response


def test_errors(tmp_path):
    tokenizer = tiny_tokenizer()
    with pytest.raises(HfmetaError, match="the C score needs lists of one length.*1 responses, 2 personas"):
        consistency_score(["a"], [PERSONA] * 2, nli_judge(), tokenizer)
    with pytest.raises(
        HfmetaError, match="persona of response 1 must be a list of at least one sentence: received 'hello'"
    ):
        consistency_score(["a", "b"], [PERSONA, "hello"], nli_judge(), tokenizer)
    with pytest.raises(HfmetaError, match=r"persona of response 0 .* received \[\]"):
        consistency_score(["a"], [[]], nli_judge(), tokenizer)
    with pytest.raises(HfmetaError, match="batch size of 1 or more"):
        consistency_score(["a"], [PERSONA], nli_judge(), tokenizer, batch_size=0)
    with pytest.raises(HfmetaError, match="the folder .*nowhere of the classifier does not exist"):
        consistency_score(["a"], [PERSONA], str(tmp_path / "nowhere"))
    with pytest.raises(
        HfmetaError, match="the model of the classifier .* could not be loaded.*Give a hub id, or a folder"
    ):
        consistency_score(["a"], [PERSONA], str(tmp_path))


def test_a_judge_with_other_logits_than_names():
    judge = nli_judge()
    judge.width = 4
    with pytest.raises(HfmetaError, match="gives 4 logits, but its config names 3 classes"):
        consistency_score(["card"], [PERSONA], judge, tiny_tokenizer())
    judge = nli_judge()
    judge.forward = lambda **_: SimpleNamespace(logits=torch.full((3, 3), torch.nan))
    with pytest.raises(HfmetaError, match="logits that are not finite"):
        consistency_score(["card"], [PERSONA], judge, tiny_tokenizer())
