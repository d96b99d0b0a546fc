"""`adapt`: rows in every form, heads for other numbers of classes, and a learner that stays as it was."""

from __future__ import annotations

import pytest
import torch
from datasets import Dataset
from peft import PeftModel

from hfmeta import Anil, Maml, MetaLearner, MetaSgd
from hfmeta.episodes import build_encoder
from hfmeta.inner.errors import HfmetaError, NonFiniteLossError
from hfmeta.testing.promises import fingerprint
from saving import LEARNERS, TEXT, answers, make_learner, support_of
from tiny import random_batch, tiny_bert, tiny_tokenizer, with_lora

ROWS = [
    {"text": f"{word} my card", "intent": intent} for word, intent in zip("abcdef", ["pay", "lost"] * 3, strict=True)
]


def text_learner(algorithm, num_labels=2, model=None):
    encoder = build_encoder(TEXT, input_column="text", target_column="intent", processing_class=tiny_tokenizer())
    return MetaLearner(model or tiny_bert(num_labels), algorithm, processing_class=tiny_tokenizer(), encoder=encoder)


def test_rows_in_every_form_give_the_same_model():
    learner = text_learner(Maml(inner_steps=2, inner_lr=0.1))
    tensors = learner.encoder.encode(ROWS)
    columns = {name: [row[name] for row in ROWS] for name in ROWS[0]}
    models = [learner.adapt(rows) for rows in (ROWS, columns, Dataset.from_list(ROWS), tensors)]
    expected = answers(models[0], tensors)
    for model in models[1:]:
        assert torch.equal(answers(model, tensors), expected)
    assert type(models[0]) is type(learner.model)
    assert not models[0].training
    assert models[0].config.id2label == dict(enumerate(learner.encoder.classes(ROWS)))
    assert set(models[0].config.label2id) == {"pay", "lost"}
    assert models[3].config.id2label == {0: "LABEL_0", 1: "LABEL_1"}


def test_adapting_is_gradient_descent_on_the_support_loss():
    learner = text_learner(Maml(inner_steps=2, inner_lr=0.1))
    tensors = learner.encoder.encode(ROWS)
    twin = tiny_bert(2)
    for _ in range(2):
        values = list(twin.parameters())
        gradients = torch.autograd.grad(twin(**tensors).loss, values)
        with torch.no_grad():
            for value, gradient in zip(values, gradients, strict=True):
                value.sub_(0.1 * gradient)
    torch.testing.assert_close(answers(learner.adapt(ROWS), tensors), answers(twin, tensors), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", LEARNERS)
def test_the_learner_stays_as_it_was(name):
    learner = make_learner(name)
    before, config = fingerprint(learner), learner.model.config.to_dict()
    adapted = learner.adapt(support_of(LEARNERS[name][0]))
    assert fingerprint(learner) == before
    assert learner.model.config.to_dict() == config
    assert not {id(value) for value in adapted.parameters()} & {id(value) for value in learner.parameters()}


def test_a_peft_model_stays_one():
    adapted = text_learner(Maml(inner_lr=0.1), model=with_lora(tiny_bert(2))).adapt(ROWS)
    assert isinstance(adapted, PeftModel)
    assert set(adapted.config.id2label.values()) == {"pay", "lost"}


@pytest.mark.parametrize("head", ["zero", "prototype"])
@pytest.mark.parametrize("lora", [False, True])
@pytest.mark.parametrize("rates", ["fixed", "tensor"])
def test_a_head_made_for_each_task_takes_any_number_of_classes(head, lora, rates, tmp_path):
    model = with_lora(tiny_bert(5)) if lora else tiny_bert(5)
    learner = text_learner(Maml(inner_steps=3, inner_lr=0.02, head=head, rates=rates), model=model)
    for classes in (2, 7):
        rows = [
            {"text": f"{'abcdefg'[i % classes]} card", "intent": f"intent {i % classes}"} for i in range(2 * classes)
        ]
        adapted, tensors = learner.adapt(rows), learner.encoder.encode(rows)
        assert answers(adapted, tensors).shape == (2 * classes, classes)
        assert adapted.config.num_labels == classes
        assert adapted.config.id2label == {i: f"intent {i}" for i in range(classes)}
        before, after = learner.model.config.num_labels, adapted(**tensors).loss
        assert before == 5
        assert head == "prototype" or after < torch.tensor(float(classes)).log()  # the loss of a zero head
    learner.save_adapted(adapted, tmp_path / "adapted")
    if not lora:
        again = type(adapted).from_pretrained(tmp_path / "adapted")
        assert again.config.id2label == adapted.config.id2label
        assert torch.equal(answers(again, tensors), answers(adapted, tensors))


@pytest.mark.parametrize(
    ("algorithm", "words"),
    [
        (Maml(inner_lr=0.1), "its head is shared between tasks"),
        (Anil(inner_lr=0.1, head="zero", rates="element"), "learned a rate for each weight of its head"),
        (MetaSgd(inner_lr=0.1, head="prototype"), "learned a rate for each weight of its head"),
    ],
)
def test_heads_that_fit_one_number_of_classes_only(algorithm, words):
    with pytest.raises(HfmetaError, match=f"the support rows have 2 classes.*{words}"):
        text_learner(algorithm, num_labels=5).adapt(ROWS)


def test_more_classes_in_tensors_are_counted():
    learner = MetaLearner(tiny_bert(3), Maml(inner_lr=0.1, head="zero"))
    assert learner.adapt(support_of(TEXT, S=6, C=6)).config.num_labels == 6
    assert learner.adapt(support_of(TEXT, S=6, C=2)).config.num_labels == 3


def test_rows_need_an_encoder_and_tensors_need_labels():
    learner = MetaLearner(tiny_bert(2), Maml(inner_lr=0.1))
    with pytest.raises(HfmetaError, match="does not know how to read rows: it was built without an encoder"):
        learner.adapt(ROWS)
    rows = support_of(TEXT, C=2)
    del rows["labels"]
    with pytest.raises(HfmetaError, match=r"adapt needs labels beside input_ids, attention_mask"):
        learner.adapt(rows)


def test_missing_columns_are_named():
    with pytest.raises(HfmetaError, match="intent"):
        text_learner(Maml(inner_lr=0.1)).adapt([{"text": "hello"}])


def test_a_loss_that_explodes_is_said():
    learner = MetaLearner(tiny_bert(5), Maml(inner_steps=3, inner_lr=1e30))
    with pytest.raises(NonFiniteLossError, match="support loss at inner step"):
        learner.adapt({name: value[0] for name, value in random_batch(TEXT)["support"].items()})
