"""How a gradient changes the values: `rule.start(params)`, `rule(params, grads, losses, state)`."""

from hfmeta.inner.rules.sgd import Sgd
from hfmeta.inner.rules.wrappers import Clip, Masked, Shrink, Waiting

__all__ = ["Clip", "Masked", "Sgd", "Shrink", "Waiting"]
