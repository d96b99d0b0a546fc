"""hfmeta: adapt to a task from a handful of examples, as a method of any Hugging Face model.

Shape letters, used everywhere: T tasks in a batch, S support examples, Q query examples, L tokens, C classes in an episode, P adapted
scalars, K inner steps.
"""

from hfmeta.algorithms import Algorithm, Anil, Maml, MamlPlusPlus, MetaSgd
from hfmeta.config import MetaConfig
from hfmeta.episodes import EpisodeDataset, FixedEpisodes
from hfmeta.inner.errors import HfmetaError
from hfmeta.learner import MetaLearner
from hfmeta.trainer import MamlTrainer, MetaTrainer

__version__ = "0.1.0"

__all__ = [
    "Algorithm",
    "Anil",
    "EpisodeDataset",
    "FixedEpisodes",
    "HfmetaError",
    "Maml",
    "MamlPlusPlus",
    "MamlTrainer",
    "MetaConfig",
    "MetaLearner",
    "MetaSgd",
    "MetaTrainer",
]
