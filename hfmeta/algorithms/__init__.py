"""One file per published algorithm: a dataclass of options and the factories of its init and rule."""

from hfmeta.algorithms.anil import Anil
from hfmeta.algorithms.base import Algorithm, HeadNames, RowShape
from hfmeta.algorithms.cmaml import Cmaml
from hfmeta.algorithms.hsml import Hsml
from hfmeta.algorithms.implicit_maml import ImplicitMaml
from hfmeta.algorithms.lstm import LstmMetaLearner
from hfmeta.algorithms.maml import Maml
from hfmeta.algorithms.maml_plus_plus import MamlPlusPlus
from hfmeta.algorithms.meta_sgd import MetaSgd
from hfmeta.algorithms.registry import AlgorithmInfo, algorithm_origin, find_algorithm, list_algorithms
from hfmeta.algorithms.reptile import Reptile

__all__ = [
    "Algorithm",
    "AlgorithmInfo",
    "Anil",
    "Cmaml",
    "HeadNames",
    "Hsml",
    "ImplicitMaml",
    "LstmMetaLearner",
    "Maml",
    "MamlPlusPlus",
    "MetaSgd",
    "Reptile",
    "RowShape",
    "algorithm_origin",
    "find_algorithm",
    "list_algorithms",
]
