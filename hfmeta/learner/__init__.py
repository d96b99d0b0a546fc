"""The learner: a model, an algorithm, and a forward pass that contains the inner loop; and serving what its tasks own."""

from hfmeta.learner.clusters import Portraits, add_clusters, check_clusters, task_portraits
from hfmeta.learner.core import MetaLearner
from hfmeta.learner.serving import Serving

__all__ = ["MetaLearner", "Portraits", "Serving", "add_clusters", "check_clusters", "task_portraits"]
