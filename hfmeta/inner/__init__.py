"""The mathematics of the inner loop; torch only."""

from hfmeta.inner.errors import HfmetaError, NonFiniteLossError, UnusedParameterError
from hfmeta.inner.loop import inner_loop
from hfmeta.inner.modes import GradientMode, Implicit
from hfmeta.inner.types import Batch, Bound, Evaluation, Evaluator, Params, Rule

__all__ = [
    "Batch",
    "Bound",
    "Evaluation",
    "Evaluator",
    "GradientMode",
    "HfmetaError",
    "Implicit",
    "NonFiniteLossError",
    "Params",
    "Rule",
    "UnusedParameterError",
    "inner_loop",
]
