"""How a gradient changes the values: `rule.start(params)`, `rule(params, grads, losses, state)`."""

from hfmeta.inner.rules.sgd import Sgd
from hfmeta.inner.rules.wrappers import Clip, Shrink

__all__ = ["Clip", "Sgd", "Shrink"]
