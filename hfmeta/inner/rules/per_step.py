"""Values that the outer loop learns for each inner step, instead of the inner loop's moving them (MAML++'s normalisation weights)."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from hfmeta.inner.errors import HfmetaError
from hfmeta.inner.rules.sgd import key
from hfmeta.inner.types import Params


class PerStep(nn.Module):
    """After inner step k, every named tensor has the value that was learned for k, whatever its gradient and its task.

    The value before the first step is the model's own. So K steps have K + 1 sets of values, one for each state of the network, and
    the query set is evaluated with the set of the state that it meets. (The code of Antoniou et al. 2019, section 4.4, has K sets
    and evaluates the query set after step k with that of the support pass before it.)

    Args:
        theta: the tensors, by name, without task dimension; they are where all values start.
        steps: K. Steps beyond K keep the last values.

    Raises:
        HfmetaError: no tensor, or no step.
    """

    def __init__(self, theta: Params, steps: int):
        super().__init__()
        if not theta or steps < 1:
            raise HfmetaError(f"values per step need at least one tensor and one step, not {len(theta)} and {steps}.")
        self.steps = steps
        self.values = nn.ParameterDict()
        for name, value in theta.items():
            self.values[key(name)] = nn.Parameter(torch.stack([value.detach()] * steps))

    def start(self, params: Params) -> dict[str, Any]:
        """The state is the index of the step."""
        return {"step": 0}

    def forward(self, params: Params, grads: Params, losses: Tensor, state: dict[str, Any]) -> tuple[Params, Any]:
        """The values of the next state, `[T, ...]`, the same for every task."""
        step = state["step"]
        at = min(step, self.steps - 1)
        return {name: self.values[key(name)][at].expand_as(value) for name, value in params.items()}, {"step": step + 1}
