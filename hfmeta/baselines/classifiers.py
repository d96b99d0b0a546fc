"""Simple classifiers on frozen features, one fitted to each support set."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import normalize

from hfmeta.baselines.features import EpisodeFeatures
from hfmeta.inner.errors import HfmetaError
from hfmeta.inner.inits.head import class_means
from hfmeta.metrics.scores import IGNORED, task_accuracy

METRICS = ("euclidean", "cosine")


def nearest_class_mean(features: Sequence[EpisodeFeatures], metric: str = "euclidean") -> Tensor:
    """Accuracy of giving each query row the class whose mean support feature is nearest.

    Args:
        features: of T episodes.
        metric: "euclidean", or "cosine" (features and means scaled to unit length).

    Returns:
        [T], float64, shares from 0 to 1.

    Raises:
        HfmetaError: an unknown metric.
    """
    if metric not in METRICS:
        raise HfmetaError(f"unknown metric {metric!r} for nearest_class_mean; choose one of {', '.join(METRICS)}.")
    accuracies = []
    for support, support_labels, query, query_labels in features:
        if metric == "cosine":
            support, query = normalize(support, dim=-1), normalize(query, dim=-1)
        means, present = class_means(support[None], support_labels[None], int(support_labels.max()) + 1)
        if metric == "cosine":
            means = normalize(means, dim=-1)
        distances = torch.cdist(query, means[0]).masked_fill(~present[0], torch.inf)
        accuracies.append(task_accuracy(-distances[None], query_labels[None]))
    return torch.cat(accuracies).cpu()


def logistic_regression(features: Sequence[EpisodeFeatures], C: float = 1.0) -> Tensor:
    """Accuracy of scikit-learn's logistic regression fitted to each support set.

    Features are scaled to unit length first, so that C means the same for every model.

    Args:
        features: of T episodes.
        C: inverse strength of the L2 penalty; scikit-learn's default.

    Returns:
        [T], float64, shares from 0 to 1.
    """
    from sklearn.linear_model import LogisticRegression  # slow to import, and needed by this baseline alone

    accuracies = []
    for support, support_labels, query, query_labels in features:
        known, wanted = (support_labels != IGNORED).cpu().numpy(), query_labels.cpu().numpy()
        x, y = normalize(support, dim=-1).cpu().double().numpy()[known], support_labels.cpu().numpy()[known]
        if len(np.unique(y)) == 1:
            predicted = np.full(len(wanted), y[0])
        else:
            classifier = LogisticRegression(C=C, max_iter=1000).fit(x, y)
            predicted = classifier.predict(normalize(query, dim=-1).cpu().double().numpy())
        counted = wanted != IGNORED
        accuracies.append(float((predicted == wanted)[counted].mean()) if counted.any() else float("nan"))
    return torch.tensor(accuracies, dtype=torch.float64)
