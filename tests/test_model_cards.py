"""Holds `model_cards/` in step with the results it is made from, and every card acceptable to the client and a hub."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path

import matplotlib
import numpy as np
import pytest
from huggingface_hub import ModelCard, ModelCardData
from PIL import Image

from hub.cards import card_errors

ROOT = Path(__file__).resolve().parents[1]
FOLDER = ROOT / "model_cards"


def script():
    """scripts/make_model_cards.py as a module."""
    spec = importlib.util.spec_from_file_location("make_model_cards", ROOT / "scripts" / "make_model_cards.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


MAKER = script()
CARDS = MAKER.cards(ROOT)
NAMES = sorted(MAKER.published(ROOT))


def test_every_recipe_with_results_has_a_card():
    there = {str(path.parent.relative_to(FOLDER)) for path in FOLDER.glob("*/*/README.md")}
    assert there == set(NAMES), "run `make cards`, and delete cards whose results are gone"
    assert {"sinusoid/maml", "quickstart/maml_clinc150", "intents/maml_banking77_1shot"} <= there
    for name in NAMES:
        assert (ROOT / "recipes" / f"{name}.yaml").is_file(), f"the results of {name} name no recipe that is there"


@pytest.mark.parametrize("name", sorted(CARDS))
def test_a_card_is_what_its_results_say(name):
    assert (FOLDER / name).read_text(encoding="utf-8") == CARDS[name], "run `make cards`"


@pytest.mark.parametrize("name", NAMES)
def test_the_client_reads_every_card_and_a_hub_takes_it(name):
    text = CARDS[f"{name}/README.md"]
    card = ModelCard(text)
    assert card.data.eval_results
    assert ModelCardData(**card.data.to_dict()).to_dict() == card.data.to_dict()
    assert ModelCard(str(card)).data.eval_results == card.data.eval_results
    assert not card_errors(text)
    for named in re.findall(r"!\[.*?\]\((.*?)\)", text):
        assert (FOLDER / name / named).is_file()
    assert not re.search(r"(?<![\w<:/.])/(home|root|work|tmp|Users)/", text), "a path of a machine"
    assert "None" not in text


@pytest.mark.parametrize("name", NAMES)
def test_a_curve_is_that_of_its_results(name, tmp_path):
    path = FOLDER / name / MAKER.CURVE
    made = MAKER.draw(MAKER.published(ROOT)[name], tmp_path / "curve.png")
    assert path.is_file() == (made is not None)
    if made is None:
        return
    with Image.open(path) as old, Image.open(made) as new:
        assert old.size == new.size
        # Another version of matplotlib draws other pixels.
        if f"version{matplotlib.__version__}," in old.info["Software"]:
            assert np.array_equal(np.asarray(old), np.asarray(new)), "run `make cards`"


def test_the_templates_are_those_of_the_package():
    assert {path.name for path in (FOLDER / "templates").iterdir()} == {"learner.md", "adapted.md", "private.md"}
    assert (FOLDER / "templates").resolve() == ROOT / "hfmeta" / "publishing" / "card" / "templates"


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ("# no header", "there is no header"),
        ("---\n- a\n---\n", "not a mapping"),
        ("---\na: [\n---\n", "not YAML"),
        ("---\ntags: [1]\n---\n", '"tags" must be strings'),
        ("---\nbase_model: /home/me/base\n---\n", "is no repository"),
        ("---\npipeline_tag: guessing\n---\n", "is no task"),
        ("---\nlicense: mine\n---\n", "is no licence"),
        ("---\nmodel-index: x\n---\n", "must be a list"),
        ("---\nmodel-index: [{name: a}]\n---\n", "needs a name and results"),
        (
            "---\nmodel-index: [{name: a, results: [{task: {type: t}, dataset: {type: d}, metrics: []}]}]\n---\n",
            "needs dataset",
        ),
    ],
)
def test_the_loopback_hub_would_refuse_a_bad_card(wrong, message):
    assert message in " ".join(card_errors(wrong))
