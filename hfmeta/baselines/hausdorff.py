"""Matching drawings by the modified Hausdorff distance of their ink, the baseline of Lake's one-shot trials: 38.8 % error there."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.spatial.distance import cdist
from torch import Tensor

from hfmeta.inner.errors import HfmetaError
from hfmeta.metrics.scores import IGNORED

Points = NDArray[np.float64]


def ink_points(image: Tensor, threshold: float = 0.5) -> Points:
    """The places of a drawing's ink, with their mean at the origin.

    Args:
        image: `[c, h, w]`; ink is where the mean over channels is above the threshold.
        threshold: between paper and ink.

    Returns:
        `[n, 2]`, row and column in pixels; n is 0 for a blank drawing.

    Raises:
        HfmetaError: no image.
    """
    if image.dim() != 3:
        raise HfmetaError(f"ink is looked for in an image [c, h, w]; received a tensor of shape {list(image.shape)}.")
    points = np.argwhere(image.detach().cpu().float().mean(0).numpy() > threshold).astype(np.float64)
    return points - points.mean(0) if len(points) else points


def modified_hausdorff(first: Points, second: Points) -> float:
    """The larger of the two mean distances from the points of one set to the nearest of the other.

    Args:
        first: `[n, 2]`.
        second: `[m, 2]`.

    Returns:
        the distance; infinite where one of the sets is empty.

    Source: Dubuisson, Jain 1994, A modified Hausdorff distance for object matching (their distance 22).
    """
    if not (len(first) and len(second)):
        return float("inf")
    distances = cdist(first, second)
    return float(max(distances.min(1).mean(), distances.min(0).mean()))


def hausdorff_matching(episodes: Iterable[Mapping[str, Any]], threshold: float = 0.5) -> Tensor:
    """Accuracy of giving each query drawing the class of the nearest support drawing.

    On Lake's official runs at their own 105 x 105 pixels the mean error must be 38.8 %.

    Args:
        episodes: T dicts `{"support": {"pixel_values": [S, 1, h, w], "labels": [S]}, "query": ...}`.
        threshold: between paper and ink.

    Returns:
        `[T]`, float64, shares from 0 to 1.

    Raises:
        HfmetaError: episodes without images.
    """
    accuracies = []
    for episode in episodes:
        support, query = episode["support"], episode["query"]
        if "pixel_values" not in support:
            raise HfmetaError(f"drawings are matched by pixel_values; the episodes have {', '.join(support)}.")
        known = [place for place, label in enumerate(support["labels"].tolist()) if label != IGNORED]
        shown = [ink_points(support["pixel_values"][place], threshold) for place in known]
        right = []
        for image, label in zip(query["pixel_values"], query["labels"].tolist(), strict=True):
            if label == IGNORED:
                continue
            asked = ink_points(image, threshold)
            nearest = int(np.argmin([modified_hausdorff(asked, each) for each in shown]))
            right.append(int(support["labels"][known[nearest]]) == label)
        accuracies.append(float(np.mean(right)) if right else float("nan"))
    return torch.tensor(accuracies, dtype=torch.float64)
