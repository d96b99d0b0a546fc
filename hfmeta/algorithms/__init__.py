"""One file per published algorithm: a dataclass of options and the factories of its init and rule."""

from hfmeta.algorithms.anil import Anil
from hfmeta.algorithms.base import Algorithm, HeadNames
from hfmeta.algorithms.cmaml import Cmaml
from hfmeta.algorithms.maml import Maml
from hfmeta.algorithms.maml_plus_plus import MamlPlusPlus
from hfmeta.algorithms.meta_sgd import MetaSgd
from hfmeta.algorithms.registry import AlgorithmInfo, algorithm_origin, find_algorithm, list_algorithms

__all__ = [
    "Algorithm",
    "AlgorithmInfo",
    "Anil",
    "Cmaml",
    "HeadNames",
    "Maml",
    "MamlPlusPlus",
    "MetaSgd",
    "algorithm_origin",
    "find_algorithm",
    "list_algorithms",
]
