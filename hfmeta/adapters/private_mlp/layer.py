"""What a target of a private adapter is replaced by: the module itself, and beside it one private perceptron for each adapter."""

from __future__ import annotations

import warnings
from typing import Any, cast

import torch
from peft.tuners.tuners_utils import BaseTunerLayer
from torch import Tensor, nn

from hfmeta.adapters.private_mlp.blocks import answer_of, input_of, rows_by_adapter, widths_of, with_answer
from hfmeta.adapters.private_mlp.config import PrivateMlpConfig
from hfmeta.inner.errors import HfmetaError
from hfmeta.models.private_mlp import PrivateMlp

CONTAINER = "private_mlp_adapter"
"""Attribute of a layer that holds its adapters; begins with the method's prefix, as PEFT and transformers want it."""
NO_MERGE = (
    "a private adapter cannot be merged: it is not linear, so no weights of the base model do what it does. Keep it "
    "beside the base, or "
    "use `unload()` to take it off."
)


class DiagonalGate(nn.Module):
    """A gate that looks at one feature at a time: `sigmoid(a * block output + b * private output + c)`.

    Args:
        width: features.
        random: draw a, b and c; otherwise they are zero and the gate is half open.
    """

    def __init__(self, width: int, random: bool = False):
        super().__init__()
        draw = torch.randn if random else torch.zeros
        self.hidden, self.private, self.bias = (nn.Parameter(draw(width)) for _ in range(3))

    def forward(self, hidden: Tensor, private: Tensor) -> Tensor:
        """How far the gate is open, between 0 and 1, for block output and private output [..., width]."""
        return torch.sigmoid(self.hidden * hidden + self.private * private + self.bias)


class FullGate(nn.Module):
    """The paper's gate: the logits are the sum of two linear maps, of the block's output and of the private one.

    Source: Song et al. 2020 (arXiv 1910.14326), as their code has it.

    Args:
        width: features.
    """

    def __init__(self, width: int):
        super().__init__()
        self.hidden = nn.Linear(width, width)
        self.private = nn.Linear(width, width, bias=False)

    def forward(self, hidden: Tensor, private: Tensor) -> Tensor:
        """How far the gate is open, between 0 and 1, for block output and private output [..., width]."""
        return torch.sigmoid(self.hidden(hidden) + self.private(private))


class PrivateAdapter(nn.Module):
    """One adapter at one target: the private perceptron and, beside a block, its gate.

    Args:
        mlp: the perceptron.
        gate: None for a stand-in, whose gate is the base model's own.
    """

    def __init__(self, mlp: PrivateMlp, gate: nn.Module | None):
        super().__init__()
        self.mlp = mlp
        self.gate = gate

    def forward(self, hidden: Tensor, answer: Tensor) -> Tensor:
        """What is added to a block's `answer` [..., out] for its input `hidden` [..., in]."""
        dtype = _dtype_of(self.mlp)
        private = self.mlp(hidden.to(dtype))
        if self.gate is not None:
            private = self.gate(answer.to(dtype), private) * private
        return private.to(answer.dtype)


