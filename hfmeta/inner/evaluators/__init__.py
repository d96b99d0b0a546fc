"""How the losses of a stack of tasks are computed: several ways, one number."""

from hfmeta.inner.evaluators.batched import Batched, own_values, owners, unsupported
from hfmeta.inner.evaluators.head import Head, captured_input, head_features
from hfmeta.inner.evaluators.lengths import LikeLength, passes_of_like_length, rows_trimmed
from hfmeta.inner.evaluators.looped import Looped
from hfmeta.inner.evaluators.vectorised import Vectorised

__all__ = [
    "Batched",
    "Head",
    "LikeLength",
    "Looped",
    "Vectorised",
    "captured_input",
    "head_features",
    "own_values",
    "owners",
    "passes_of_like_length",
    "rows_trimmed",
    "unsupported",
]
