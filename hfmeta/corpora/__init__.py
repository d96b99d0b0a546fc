"""Named corpora in their published formats -> datasets.Dataset, and endless families; reads local folders, never downloads."""

from hfmeta.corpora.intents import load_intents, load_quickstart_intents
from hfmeta.corpora.omniglot import load_lake_runs, load_omniglot, omniglot_splits, rotate_classes
from hfmeta.corpora.sinusoid import Sinusoid

__all__ = [
    "Sinusoid",
    "load_intents",
    "load_lake_runs",
    "load_omniglot",
    "load_quickstart_intents",
    "omniglot_splits",
    "rotate_classes",
]
