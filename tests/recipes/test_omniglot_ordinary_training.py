"""recipes/omniglot/ordinary_training.py on made-up drawings: classes by quarter turn, stored statistics, every setting's rows."""

from __future__ import annotations

import json

import pytest
import torch
from transformers import AutoModelForImageClassification

from hfmeta.corpora import load_omniglot, omniglot_splits
from recipes.scripts import script
from tiny_recipes import write_omniglot


@pytest.fixture(scope="module")
def room(tmp_path_factory):
    return write_omniglot(tmp_path_factory.mktemp("omniglot"))


def test_every_quarter_turn_is_a_class(room):
    rows = omniglot_splits(load_omniglot(room))["train"]
    drawings = script("omniglot/ordinary_training.py").TurnedDrawings(rows)
    assert (len(drawings), drawings.classes) == (4 * len(rows), 4400)
    upright, turned = drawings[4], drawings[5]
    assert turned["labels"] == upright["labels"] + 1
    assert torch.equal(turned["pixel_values"][0], upright["pixel_values"][0].rot90())


def test_statistics_are_those_of_the_images():
    ordinary = script("omniglot/ordinary_training.py")
    options = {**ordinary.CONFIG, "num_filters": 4, "statistics": "task", "statistics_momentum": 1.0}
    model = ordinary.load_model("hfmeta-conv4", "image-classification", num_labels=3, config_overrides=options)
    images = torch.rand(50, 1, 28, 28, generator=torch.Generator().manual_seed(1))
    together = model(pixel_values=images).logits
    ordinary.fix_statistics(model, ordinary.statistics_of(model, images))
    alone = model(pixel_values=images[:1]).logits
    # The stored variance is the unbiased one, that of a batch is not.
    torch.testing.assert_close(alone, together[:1], rtol=0.02, atol=1e-4)


def test_the_classifier_and_its_rows(room, tmp_path):
    target, output = tmp_path / "results", tmp_path / "classifier"
    words = [str(target), "--data", str(room), "--output", str(output), "--steps", "2", "--settings", "5way_1shot"]
    ordinary = script("omniglot/ordinary_training.py")
    few = ["--set", "data.valid_tasks=2", "data.test_tasks=3", "data.train_tasks=2"]
    assert ordinary.main([*words, *few]) == [target / "ordinary_training_5way_1shot.json"]
    made = json.loads((target / "ordinary_training_5way_1shot.json").read_text())
    assert set(made["baselines"]) == {"frozen_ncm", "frozen_logreg", "fine_tuning"}
    assert made["baselines"]["fine_tuning"]["tasks"] == made["episodes"]["count"] == 3
    assert made["baselines"]["fine_tuning"]["options"]["lr"] in (3e-4, 1e-3, 3e-3)
    assert set(made["fine_tuning_minus"]) == {"frozen_ncm", "frozen_logreg"}
    model = AutoModelForImageClassification.from_pretrained(output)
    assert (model.config.num_labels, model.config.statistics) == (4400, "fixed")
    before = (output / "model.safetensors").read_bytes()
    ordinary.main([*words, *few])
    assert (output / "model.safetensors").read_bytes() == before, "a classifier that is there is not trained again"
