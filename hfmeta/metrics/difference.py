"""Diff Score and Delta Score: how far adapted models lie from each other and from where they started.

Models are added one by one and forgotten, so any number of them fits in the memory of two. Not here: how structures differ
(`structure.py`).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from hfmeta.inner.errors import HfmetaError
from hfmeta.metrics.scores import mean_ci95

PAPER_UNIT = 1e-10
"""The unit of the published tables."""


@dataclass(frozen=True)
class ModelDifferences:
    """Squared distances between models divided by their number of parameters.

    Args:
        diff: Diff Score: mean over pairs of adapted models; nan for one model.
        diff_ci95: half width of its 95 % interval over tasks, by the jackknife; nan where the models could be read only once, or are
            fewer than three.
        delta: Delta Score: mean over tasks of the distance between the start and the adapted model.
        delta_ci95: half width of its 95 % interval over tasks; nan for one model.
        models: number of adapted models.
        parameters: parameters of one model (M), pruned ones counted, tied ones once.
        unit: what all figures were divided by.
    """

    diff: float
    diff_ci95: float
    delta: float
    delta_ci95: float
    models: int
    parameters: int
    unit: float


class DifferenceSums:
    """Running sums from which the mean distance of all pairs of models follows exactly.

    With x_i the displacement of model i from the start and n models, the mean over pairs of |x_i - x_j|^2 is 2 / (n - 1) times
    the sum of |x_i - mean|^2, which Welford's recurrence keeps in float64 without cancellation. Kept: the start and the mean.

    Args:
        start: the model before adaptation, or its parameters by name. Tied parameters (one tensor under two names) count once. Of a
            mapping every tensor counts, so leave buffers out, as `named_parameters()` does.

    Raises:
        HfmetaError: no parameters.

    Source: Song et al. 2020 (CMAML), "Model difference".
    """

    def __init__(self, start: nn.Module | Mapping[str, Tensor]):
        self._start = {name: value.detach().cpu().clone() for name, value in _untied(start).items()}
        if not self._start:
            raise HfmetaError("a model difference needs parameters to compare: the start has none.")
        self._mean: dict[str, Tensor] = {}
        self._about_mean = 0.0
        self._from_start: list[float] = []

    @property
    def parameters(self) -> int:
        """M, the number of parameters of one model."""
        return sum(value.numel() for value in self._start.values())

    def add(
        self,
        model: nn.Module | Mapping[str, Tensor],
        masks: Mapping[str, Tensor] | None = None,
        *,
        partial: bool = False,
    ) -> None:
        """Take one adapted model into the sums.

        Args:
            model: the adapted model, or its parameters by the names of the start.
            masks: the task's structure by parameter name, true where an edge is kept: a pruned edge counts as 0 whatever its value.
            partial: the mapping holds only what moved (an adapter, say); all else is as in the start. Not for masked names.

        Raises:
            HfmetaError: names or shapes other than the start's, a value that is not finite.
        """
        moved = self._displacement(model, masks, partial)
        count = len(self._from_start) + 1
        for name in moved.keys() | self._mean.keys():
            step = moved.get(name, torch.zeros((), dtype=torch.float64))
            mean = self._mean.setdefault(name, torch.zeros(self._start[name].shape, dtype=torch.float64))
            from_old = step - mean
            mean += from_old / count
            self._about_mean += float((from_old * (step - mean)).sum())
        self._from_start.append(math.fsum(float(step.square().sum()) for step in moved.values()))

    def distance_from_mean(
        self,
        model: nn.Module | Mapping[str, Tensor],
        masks: Mapping[str, Tensor] | None = None,
        *,
        partial: bool = False,
    ) -> float:
        """Squared distance of a model from the mean of those added, for intervals.

        Args:
            model: as for `add`.
            masks: as for `add`.
            partial: as for `add`.
        """
        moved = self._displacement(model, masks, partial)
        zero = torch.zeros((), dtype=torch.float64)
        names = moved.keys() | self._mean.keys()
        return math.fsum(float((moved.get(name, zero) - self._mean.get(name, zero)).square().sum()) for name in names)

    def result(self, unit: float = 1.0, about_mean: Sequence[float] | None = None) -> ModelDifferences:
        """The scores of the models added so far.

        Args:
            unit: what to divide by; `PAPER_UNIT` gives figures like the published ones.
            about_mean: `distance_from_mean` of every model added, for an interval of the Diff Score.

        Raises:
            HfmetaError: no models, or a unit that is not positive.
        """
        count = len(self._from_start)
        if count == 0:
            raise HfmetaError("a model difference needs at least one adapted model: none was added.")
        if not unit > 0:
            raise HfmetaError(f"the unit of a model difference must be positive: received {unit}.")
        scale = 1.0 / (self.parameters * unit)
        diff = 2.0 * self._about_mean / (count - 1) * scale if count > 1 else math.nan
        delta, delta_ci95 = mean_ci95([value * scale for value in self._from_start])
        diff_ci95 = math.nan
        if about_mean is not None and count > 2:
            # Without model i: sum about the new mean = sum - n / (n - 1) |x_i - mean|^2.
            left = self._about_mean - count / (count - 1) * np.asarray(about_mean)
            without = 2.0 * left / (count - 2) * scale
            diff_ci95 = 1.96 * math.sqrt((count - 1) / count * float(((without - without.mean()) ** 2).sum()))
        return ModelDifferences(diff, diff_ci95, delta, delta_ci95, count, self.parameters, unit)

    def _displacement(
        self, model: nn.Module | Mapping[str, Tensor], masks: Mapping[str, Tensor] | None, partial: bool
    ) -> dict[str, Tensor]:
        """Adapted minus start in float64, pruned edges as 0, for the names that the model has."""
        values = dict(model.named_parameters()) if isinstance(model, nn.Module) else dict(model)
        absent = sorted(self._start.keys() - values.keys())
        masks = masks or {}
        if (absent and not partial) or any(name in absent for name in masks):
            raise HfmetaError(
                f"the adapted model lacks {len(absent)} of the start's parameters: {', '.join(absent[:5])}. "
                "Compare models of one architecture, "
                "or pass partial=True where it holds only what moved (masked tensors always belong to that)."
            )
        foreign = sorted(masks.keys() - self._start.keys())
        if partial:
            foreign += sorted(values.keys() - self._start.keys())
        if foreign:
            raise HfmetaError(f"the start has no parameter named {', '.join(foreign[:5])}.")
        moved = {}
        for name, start in self._start.items():
            if name not in values:
                continue
            value, mask = values[name].detach().cpu(), masks.get(name)
            shapes = {tuple(start.shape), tuple(value.shape), tuple(mask.shape if mask is not None else start.shape)}
            if len(shapes) > 1:
                raise HfmetaError(
                    f"{name} has shape {list(start.shape)} in the start, {list(value.shape)} in the adapted model"
                    + (f" and {list(mask.shape)} in the mask." if mask is not None else ".")
                )
            kept = value.double() if mask is None else value.double().masked_fill(~mask.cpu().bool(), 0.0)
            moved[name] = kept - start.double()
            if not bool(moved[name].isfinite().all()):
                raise HfmetaError(f"{name} of the adapted model holds values that are not finite.")
        return moved


def model_differences(
    models: Iterable[nn.Module | Mapping[str, Tensor]],
    start: nn.Module | Mapping[str, Tensor],
    masks: Sequence[Mapping[str, Tensor] | None] | None = None,
    *,
    partial: bool = False,
    unit: float = 1.0,
) -> ModelDifferences:
    """Diff Score and Delta Score of the adapted models of some tasks.

    Args:
        models: one adapted model for each task, or its parameters by name. Anything that can be gone through twice (a list, an object
            that loads one model after the other) also gets an interval of the Diff Score; a generator is read once.
        start: the model before adaptation.
        masks: one structure for each model, or None for those that are not pruned.
        partial: the models hold only what moved.
        unit: what to divide by; `PAPER_UNIT` (1e-10) gives figures like the published ones.

    Raises:
        HfmetaError: no models, another number of masks than models, models that do not fit the start.

    Source: Song et al. 2020 (CMAML): D(i, j) = |theta_i - theta_j|^2 / M.
    """
    sums = DifferenceSums(start)
    count = 0
    for model in models:
        sums.add(model, _mask_of(masks, count), partial=partial)
        count += 1
    if masks is not None and len(masks) != count:
        raise HfmetaError(
            f"a model difference needs one structure (or None) for each model: got {len(masks)} and {count}."
        )
    if iter(models) is models or count < 3:
        return sums.result(unit)
    about = [
        sums.distance_from_mean(model, _mask_of(masks, number), partial=partial) for number, model in enumerate(models)
    ]
    return sums.result(unit, about)


def _mask_of(masks: Sequence[Mapping[str, Tensor] | None] | None, number: int) -> Mapping[str, Tensor] | None:
    return masks[number] if masks is not None and number < len(masks) else None


def _untied(model: nn.Module | Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Parameters by name, a tensor that several names share under the first of them."""
    if isinstance(model, nn.Module):
        return dict(model.named_parameters())
    seen: dict[tuple[object, ...], str] = {}
    kept = {}
    for name, value in model.items():
        place = (value.data_ptr(), tuple(value.shape), value.stride(), value.device) if value.numel() else (name,)
        if seen.setdefault(place, name) == name:
            kept[name] = value
    return kept
