"""Who a learner is: a name and a fingerprint of its values, written into the config of the published model and nowhere else."""

from __future__ import annotations

import json

import pytest
import torch

from hfmeta import Cmaml, Maml, MetaLearner
from hfmeta.adapters.private_mlp import PrivateMlpConfig
from hfmeta.adapters.private_mlp.identity import check_base_learner
from hfmeta.inner.errors import HfmetaError
from hfmeta.publishing.checkpoint import save_learner
from hfmeta.publishing.identity import identified, learner_identity
from tiny import tiny_gpt2, tiny_lstm, tiny_mlp, with_lora


def learner() -> MetaLearner:
    return MetaLearner(tiny_lstm(), Cmaml(adapt="private"))


def config_in(folder):
    return json.loads((folder / "config.json").read_text(encoding="utf-8"))


def test_the_fingerprint_is_that_of_the_values(tmp_path):
    one, two = learner(), learner()
    assert learner_identity(one) == learner_identity(two)
    assert learner_identity(one)[0] == "cmaml on hfmeta-seq2spg"
    one.save_pretrained(tmp_path)
    assert learner_identity(MetaLearner.from_pretrained(tmp_path)) == learner_identity(two)
    with torch.no_grad():
        one.model.lm_head.bias[0] += 1e-3
    assert learner_identity(one)[1] != learner_identity(two)[1]
    rates = [MetaLearner(tiny_lstm(), Maml(adapt="private", rates=kind)) for kind in ("fixed", "tensor")]
    assert len({learner_identity(other)[1] for other in rates}) == 2, "what the rule learned counts"


def test_it_is_written_with_the_model_and_leaves_the_learner_alone(tmp_path):
    made = learner()
    made.save_pretrained(tmp_path / "local")
    save_learner(made, tmp_path / "hub", name="me/personas")
    assert not hasattr(made.model.config, "base_learner")
    local, hub = config_in(tmp_path / "local"), config_in(tmp_path / "hub")
    assert (local["base_learner"], local["base_learner_revision"]) == learner_identity(made)
    assert hub["base_learner"] == "me/personas"
    assert hub["base_learner_revision"] == local["base_learner_revision"]
    again = MetaLearner.from_pretrained(tmp_path / "hub")
    assert learner_identity(again)[0] == "me/personas", "a copy keeps the name it was published under"
    with identified(again.model, ("other", "1")):
        assert again.model.config.base_learner == "other"
    assert again.model.config.base_learner == "me/personas"


def test_learners_without_private_adapters_and_stock_bases_say_nothing(tmp_path):
    MetaLearner(tiny_mlp(), Maml()).save_pretrained(tmp_path / "mlp")
    assert "base_learner" not in config_in(tmp_path / "mlp")
    MetaLearner(with_lora(tiny_gpt2()), Cmaml(adapt="private")).save_pretrained(tmp_path / "lora")
    assert config_in(tmp_path / "lora" / "base_model")["base_learner"] == "cmaml on gpt2"


def test_equal_fingerprints_are_one_learner_whatever_it_is_called():
    model = tiny_lstm()
    model.config.base_learner, model.config.base_learner_revision = "me/personas", "sha256:1"
    check_base_learner(
        PrivateMlpConfig(base_learner="cmaml on hfmeta-seq2spg", base_learner_revision="sha256:1"), model
    )
    with pytest.raises(
        HfmetaError, match="belongs to the learner cmaml on hfmeta-seq2spg, and the model is me/personas"
    ):
        check_base_learner(
            PrivateMlpConfig(base_learner="cmaml on hfmeta-seq2spg", base_learner_revision="sha256:2"), model
        )
    with pytest.raises(HfmetaError, match="revision sha256:2 of me/personas.*trained further since"):
        check_base_learner(PrivateMlpConfig(base_learner="me/personas", base_learner_revision="sha256:2"), model)
