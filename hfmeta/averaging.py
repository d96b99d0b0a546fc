"""What a run learned, averaged with what it started from.

Training on few classes also unlearns what a pretrained model knew of others. A point between the two in the space of weights is often
better than both (Wortsman et al. 2022, Robust fine-tuning of zero-shot models, section 3), and costs nothing later: it is one model.
"""

from __future__ import annotations

import logging

import torch

from hfmeta.inner.errors import HfmetaError
from hfmeta.learner import MetaLearner

logger = logging.getLogger(__name__)


class StartAverage:
    """Keeps the model's values of now, and later moves those that were trained since towards them.

    Args:
        learner: its model's trainable tensors are averaged; inner rates and gates are left as they were learned.
        weight: of the start, in [0, 1); with 0 nothing is kept.

    Raises:
        HfmetaError: a weight outside, or a learner with private networks, whose structures are cut for the values as they are.
    """

    def __init__(self, learner: MetaLearner, weight: float):
        if not 0 <= weight < 1:
            raise HfmetaError(
                f"start_weight={weight} is no weight of the start in an average; give at least 0 (none) and less than 1."
            )
        if weight and learner.private is not None:
            name = type(learner.algorithm).__name__
            raise HfmetaError(f"start_weight={weight} would move weights that {name} prunes to zero; leave it 0.")
        self.learner, self.weight = learner, weight
        trained = [(name, value) for name, value in learner.model.named_parameters() if value.requires_grad and weight]
        self.start = {name: value.detach().clone() for name, value in trained}

    def take(self) -> None:
        """Put the average in the place of what was learned."""
        if not self.weight:
            return
        with torch.no_grad():
            for name, value in self.learner.model.named_parameters():
                if name in self.start:
                    value.lerp_(self.start[name].to(value.device), self.weight)
        logger.info("what was learned is averaged with the start, which has a weight of %g.", self.weight)
