"""The configuration: its file, its refusals, and the line in the model card that says how the adapter is opened."""

from __future__ import annotations

import json

import pytest
from peft import PeftConfig, PeftType

from hfmeta.adapters.private_mlp import PrivateMlpConfig
from hfmeta.inner.errors import HfmetaError
from private import private
from tiny import tiny_bert

OPTIONS = {
    "target_modules": ["layer.1", "layer.0"],
    "exclude_modules": ["pooler"],
    "hidden_sizes": [8, 4],
    "last": "tanh",
    "gate": "full",
    "layers_to_transform": [0],
    "layers_pattern": "layer",
    "sparse": True,
    "base_learner": "me/learner",
    "base_learner_revision": "abc",
}


def test_a_round_trip_through_peft(tmp_path):
    config = PrivateMlpConfig(**OPTIONS)
    config.save_pretrained(str(tmp_path))
    again = PeftConfig.from_pretrained(str(tmp_path))
    assert isinstance(again, PrivateMlpConfig)
    assert again == config
    assert again.peft_type is PeftType("PRIVATE_MLP")
    written = json.loads((tmp_path / "adapter_config.json").read_text())
    assert written["peft_type"] == "PRIVATE_MLP"
    assert written["target_modules"] == ["layer.0", "layer.1"]
    assert (written["base_learner"], written["base_learner_revision"]) == ("me/learner", "abc")


def test_one_number_is_a_bottleneck():
    assert PrivateMlpConfig(hidden_sizes=16).hidden_sizes == [16]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"hidden_sizes": [8, 0]}, "every size must be a whole number of at least 1"),
        ({"last": "relu"}, "last='relu' is not known to the private MLP; choose one of tanh, linear"),
        ({"gate": "wide"}, "gate='wide' is not known to a private adapter; choose one of diagonal, full"),
        ({"layers_pattern": "layer"}, "layers_pattern counts nothing by itself: give layers_to_transform too"),
    ],
)
def test_refusals(options, said):
    with pytest.raises(HfmetaError, match=said):
        PrivateMlpConfig(**options)


def test_the_card_says_how_to_open_it(tmp_path):
    model = private(tiny_bert())
    model.save_pretrained(tmp_path)
    model.save_pretrained(tmp_path)
    card = (tmp_path / "README.md").read_text(encoding="utf-8")
    assert card.count("import hfmeta") == 1
    assert "PeftModel.from_pretrained" in card
