"""Every kind of card through the real client's own validation, which asks a hub (tests/hub)."""

from __future__ import annotations

from pathlib import Path

import pytest

pytestmark = pytest.mark.xdist_group("hub")
CARDS = Path(__file__).resolve().parents[3] / "model_cards"
VALIDATE = """
from huggingface_hub import ModelCard
from hfmeta.publishing.card import adapted_card, learner_card, private_card
from publishing.card.made import content, results
about = {"learner": {"name": "me/learner", "revision": "sha256:12"}, "base": {"name": "some/model", "revision": None}}
adapted = {"task_type": "causal-lm", "class": "GPT2LMHeadModel", "model_type": "gpt2", "base": "gpt2", "peft": False}
texts = [path.read_text(encoding="utf-8") for path in sorted(Path(cards).glob("*/*/README.md"))]
texts += [learner_card(content("some/model")), learner_card(content("some/model"), results()), adapted_card(adapted)]
texts += [private_card(about, "LORA", 1), private_card(about, "PRIVATE_MLP", 7)]
for text in texts:
    ModelCard(text).validate()
print(len(texts))
"""
BAD = """
from huggingface_hub import ModelCard
try:
    ModelCard("---\\npipeline_tag: guessing\\n---\\n# Bad\\n").validate()
except ValueError as error:
    assert "is no task" in str(error), error
else:
    raise SystemExit("a bad card was accepted")
"""


def test_the_clients_validation_passes_for_every_card(run, hub, tmp_path):
    count = int(run(VALIDATE, tmp_path, cards=str(CARDS)).out.strip())
    assert count == len(hub.cards) == len(list(CARDS.glob("*/*/README.md"))) + 5


def test_a_bad_card_is_refused(run, hub, tmp_path):
    run(BAD, tmp_path)
    assert len(hub.cards) == 1
