"""The card of a learner: a header that the hub can read, and facts only."""

from __future__ import annotations

import pytest
from huggingface_hub import ModelCard

from hfmeta import Maml
from hfmeta.publishing.card import learner_card


def content(base=None, encoder=None, task="sequence-classification", **options):
    algorithm = {"name": "maml", "package": "hfmeta", "version": "0.1.0", "options": Maml(**options).to_dict()}
    return {"algorithm": algorithm, "encoder": encoder, "base": {"name": base}, "task_type": task}


def test_facts_and_header():
    columns = {"input_column": "text", "target_column": "intent"}
    text = learner_card(content("some/model", columns, inner_steps=3))
    card = ModelCard(text)
    assert card.data.library_name == "hfmeta"
    assert card.data.base_model == "some/model"
    assert set(card.data.tags) == {"meta-learning", "hfmeta"}
    for fact in ("**maml** (hfmeta 0.1.0)", "**exact**", "| inner_steps | 3 |", "# columns text, intent"):
        assert fact in text


def test_first_order_and_models_of_no_known_task():
    text = learner_card(content(task=None, order=1))
    assert "**first order**" in text
    assert "# A meta-learned custom model" in text
    assert "# columns" not in text


@pytest.mark.parametrize("base", [None, "package:weights", "/somewhere/here", "./there", "hfmeta-conv4"])
def test_a_base_that_is_no_repository_is_not_named(base):
    text = learner_card(content(base))
    assert ModelCard(text).data.base_model is None
    assert base is None or base not in text
