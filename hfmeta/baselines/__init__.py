"""What a user would do instead of meta-learning, on the very same episodes: frozen features with a simple classifier, fine-tuning,
matching of drawings.

Not here: meta-learned models (learner, trainer) and intervals over tasks (metrics room). A given model is never changed, and runs in
evaluation mode.
"""

from hfmeta.baselines.classifiers import logistic_regression, nearest_class_mean
from hfmeta.baselines.features import EpisodeFeatures, frozen_features
from hfmeta.baselines.hausdorff import hausdorff_matching, modified_hausdorff
from hfmeta.baselines.tuning import fine_tuning, no_adaptation

__all__ = [
    "EpisodeFeatures",
    "fine_tuning",
    "frozen_features",
    "hausdorff_matching",
    "logistic_regression",
    "modified_hausdorff",
    "nearest_class_mean",
    "no_adaptation",
]
