"""One live slot inside a model, into which users' adapters are copied in turn. Not here: many users in one batch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from hfmeta.adapters.bank.bank import AdapterBank
from hfmeta.adapters.bank.errors import BankError
from hfmeta.adapters.ids import nearest, task_key
from hfmeta.inner.errors import HfmetaError


class LiveSlot:
    """Parameters of a model that hold one user's adapter at a time; switching copies values in place.

    Args:
        bank: where the adapters are.
    """

    def __init__(self, bank: AdapterBank):
        self.bank = bank
        self._targets: dict[str, Tensor] = {}
        self._original: dict[str, Tensor] = {}
        self._current: str | None = None

    @property
    def current(self) -> str | None:
        """The user whose adapter is in the model; None: the model's own values."""
        return self._current

    def attach(self, model: nn.Module, names: Sequence[str] | Mapping[str, str] | None = None) -> None:
        """Choose the parameters that make up the slot; their present values are kept for `restore`.

        Args:
            model: the model; its parameters stay where they are, and of their type.
            names: the model's name of each of the bank's tensors: a dict from the bank's names; the names where both are the same;
                None: the bank's own.

        Raises:
            HfmetaError: a tensor of the bank without a parameter, or one of another shape; or the slot is attached.
        """
        if self._targets:
            raise HfmetaError("the slot is attached to a model; `detach` it first.")
        shapes = self.bank.shapes
        chosen = (
            dict(names) if isinstance(names, Mapping) else {name: name for name in (shapes if names is None else names)}
        )
        if chosen.keys() != shapes.keys():
            odd = sorted(chosen.keys() ^ shapes.keys())[0]
            what = "is not in the bank" if odd in chosen else "has no parameter in the model"
            raise HfmetaError(
                f"a slot takes every tensor of the bank's adapters: {odd!r} {what}.{nearest(odd, shapes)}"
            )
        parameters = dict(model.named_parameters(remove_duplicate=False)) | dict(model.named_buffers())
        targets = {}
        for ours, theirs in chosen.items():
            if theirs not in parameters:
                raise HfmetaError(f"{type(model).__name__} has no parameter {theirs!r}.{nearest(theirs, parameters)}")
            if tuple(parameters[theirs].shape) != shapes[ours]:
                raise HfmetaError(
                    f"the parameter {theirs} has shape {tuple(parameters[theirs].shape)}; the bank's adapters have "
                    f"{shapes[ours]}: they were made for another model."
                )
            targets[ours] = parameters[theirs]
        self._targets = targets
        self._original = {name: value.detach().clone() for name, value in targets.items()}

    def switch(self, task: str | int) -> None:
        """Put a user's adapter into the model; when this raises, the model is as it was.

        Raises:
            HfmetaError: the slot is not attached.
            BankError: an unknown user, or a damaged file.
        """
        self._check_attached()
        key = task_key(task)
        self._copy(self.bank.get(key))
        self._current = key

    def restore(self) -> None:
        """Put the values back that the model had when the slot was attached.

        Raises:
            HfmetaError: the slot is not attached.
        """
        self._check_attached()
        self._copy(self._original)
        self._current = None

    def detach(self) -> None:
        """Restore the model and let go of it."""
        self.restore()
        self._targets, self._original = {}, {}

    def save(self, masks: Mapping[str, Tensor] | None = None) -> None:
        """Write the current user's values back to the bank, after the model trained them further.

        Args:
            masks: as in `AdapterBank.put`; None: those that the user's adapter was stored with.

        Raises:
            HfmetaError: the slot is not attached.
            BankError: no user is in the model, or the bank is not open for writing.
        """
        self._check_attached()
        if self._current is None:
            raise BankError("no user's adapter is in the model; call `switch` first.")
        kept = self.bank.get_masks(self._current) if masks is None else masks
        self.bank.put(self._current, self._targets, kept)

    def _copy(self, values: Mapping[str, Tensor]) -> None:
        with torch.no_grad():
            for name, target in self._targets.items():
                target.copy_(values[name])

    def _check_attached(self) -> None:
        if not self._targets:
            raise HfmetaError("the slot is not attached to a model; call `attach(model, names)` first.")
