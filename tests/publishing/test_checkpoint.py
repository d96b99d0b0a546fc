"""Learner folders: every kind of learner comes back as it was, and every damaged or foreign folder is one clear error."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pytest
import torch
from peft import LoraConfig, get_peft_model
from transformers import AutoModelForSequenceClassification

from hfmeta import Algorithm, Maml, MetaLearner
from hfmeta.episodes import build_encoder
from hfmeta.inner.errors import HfmetaError
from hfmeta.publishing import load_weights_into
from hfmeta.publishing.contents import contents_of
from publishing.strangers import refused_at
from saving import LEARNERS, TEXT, answers, make_learner, same_adaptation, support_of
from tiny import tiny_bert, tiny_tokenizer, with_lora

PUBLISHABLE = {".safetensors", ".json", ".md", ".txt", ".jinja"}


def written(folder):
    """All files below a folder, as relative names."""
    return sorted(str(path.relative_to(folder)) for path in Path(folder).rglob("*") if path.is_file())


@pytest.mark.parametrize("name", LEARNERS)
def test_a_saved_learner_adapts_as_before(name, tmp_path):
    task, learner = LEARNERS[name][0], make_learner(name)
    learner.save_pretrained(tmp_path / "learner")
    again = MetaLearner.from_pretrained(tmp_path / "learner")
    assert same_adaptation(learner, again, task)
    assert again.algorithm == learner.algorithm
    assert type(again.model) is type(learner.model)
    assert again.task_type == task
    trainable = [[n for n, value in one.named_parameters() if value.requires_grad] for one in (learner, again)]
    assert trainable[0] == trainable[1]
    assert {Path(file).suffix for file in written(tmp_path)} <= PUBLISHABLE
    assert os.listdir(tmp_path) == ["learner"]


@pytest.mark.parametrize("name", ["bert", "bert-lora", "learned-rates"])
def test_weights_go_back_into_an_existing_learner(name, tmp_path):
    learner, other = make_learner(name), make_learner(name)
    with torch.no_grad():
        for value in other.parameters():
            if value.requires_grad:
                value.add_(0.1)
    learner.save_pretrained(tmp_path / "learner")
    load_weights_into(other, tmp_path / "learner")
    assert same_adaptation(learner, other, TEXT)
    strange = MetaLearner(tiny_bert(num_hidden_layers=3), Maml(inner_lr=0.1))
    with pytest.raises(HfmetaError, match="checkpoint of another model"):
        load_weights_into(strange, tmp_path / "learner")


def test_a_nameless_base_travels_and_a_folder_is_named(tmp_path):
    make_learner("bert-lora").save_pretrained(tmp_path / "nameless")
    assert "base_model/model.safetensors" in written(tmp_path / "nameless")
    tiny_bert(2).save_pretrained(tmp_path / "base")
    # The base's own head has 2 classes, the learner's has 3: it comes with the adapter.
    base = AutoModelForSequenceClassification.from_pretrained(
        tmp_path / "base", num_labels=3, ignore_mismatched_sizes=True
    )
    learner = MetaLearner(with_lora(base), Maml(inner_lr=0.1), processing_class=tiny_tokenizer())
    learner.save_pretrained(tmp_path / "named")
    assert not (tmp_path / "named" / "base_model").exists()
    content = json.loads((tmp_path / "named" / "hfmeta_config.json").read_text())["base"]
    assert content["name"] == str(tmp_path / "base")
    assert content["num_labels"] == 3
    rows = support_of(TEXT, C=3)
    again = MetaLearner.from_pretrained(tmp_path / "named")
    assert torch.equal(answers(learner.adapt(rows), rows), answers(again.adapt(rows), rows))


def test_what_is_trained_beside_an_adapter_travels(tmp_path):
    model = with_lora(tiny_bert(), head=False)
    model.get_base_model().classifier.requires_grad_(True)
    learner = MetaLearner(model, Maml(inner_lr=0.1))
    learner.save_pretrained(tmp_path / "learner")
    again = MetaLearner.from_pretrained(tmp_path / "learner")
    assert again.moving == learner.moving
    assert same_adaptation(learner, again, TEXT)
    with pytest.raises(HfmetaError, match=r"classifier.weight.* leave it behind. Name its module in modules_to_save"):
        learner.save_adapted(learner.adapt(support_of(TEXT)), tmp_path / "adapted")
    assert os.listdir(tmp_path) == ["learner"]


def test_an_adapter_of_another_name(tmp_path):
    model = get_peft_model(tiny_bert(), LoraConfig(target_modules=["query"], init_lora_weights=False), "mine")
    learner = MetaLearner(model, Maml(inner_lr=0.1, rates="tensor", adapt="adapter"))
    learner.save_pretrained(tmp_path / "learner")
    assert "adapter_model.safetensors" in written(tmp_path / "learner")
    assert same_adaptation(learner, MetaLearner.from_pretrained(tmp_path / "learner"), TEXT)


def test_half_precision_encoder_info_and_frozen_tensors_come_back(tmp_path):
    model = tiny_bert(dtype=torch.bfloat16)
    model.bert.embeddings.requires_grad_(False)
    encoder = build_encoder(
        TEXT, input_column="text", target_column="intent", processing_class=tiny_tokenizer(), max_length=9
    )
    learner = MetaLearner(
        model,
        Maml(inner_lr=0.1),
        processing_class=tiny_tokenizer(),
        encoder=encoder,
        info={"data": {"seed": 3}},
        dropout=True,
    )
    learner.save_pretrained(tmp_path / "learner")
    again = MetaLearner.from_pretrained(tmp_path / "learner")
    assert next(again.model.parameters()).dtype == torch.bfloat16
    assert again.encoder is not None
    assert again.encoder.to_dict() == encoder.to_dict()
    assert again.info == {"data": {"seed": 3}}
    assert again.dropout
    assert again.moving == learner.moving
    rows = [{"text": "lost my card", "intent": "a"}, {"text": "hello you", "intent": "b"}]
    with pytest.raises(HfmetaError, match="2 classes, the learner was trained for 5"):
        again.adapt(rows)


@pytest.mark.parametrize("with_info", [True, False])
def test_a_base_from_a_package_is_never_written_as_a_path(with_info, tmp_path, monkeypatch):
    package = tmp_path / "site" / "some_weights" / "model"
    tiny_bert(3).save_pretrained(package)
    tiny_tokenizer().save_pretrained(package)
    (package.parent / "__init__.py").write_text("")
    monkeypatch.syspath_prepend(str(tmp_path / "site"))
    info = {"model": {"name": "package:some_weights", "num_labels": 3}} if with_info else None
    rows = support_of(TEXT, C=3)
    for lora in (True, False):
        base = AutoModelForSequenceClassification.from_pretrained(package)
        learner = MetaLearner(with_lora(base) if lora else base, Maml(inner_lr=0.1), info=info)
        learner.save_pretrained(tmp_path / "learner")
        adapted = learner.adapt(rows)
        learner.save_adapted(adapted, tmp_path / "adapted")
        again = MetaLearner.from_pretrained(tmp_path / "learner")
        assert torch.equal(answers(again.adapt(rows), rows), answers(adapted, rows))
        if lora:
            stored = json.loads((tmp_path / "adapted" / "adapter_config.json").read_text())
            assert stored["base_model_name_or_path"] == "package:some_weights"
            assert json.loads((tmp_path / "learner" / "hfmeta_config.json").read_text())["base"]["name"] == (
                "package:some_weights"
            )
        for folder in ("learner", "adapted"):
            for file in written(tmp_path / folder):
                assert str(tmp_path).encode() not in (tmp_path / folder / file).read_bytes(), file
            shutil.rmtree(tmp_path / folder)


def test_a_folder_that_is_no_learner(tmp_path):
    tiny_bert().save_pretrained(tmp_path)
    assert "has no hfmeta_config.json, so it is not a saved learner" in refused_at(tmp_path)


@pytest.mark.parametrize("name", ["somebody/learner", "nowhere"])
def test_a_name_that_cannot_be_reached(name):
    assert f"{name!r} is neither a folder nor a repository that can be reached" in refused_at(name)


@pytest.mark.parametrize("name", ["no/such/folder", "./nowhere", "/nowhere", "~/nowhere"])
def test_a_name_that_can_only_be_a_folder(name):
    assert refused_at(name) == f"there is no folder {name!r}, and a hub id is owner/name."


@pytest.mark.parametrize("adapter", [False, True])
def test_a_base_in_a_relative_folder(adapter, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    tiny_bert().save_pretrained("base")
    base = AutoModelForSequenceClassification.from_pretrained("base")
    model = with_lora(base) if adapter else base
    info = {"model": {"name": "./base", "num_labels": base.config.num_labels}}
    learner = MetaLearner(model, Maml(inner_lr=0.1), info=info)
    learner.save_pretrained("learner")
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    again = MetaLearner.from_pretrained("../learner")
    assert same_adaptation(again, learner, TEXT)
    named = json.loads((tmp_path / "learner" / "hfmeta_config.json").read_text())["base"]["name"]
    assert named == (str(tmp_path / "base") if adapter else None)
    if not adapter:
        assert "model.safetensors" in contents_of(tmp_path / "learner").files, "it needs no base, so it can be pushed"


def test_a_base_that_is_gone(tmp_path):
    tiny_bert().save_pretrained(tmp_path / "base")
    base = AutoModelForSequenceClassification.from_pretrained(tmp_path / "base")
    MetaLearner(with_lora(base), Maml(inner_lr=0.1)).save_pretrained(tmp_path / "learner")
    shutil.rmtree(tmp_path / "base")
    assert f"the model folder {tmp_path / 'base'} does not exist" in refused_at(tmp_path / "learner")


def test_a_save_that_fails_leaves_nothing(tmp_path, monkeypatch):
    learner = make_learner("bert")
    learner.save_pretrained(tmp_path / "learner")
    before = {file: (tmp_path / "learner" / file).read_bytes() for file in written(tmp_path / "learner")}
    original = type(learner.model).save_pretrained

    def breaks(self, folder, *args, **kwargs):
        original(self, folder, *args, **kwargs)
        raise OSError("disk full")

    monkeypatch.setattr(type(learner.model), "save_pretrained", breaks)
    with torch.no_grad():
        learner.model.classifier.bias.add_(1)
    for folder in ("learner", "fresh"):
        with pytest.raises(OSError, match="disk full"):
            learner.save_pretrained(tmp_path / folder)
        with pytest.raises(OSError, match="disk full"):
            learner.save_adapted(learner.model, tmp_path / folder)
    assert os.listdir(tmp_path) == ["learner"]
    assert {file: (tmp_path / "learner" / file).read_bytes() for file in written(tmp_path / "learner")} == before


class Unregistered(Algorithm):
    """An algorithm that no package registers."""


def test_an_unregistered_algorithm_cannot_be_saved(tmp_path):
    with pytest.raises(HfmetaError, match="Unregistered is not registered, so nobody could open this checkpoint"):
        MetaLearner(tiny_bert(), Unregistered()).save_pretrained(tmp_path / "learner")
    assert not list(tmp_path.iterdir())
