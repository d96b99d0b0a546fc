"""One vector for each row of a support set, from what the model reads and its label: the input of the task embedding.

Numbers as they are (regression), a small convolutional encoder of its own (images), or the model's own pooled features; classes
as one-hot codes beside them. Not here: how the rows of a set become one vector (embedding.py).
"""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from hfmeta.inner.inits.task_gate.initial import Like, constant, normal
from hfmeta.inner.types import Batch

Features = Callable[[], Tensor]


class RawRows(nn.Module):
    """The numbers a regression model reads, and the numbers it is to predict.

    Args:
        name: of the model's input, `[T, S, inputs]`.
        width: inputs and outputs together.
    """

    most_classes = None

    def __init__(self, name: str, width: int):
        super().__init__()
        self.name, self.width = name, width

    def forward(self, support: Batch, features: Features) -> Tensor:
        """`[T, S, width]`."""
        return torch.cat([support[self.name].flatten(2), support["labels"].flatten(2)], -1)


class FeatureRows(nn.Module):
    """What the model feeds its head before it adapts, and the class.

    Args:
        width: of the features.
        labels: classes, numbers per label, or 0 where features know their labels (language models).
        classes: whether labels are classes.
        detach: the model does not learn from how it is read here.
    """

    def __init__(self, width: int, labels: int, classes: bool, detach: bool):
        super().__init__()
        self.width, self.labels, self.classes, self.detach = width + labels, labels, classes, detach
        self.most_classes = labels if classes else None

    def forward(self, support: Batch, features: Features) -> Tensor:
        """`[T, S, width]`."""
        if self.detach:
            with torch.no_grad():
                found = features().detach()  # they may be there already, with their graph
        else:
            found = features()
        if not self.labels:
            return found
        codes = one_hot(support["labels"], self.labels) if self.classes else support["labels"].flatten(2)
        return torch.cat([found, codes.to(found.dtype)], -1)


class ConvolutionalRows(nn.Module):
    """An encoder of images with a code of the class beside its 64 features (the reference implementation of Yao et al. 2019).

    Twice: convolution 5 x 5 without bias, ReLU, max-pooling 3 x 3 of stride 2 and local response normalisation, in the second block in
    the other order; then two dense layers with ReLU, of 384 and 64.

    Args:
        name: of the model's input, `[T, S, channels, side, side]`.
        channels, side: of the images.
        classes: C.
        where: type and device.
    """

    filters, hidden, features, std = 32, 384, 64, 0.04

    def __init__(self, name: str, channels: int, side: int, classes: int, where: Like):
        super().__init__()
        self.name, self.most_classes, self.width = name, classes, self.features + classes
        left = (side + 3) // 4  # halved twice, rounded up
        self.first = normal((self.filters, channels, 5, 5), self.std, where)
        self.second = normal((self.filters, self.filters, 5, 5), self.std, where)
        self.dense = normal((self.filters * left * left, self.hidden), self.std, where)
        self.dense_bias = constant((self.hidden,), 0.1, where)
        self.last = normal((self.hidden, self.features), self.std, where)
        self.last_bias = constant((self.features,), 0.1, where)
        # torch divides alpha by the size of the window, the reference does not.
        self.normalise = nn.LocalResponseNorm(size=9, alpha=0.001, beta=0.75, k=1.0)

    def forward(self, support: Batch, features: Features) -> Tensor:
        """`[T, S, width]`."""
        images = support[self.name]
        hidden = images.flatten(0, 1)
        hidden = self.normalise(_halved(F.relu(F.conv2d(hidden, self.first, padding=2))))
        hidden = _halved(self.normalise(F.relu(F.conv2d(hidden, self.second, padding=2))))
        hidden = F.relu(hidden.flatten(1) @ self.dense + self.dense_bias)
        hidden = F.relu(hidden @ self.last + self.last_bias).unflatten(0, images.shape[:2])
        return torch.cat([hidden, one_hot(support["labels"], self.most_classes).to(hidden.dtype)], -1)


def _halved(images: Tensor) -> Tensor:
    """Max-pooling 3 x 3 of stride 2 that keeps ceil(side / 2) pixels; padding goes to the right and below where it is odd."""
    total = [max((-(-side // 2) - 1) * 2 + 3 - side, 0) for side in images.shape[-2:]]
    pad = [total[1] // 2, total[1] - total[1] // 2, total[0] // 2, total[0] - total[0] // 2]
    return F.max_pool2d(F.pad(images, pad, value=float("-inf")), 3, 2)


def one_hot(labels: Tensor, classes: int) -> Tensor:
    """Codes `[T, S, C]` of classes `[T, S]`; zeros for a padded row (-100)."""
    return F.one_hot(labels.clamp_min(0), classes) * (labels >= 0).unsqueeze(-1)


def present(labels: Tensor) -> Tensor | None:
    """Which rows are no padding, `[T, S]`; None where all are (the labels of padding are -100 throughout)."""
    if labels.is_floating_point():
        return None
    real = (labels != -100).flatten(2).any(-1) if labels.dim() > 2 else labels != -100
    return None if bool(real.all()) else real