class PrivateMlpLayer(nn.Module, BaseTunerLayer):
    """A target with its private adapters.

    In the place of a private module, the active adapter answers; of several, the changes to the base's answer add up.
    Beside a block, the addition is made by a hook on the block that runs before all others, so that whoever looks at
    the block's output from outside (transformers' `output_hidden_states` does) sees what the next block gets. Other
    attributes are the block's own.

    Args:
        base_layer: the target.
        name: its name, for messages.
        model_config: the model's config as a dict, for the block's width.
    """

    adapter_layer_names = (CONTAINER,)

    def __init__(self, base_layer: nn.Module, name: str, model_config: dict[str, Any]):
        super().__init__()
        self.base_layer = base_layer
        self.private_mlp_adapter = nn.ModuleDict()
        self._disable_adapters = False
        self.merged_adapters = []
        self._row_names: list[str] | None = None
        target = self.get_base_layer()
        self.stands_in = isinstance(target, PrivateMlp)
        if isinstance(target, PrivateMlp):
            self.in_features, self.out_features = target.sizes[0], target.sizes[-1]
        else:
            self.in_features, self.out_features = widths_of(target, name, model_config)
            self._hook = base_layer.register_forward_hook(self._beside, prepend=True, with_kwargs=True)

    def update_layer(self, adapter_name: str, config: PrivateMlpConfig, inference_mode: bool = False) -> None:
        """Make an adapter, or make it anew.

        Args:
            adapter_name: its name.
            config: inner sizes, end, gate and start.
            inference_mode: freeze it even where it is active.
        """
        target = self.get_base_layer()
        if isinstance(target, PrivateMlp):
            adapter = PrivateAdapter(PrivateMlp(target.sizes, target.last), None)
            if config.init_weights:
                _copy(target, adapter.mlp)
        else:
            width = self.out_features
            gate = FullGate(width) if config.gate == "full" else DiagonalGate(width, random=not config.init_weights)
            adapter = PrivateAdapter(PrivateMlp((self.in_features, *config.hidden_sizes, width), config.last), gate)
            if config.init_weights:
                for value in adapter.mlp.layers[-1].parameters():
                    nn.init.zeros_(value)
        self.private_mlp_adapter[adapter_name] = adapter
        self._move_adapter_to_device_of_base_layer(adapter_name)
        self.set_adapter(self.active_adapters, inference_mode=inference_mode)

    def forward(self, *args: Any, adapter_names: list[str] | None = None, **kwargs: Any) -> Any:
        """The target's answer under the active adapters.

        Args:
            args: the target's own arguments.
            adapter_names: for a mixed batch, one adapter for each row; `__base__`: none.
            kwargs: the target's own arguments.
        """
        if self.stands_in:
            return self._in_its_place(input_of(args, kwargs), adapter_names)
        self._row_names = adapter_names
        try:
            return self.base_layer(*args, **kwargs)
        finally:
            self._row_names = None

    def _active_here(self) -> list[PrivateAdapter]:
        if self.disable_adapters:
            return []
        return [self._own(name) for name in self.active_adapters if name in self.private_mlp_adapter]

    def _own(self, name: str) -> PrivateAdapter:
        return cast(PrivateAdapter, self.private_mlp_adapter[name])

    def _beside(self, _block: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], output: Any) -> Any:
        """The forward hook of a block: its output plus the gated private answers."""
        active = self._active_here()
        names = None if self.disable_adapters else self._row_names
        if not active and names is None:
            return output
        hidden, answer = input_of(args, kwargs), answer_of(output)
        if names is None:
            return with_answer(output, answer + sum(adapter(hidden, answer) for adapter in active))
        mixed = answer.clone()
        for name, rows in rows_by_adapter(names, hidden).items():
            if name in self.private_mlp_adapter:
                mixed[rows] = answer[rows] + self._own(name)(hidden[rows], answer[rows])
        return with_answer(output, mixed)

    def _in_its_place(self, z: Tensor, names: list[str] | None) -> Tensor:
        """The answer of the adapter that stands in for the base's private module, row by row where rows have their own."""
        if names is None or self.disable_adapters:
            own = [_answer(adapter.mlp, z) for adapter in self._active_here()]
            if len(own) == 1:
                return own[0]
            base = self.base_layer(z)
            return base + sum(answer - base for answer in own) if own else base
        parts, order = [], []
        for name, rows in rows_by_adapter(names, z).items():
            mine = name in self.private_mlp_adapter
            parts.append(_answer(self._own(name).mlp, z[rows]) if mine else self.base_layer(z[rows]))
            order.append(rows)
        return torch.cat(parts)[torch.cat(order).argsort()]

    def merge(self, safe_merge: bool = False, adapter_names: list[str] | None = None) -> None:
        """Refuse: see `NO_MERGE`.

        Raises:
            HfmetaError: always.
        """
        raise HfmetaError(NO_MERGE)

    def unmerge(self) -> None:
        """Nothing was merged, so nothing is undone."""
        warnings.warn("Already unmerged. Nothing to do.", stacklevel=2)

    def unload_and_optionally_merge_module(
        self, merge: bool, safe_merge: bool = False, adapter_names: list[str] | None = None
    ) -> nn.Module:
        """The target without its adapters, as PEFT's `unload` wants it back.

        Raises:
            HfmetaError: with `merge`.
        """
        if merge:
            self.merge(safe_merge, adapter_names)
        if not self.stands_in:
            self._hook.remove()
        return self.get_base_layer()

    def _get_base_layer_device_and_dtype(self, base_layer: nn.Module) -> tuple[Any, Any]:
        first = next((value for value in base_layer.parameters() if value.is_floating_point()), None)
        return (None, None) if first is None else (first.device, first.dtype)

    def __getattr__(self, name: str) -> Any:
        # The model reads attributes of its blocks (`layer.attention_type`). Private ones stay apart: tools look there
        # for their own marks.
        try:
            return super().__getattr__(name)
        except AttributeError:
            if name.startswith("_") or name == "base_layer":
                raise
            return getattr(self.base_layer, name)


def _answer(mlp: PrivateMlp, z: Tensor) -> Tensor:
    return mlp(z.to(_dtype_of(mlp))).to(z.dtype)


def _dtype_of(mlp: PrivateMlp) -> torch.dtype:
    return next(mlp.parameters()).dtype


def _copy(source: PrivateMlp, target: PrivateMlp) -> None:
    """Give `target` the values of `source`, unless PEFT makes it without memory to be filled from a file."""
    with torch.no_grad():
        for value, own in zip(source.parameters(), target.parameters(), strict=True):
            if not own.is_meta:
                own.copy_(value)
