"""The learner: a model, an algorithm, and a forward pass that contains the inner loop."""

from hfmeta.learner.core import MetaLearner

__all__ = ["MetaLearner"]
