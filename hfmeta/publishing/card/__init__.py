"""Model cards, from facts: of a learner, an adapted model, private adapters. The words stand in `templates/`, one file a kind."""

from hfmeta.publishing.card.adapted import adapted_card
from hfmeta.publishing.card.learner import IMAGES, card_images, content_of_results, learner_card
from hfmeta.publishing.card.private import private_card

__all__ = ["IMAGES", "adapted_card", "card_images", "content_of_results", "learner_card", "private_card"]
