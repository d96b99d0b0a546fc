"""How a gradient changes the values: `rule.start(params)`, `rule(params, grads, losses, state)`."""

from hfmeta.inner.rules.adam import Adam
from hfmeta.inner.rules.lstm import Lstm
from hfmeta.inner.rules.per_step import PerStep
from hfmeta.inner.rules.sgd import Sgd
from hfmeta.inner.rules.wrappers import Apart, Clip, Masked, Pulled, Shrink, Waiting

__all__ = ["Adam", "Apart", "Clip", "Lstm", "Masked", "PerStep", "Pulled", "Sgd", "Shrink", "Waiting"]
