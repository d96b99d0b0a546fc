"""Toy regression over four families of functions of one number, endless: sinusoids, lines, quadratics and cubics."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from hfmeta.episodes.errors import EpisodeError, whole_number
from hfmeta.episodes.generators import Episode, episodes_of_points, uniforms

FAMILIES = ("sinusoid", "line", "quadratic", "cubic")
SIN_FORMS = ("offset", "phase")

# Ranges of the four coefficients of each family; a family that needs fewer does not read the rest.
_RANGES = np.array(
    [
        [(0.1, 5.0), (0.8, 1.2), (0.0, 2 * math.pi), (0.0, 0.0)],
        [(-3.0, 3.0), (-3.0, 3.0), (0.0, 0.0), (0.0, 0.0)],
        [(-0.2, 0.2), (-2.0, 2.0), (-3.0, 3.0), (0.0, 0.0)],
        [(-0.1, 0.1), (-0.2, 0.2), (-2.0, 2.0), (-3.0, 3.0)],
    ]
)


class FunctionFamilies:
    """Tasks y = f(x), x ~ U[-5, 5], of a family drawn anew for every task.

    - sinusoid: A sin(w x) + b, A ~ U[0.1, 5], w ~ U[0.8, 1.2], b ~ U[0, 2 pi]
    - line: A x + b, A and b ~ U[-3, 3]
    - quadratic: A x^2 + b x + c, A ~ U[-0.2, 0.2], b ~ U[-2, 2], c ~ U[-3, 3]
    - cubic: A x^3 + b x^2 + c x + d, A ~ U[-0.1, 0.1], b ~ U[-0.2, 0.2], c ~ U[-2, 2], d ~ U[-3, 3]

    The task of a key is the same for every size of its sets: family and coefficients are drawn first.

    Args:
        support: points in the support set, S.
        query: points in the query set, Q.
        noise_std: standard deviation of normal noise on every y; 0 in the authors' code.
        sin_form: where a sinusoid's b stands: `offset`, added to the sine as above (the authors' code), or `phase`, A sin(w x + b).

    Raises:
        EpisodeError: an empty set, negative noise, or an unknown form.

    Source: Yao, Wei, Huang, Li 2019, Hierarchically structured meta-learning, section 5.1; ranges of the authors' code.

    Example:
        >>> families = FunctionFamilies(support=5, query=10)
        >>> families.task(seed=0, epoch=0, index=3)["support"]["labels"].shape
        torch.Size([5, 1])
        >>> FAMILIES[families.families(0, [(0, 3)])[0]] in FAMILIES
        True
    """

    x_range = (-5.0, 5.0)

    def __init__(self, support: int = 10, query: int = 10, noise_std: float = 0.0, sin_form: str = "offset"):
        self.support = whole_number("support", support, 1, "point")
        self.query = whole_number("query", query, 1, "point")
        if not 0 <= noise_std < math.inf:
            raise EpisodeError(f"noise_std must be zero or more, not {noise_std!r}.")
        if sin_form not in SIN_FORMS:
            raise EpisodeError(f"sin_form must be one of {', '.join(SIN_FORMS)}, not {sin_form!r}.")
        self.noise_std, self.sin_form = noise_std, sin_form

    def families(self, seed: int, keys: Sequence[tuple[int, int]]) -> list[int]:
        """Return the family of each (epoch, index) key, a place in `FAMILIES`."""
        return [int(family) for family in 4 * uniforms(seed, keys, 1)[:, 0]]

    def task(self, seed: int, epoch: int, index: int) -> Episode:
        """Return the episode of (seed, epoch, index); its task id is the index."""
        return self.tasks(seed, [(epoch, index)])[0]

    def tasks(self, seed: int, keys: Sequence[tuple[int, int]]) -> list[Episode]:
        """Return the episodes of many keys at once: `inputs` and `labels`, float32 `[S, 1]` and `[Q, 1]`."""
        points = self.support + self.query
        # After family and coefficients three numbers a point: x, and two for its noise.
        unit = uniforms(seed, keys, 5 + 3 * points if self.noise_std else 5 + points)
        family = (4 * unit[:, 0]).astype(np.int64)
        low, high = _RANGES[family, :, 0], _RANGES[family, :, 1]
        coefficients = low + (high - low) * unit[:, 1:5]
        x = self.x_range[0] + (self.x_range[1] - self.x_range[0]) * unit[:, 5 : 5 + points]
        y = self._values(family, coefficients, x)
        if self.noise_std:
            first, second = unit[:, 5 + points : 5 + 2 * points], unit[:, 5 + 2 * points :]
            y = y + self.noise_std * np.sqrt(-2 * np.log1p(-first)) * np.cos(2 * math.pi * second)  # Box and Muller
        return episodes_of_points(x, y, self.support, keys)

    def _values(
        self, family: npt.NDArray[np.int64], coefficients: npt.NDArray[np.float64], x: npt.NDArray[np.float64]
    ) -> npt.NDArray[np.float64]:
        """y `[T, points]`."""
        a, b, c, d = (coefficients[:, place, None] for place in range(4))
        sine = a * np.sin(b * x) + c if self.sin_form == "offset" else a * np.sin(b * x + c)
        forms = [sine, a * x + b, (a * x + b) * x + c, ((a * x + b) * x + c) * x + d]
        return np.choose(family[:, None], forms)
