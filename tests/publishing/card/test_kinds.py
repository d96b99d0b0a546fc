"""The cards of adapted models and of private adapters: how they are opened, and nothing about the person they are of."""

from __future__ import annotations

import pytest
from huggingface_hub import ModelCard

from hfmeta import MetaLearner
from hfmeta.publishing.card import adapted_card, private_card
from hub.cards import card_errors
from saving import TEXT, make_learner, support_of

ABOUT = {
    "format": 1,
    "learner": {"name": "me/learner", "revision": "sha256:12"},
    "base": {"name": "some/model", "revision": "abc"},
    "files": {},
}


@pytest.mark.parametrize("count", [1, 1234])
@pytest.mark.parametrize("kind", ["LORA", "PRIVATE_MLP"])
def test_private_adapters(count, kind):
    text = private_card(ABOUT, kind, count)
    card = ModelCard(text)
    assert card.data.library_name == "peft"
    assert card.data.base_model == "some/model"
    assert card.data.tags == ["hfmeta", "meta-learning", "private-adapter"]
    assert card.data.eval_results is None
    assert not card_errors(text)
    assert "# A private adapter\n" in text if count == 1 else "# 1,234 private adapters\n" in text
    assert ('subfolder="adapters/<name>"' in text) == (count > 1)
    assert ("With `import hfmeta`" in text) == (kind == "PRIVATE_MLP")
    assert "`me/learner`, revision `sha256:12`" in text
    assert "revision `abc`" in text


def test_a_base_of_its_own_is_not_named():
    text = private_card({**ABOUT, "base": {"name": None, "revision": None}}, "LORA", 1)
    assert "Base model" not in text
    assert ModelCard(text).data.base_model is None


def test_an_adapted_model():
    about = {"task_type": "causal-lm", "class": "GPT2LMHeadModel", "model_type": "gpt2", "base": "gpt2", "peft": False}
    text = adapted_card(
        {**about, "algorithm": "meta_sgd", "inner_steps": 0, "learner": "me/learner", "num_labels": None}
    )
    card = ModelCard(text)
    assert (card.data.library_name, card.data.pipeline_tag) == ("transformers", "text-generation")
    assert card.data.tags[-2:] == ["adapted", "meta-sgd"]
    assert not card_errors(text)
    for fact in (
        'model = AutoModelForCausalLM.from_pretrained("<this folder or repository>")',
        "hfmeta is not needed to open it.",
        "Inner steps: 0",
        "Learner: `me/learner`, trained with **meta_sgd**",
        "Base model: `gpt2`",
    ):
        assert fact in text
    bare = adapted_card(about)
    assert "Learner:" not in bare
    assert "Inner steps" not in bare


def test_an_adapter_is_opened_on_its_base():
    about = {
        "task_type": "sequence-classification",
        "base": "some/model",
        "peft": True,
        "num_labels": 4,
        "model_type": "bert",
    }
    text = adapted_card(about)
    assert ModelCard(text).data.library_name == "peft"
    assert 'from_pretrained("some/model", num_labels=4)\nmodel = PeftModel.from_pretrained(base, ' in text


def test_a_network_of_hfmeta_is_opened_after_its_import():
    text = adapted_card({"task_type": "regression", "model_type": "hfmeta-mlp", "base": "hfmeta-mlp", "peft": False})
    assert ModelCard(text).data.library_name == "hfmeta"
    assert "import hfmeta  # registers the network\nfrom transformers import AutoModel\n" in text
    assert "not needed" not in text


def test_a_model_of_no_known_task():
    text = adapted_card({"task_type": None, "peft": False})
    assert "Its class opens it with `from_pretrained`." in text
    assert ModelCard(text).data.pipeline_tag is None


@pytest.mark.parametrize("name", ["bert", "bert-lora"])
def test_what_is_saved_has_a_card(name, tmp_path):
    learner = make_learner(name)
    learner.save_pretrained(tmp_path / "learner")
    learner.save_adapted(learner.adapt(support_of(TEXT)), tmp_path / "adapted")
    MetaLearner.from_pretrained(tmp_path / "learner")
    for folder, library in (("learner", "hfmeta"), ("adapted", "peft" if "lora" in name else "transformers")):
        text = (tmp_path / folder / "README.md").read_text(encoding="utf-8")
        assert ModelCard(text).data.library_name == library
        assert not card_errors(text)
        assert "More Information Needed" not in text
        assert str(tmp_path) not in text
