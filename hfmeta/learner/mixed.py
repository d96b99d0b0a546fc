"""Rows of one batch that belong to different users, through the shared model together, each with its own user's private values.

Every private layer is linear (both matrices of a LoRA, the layers of a private MLP), so a batch of users is a batched product in those
layers and one pass in all others, as in training (inner/evaluators/batched.py).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from hfmeta.inner.errors import HfmetaError
from hfmeta.inner.evaluators import own_values, owners, unsupported
from hfmeta.models import mixes_rows


class MixedBatch:
    """Passes the rows of many users through one model.

    Args:
        model: it stays as it is between calls.
        names: its private tensors.

    Attributes:
        trouble: why this model cannot serve mixed batches: private tensors in other layers than `nn.Linear`, a LoRA that is more than
            its two layers (DoRA), or rows that depend on each other. None where it can.
    """

    def __init__(self, model: nn.Module, names: Sequence[str]):
        self.trouble = _trouble(model, list(names))
        self.model, self.names = model, list(names)
        self.layers = {} if self.trouble else owners(model, self.names)

    def __call__(
        self,
        users: Iterable[tuple[str, dict[str, Tensor]]],
        rows: Sequence[str],
        call: Callable[..., Any],
        inputs: dict[str, Any],
    ) -> Any:
        """Call the model, or something that calls it, on a mixed batch.

        Args:
            users: each user once, with the private values.
            rows: whose each row is, B names. `generate` may make several neighbouring rows of one (beams).
            call: the model, or its `generate`.
            inputs: keyword arguments of the call; tensors are `[B, ...]`.

        Raises:
            HfmetaError: a model that cannot serve mixed batches, or not as many names as rows.
        """
        if self.trouble:
            raise HfmetaError(f"users cannot be mixed in one batch: {self.trouble}. Serve them one by one (switch).")
        sizes = {len(value) for value in inputs.values() if isinstance(value, Tensor) and value.dim()}
        if not rows or sizes - {len(rows)}:
            raise HfmetaError(
                f"a mixed batch needs one user for each row; received {len(rows)} users and {sorted(sizes)} rows."
            )
        params, count = self._stacked(dict(users), rows)
        with torch.no_grad(), own_values(self.layers, params, count):
            return call(**inputs)

    def _stacked(self, values: dict[str, dict[str, Tensor]], rows: Sequence[str]) -> tuple[dict[str, Tensor], int]:
        """Private values `[T, ...]` for T slices of the batch of equal size: its users where they stand together, else its rows."""
        order = list(values)
        each = len(rows) // len(order)
        together = [user for user in order for _ in range(each)] == list(rows)
        index = torch.arange(len(order)) if together else torch.tensor([order.index(user) for user in rows])
        device = next(self.model.parameters()).device
        stacked = {name: torch.stack([values[user][name] for user in order]) for name in self.names}
        return {name: (value if together else value[index]).to(device) for name, value in stacked.items()}, len(index)


def _trouble(model: nn.Module, names: list[str]) -> str | None:
    """Why rows of several users cannot pass through a model together; None where they can."""
    if bad := unsupported(model, names):
        return f"{bad[0]} is not in a linear layer"
    for name, module in model.named_modules():
        if any(dict(getattr(module, "use_dora", None) or {}).values()):
            return f"{name} is a DoRA, which reads its matrices as a whole"
    return f"{type(model).__name__} normalises with batch statistics" if mixes_rows(model) else None
