"""Whose adapter it is: written into the configuration and checked where the model knows its own identity."""

from __future__ import annotations

import json

import pytest
from peft import PeftModel

from hfmeta.adapters.private_mlp.identity import base_learner_of
from hfmeta.inner.errors import HfmetaError
from private import logits, private, rows_of
from tiny import tiny_bert


def known(identity=None, revision=None):
    """A base model that knows whose it is."""
    model = tiny_bert()
    model.config.base_learner, model.config.base_learner_revision = identity, revision
    return model


def test_a_model_that_knows_its_learner_tells_the_adapter(tmp_path):
    model = private(known("me/learner", "v1"))
    model.save_pretrained(tmp_path)
    written = json.loads((tmp_path / "adapter_config.json").read_text())
    assert (written["base_learner"], written["base_learner_revision"]) == ("me/learner", "v1")
    for base in (known("me/learner", "v1"), known("me/learner"), tiny_bert()):
        again = PeftModel.from_pretrained(base.eval(), str(tmp_path))
        assert (logits(again, rows_of("bert")) == logits(model, rows_of("bert"))).all()


def test_another_learner_or_revision_is_refused(tmp_path):
    private(tiny_bert(), base_learner="me/learner", base_learner_revision="v1").save_pretrained(tmp_path)
    with pytest.raises(HfmetaError, match="belongs to the learner me/learner, and the model is you/other"):
        PeftModel.from_pretrained(known("you/other"), str(tmp_path))
    with pytest.raises(
        HfmetaError, match="belongs to revision v1 of me/learner, and the model is revision v2. Load the model with"
    ):
        PeftModel.from_pretrained(known("me/learner", "v2"), str(tmp_path))


def test_where_the_identity_comes_from(tmp_path):
    assert base_learner_of(tiny_bert()) == (None, None)
    model = tiny_bert()
    model.name_or_path, model.config._commit_hash = "me/learner", "abc"
    assert base_learner_of(model) == ("me/learner", "abc")
    for name in (str(tmp_path), "package:minilm", "somewhere/in/a/folder"):
        model.name_or_path = name
        assert base_learner_of(model) == (None, None)
    model.config.base_learner = "me/written"
    assert base_learner_of(model) == ("me/written", None)


def test_a_loaded_adapter_without_an_identity_is_taken_as_it_is(tmp_path):
    private(tiny_bert()).save_pretrained(tmp_path)
    model = PeftModel.from_pretrained(known("me/learner"), str(tmp_path))
    assert model.peft_config["default"].base_learner is None


def test_a_stock_base_under_its_own_name_is_right(tmp_path):
    private(tiny_bert(), base_learner="me/learner", base_learner_revision="v1").save_pretrained(tmp_path)
    path = tmp_path / "adapter_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"base_model_name_or_path": "maker/bert"}))
    for name, right in (("maker/bert", True), ("me/learner", True), ("you/other", False)):
        base = tiny_bert()
        base.name_or_path = name
        if right:
            PeftModel.from_pretrained(base, str(tmp_path))
        else:
            with pytest.raises(HfmetaError, match="belongs to the learner me/learner, and the model is you/other"):
                PeftModel.from_pretrained(base, str(tmp_path))
