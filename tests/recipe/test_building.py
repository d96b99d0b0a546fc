"""Checks of hfmeta/recipe/building.py."""

from __future__ import annotations

import pytest
import torch

from hfmeta.inner.errors import HfmetaError
from hfmeta.recipe.building import build, build_model
from hfmeta.recipe.data import load_tables
from hfmeta.recipe.parsing import parse_recipe
from tiny import tiny_t5, tiny_tokenizer
from tiny_dialogues import write_synthetic
from tiny_recipes import SINUSOID, save_tiny_bert, text_recipe, write_recipe, write_sentences


@pytest.fixture(scope="module")
def bert(tmp_path_factory):
    return save_tiny_bert(tmp_path_factory.mktemp("bert"))


@pytest.fixture
def text(tmp_path, bert):
    return write_recipe(tmp_path, text_recipe(bert, write_sentences(tmp_path / "rows.jsonl")))


def test_a_build_has_all_that_a_run_needs_and_writes_nothing(tmp_path):
    before = sorted(tmp_path.iterdir())
    built = build(parse_recipe(write_recipe(tmp_path)))
    assert sorted(tmp_path.iterdir()) == [*before, tmp_path / "recipe.yaml"]
    assert built.learner.algorithm.inner_steps == 2
    assert len(built.episodes.test) == 8
    assert built.learner.encoder.to_dict() == {"task_type": "regression", "input_column": "x", "target_column": "y"}
    assert built.args.max_steps == 4
    assert not built.args.dataloader_pin_memory or torch.cuda.is_available()


def test_a_new_model_is_the_same_every_time_and_depends_on_the_seed(tmp_path):
    recipe = parse_recipe(write_recipe(tmp_path))
    built = build(recipe)
    first, second = built.new_model(), built.new_model()
    for (name, a), b in zip(first.state_dict().items(), second.state_dict().values(), strict=True):
        assert torch.equal(a, b), name
    start = built.learner.model.state_dict()
    assert all(torch.equal(value, start[name]) for name, value in first.state_dict().items())
    other = build_model(recipe, None, seed=1)
    assert not torch.equal(other.head.weight, first.head.weight)


def test_the_checkpoint_is_told_what_evaluation_needs(text):
    built = build(parse_recipe(text, ["data.split_seed=4"]))
    info = built.learner.info
    assert info["model"]["num_labels"] == 3
    assert info["data"]["label_column"] == "label"
    assert info["metrics"] == ["accuracy", "loss"]
    assert info["split"] == {"seed": 4, "sha256": built.episodes.split_sha256}
    assert info["seed"] == 42


def test_an_adapter_freezes_the_base(text):
    recipe = parse_recipe(
        text, ["adapter={type: lora, r: 2, target_modules: [query]}", "algorithm.adapt=adapter", "~algorithm.head"]
    )
    model = build(recipe).learner.model
    trainable = {name for name, value in model.named_parameters() if value.requires_grad}
    assert any("lora_A" in name for name in trainable)
    assert any("classifier" in name for name in trainable)
    assert not any("embeddings" in name for name in trainable)
    recipe = parse_recipe(
        text, ["adapter={type: lora, train_head: false}", "algorithm.adapt=adapter", "~algorithm.head"]
    )
    model = build(recipe).learner.model
    assert not any(value.requires_grad and "classifier" in name for name, value in model.named_parameters())


def test_trainable_freezes_the_rest(text):
    model = build(parse_recipe(text, ["model.trainable=classifier|pooler"])).learner.model
    trainable = {
        name.split(".")[-3] if "pooler" in name else name
        for name, value in model.named_parameters()
        if value.requires_grad
    }
    assert trainable == {"pooler", "classifier.weight", "classifier.bias"}


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("model.trainable=nothing_of_this_name", "matches no tensor of BertForSequenceClassification"),
        ("model.trainable=(", "is no regular expression"),
        ("algorithm.adapt=nothing_of_this_name", "matches no trainable tensor"),
        ("algorithm.rates=sometimes", "rates must be one of"),
        ("data.n_way=9", "9"),
        ("data.k_shot=99", "too few rows|too small|fewer"),
        ("model.config={hidden_sise: 3}", "has no field hidden_sise"),
        ("model.task=causal-lm", "label_column: N-way episodes are classification"),
    ],
)
def test_what_does_not_fit_is_refused_before_anything_is_written(text, override, message):
    before = sorted(text.parent.rglob("*"))
    with pytest.raises(HfmetaError, match=message):
        build(parse_recipe(text, [override]))
    assert sorted(text.parent.rglob("*")) == before


def test_a_table_of_speakers_has_a_row_for_each_training_task(tmp_path):
    write_synthetic(tmp_path / "data", users=10, rounds=3)
    sections = {
        "model": {"name": "hfmeta-speaker", "task": "seq2seq-lm", "config": {"embedding_size": 6, "hidden_size": 6}},
        "algorithm": {"name": "maml", "inner_steps": 0, "test_inner_steps": 1, "order": 1},
        "data": {
            **{"corpus": "synthetic_persona_chat", "root": str(tmp_path / "data"), "too_small": "drop"},
            **{"shares": {"train": 0.6, "valid": 0.2, "test": 0.2}},
        },
        "training": SINUSOID["training"],
        "metrics": ["loss"],
    }
    built = build(parse_recipe(write_recipe(tmp_path, sections)))
    assert built.learner.config.num_speakers == len(built.episodes.train.task_names) > 1
    assert built.new_model().config.num_speakers == built.learner.config.num_speakers
    given = build(parse_recipe(write_recipe(tmp_path, sections), ["model.config.num_speakers=40"]))
    assert given.learner.config.num_speakers == 40


def test_a_configuration_without_a_tokenizer_gets_the_training_words(tmp_path):
    write_synthetic(tmp_path / "synthetic_persona_chat", users=10, rounds=2)
    empty = tmp_path / "empty"
    config = tiny_t5().config
    config.save_pretrained(empty)
    sections = {
        "model": {"name": str(empty), "task": "seq2seq-lm", "from_scratch": True},
        "algorithm": {"name": "maml", "inner_steps": 1, "inner_lr": 0.1},
        "data": {"corpus": "synthetic_persona_chat", "root": str(tmp_path), "valid_tasks": 0, "test_tasks": 2},
        "training": {"output_dir": str(tmp_path / "out"), "max_steps": 1, "report_to": "none"},
    }
    recipe = parse_recipe(write_recipe(tmp_path, sections))
    built = build(recipe)
    words = set(built.learner.processing_class.get_vocab())
    said = {part: set(" ".join(rows["reply"]).split()) for part, rows in load_tables(recipe.data, "seq2seq-lm").items()}
    assert said["train"] <= words
    assert not said["test"] <= words
    assert built.learner.model.config.vocab_size == len(words) != config.vocab_size
    with pytest.raises(HfmetaError, match="comes without a tokenizer"):
        build(parse_recipe(write_recipe(tmp_path, sections), ["model.from_scratch=false"]))
    tiny_tokenizer().save_pretrained(empty)
    assert set(build(recipe).learner.processing_class.get_vocab()) != words, "a tokenizer that is there is used"
