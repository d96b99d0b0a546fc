"""The PEFT tuner of PRIVATE_MLP: puts layers into a model, mixes adapters in one batch, and maps tensors from and to files."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

from peft.tuners.tuners_utils import (
    BaseTuner,
    BaseTunerLayer,
    _filter_state_dict_by_key_prefixes,
    _get_tuner_state_dict_key_prefixes,
)
from peft.utils.other import AuxiliaryTrainingWrapper
from torch import Tensor, nn

from hfmeta.adapters.private_mlp.config import NAME, PrivateMlpConfig
from hfmeta.adapters.private_mlp.identity import check_base_learner
from hfmeta.adapters.private_mlp.layer import CONTAINER, NO_MERGE, PrivateMlpLayer
from hfmeta.adapters.private_mlp.sparse import BITS, pack_sparse, unpack_sparse
from hfmeta.adapters.private_mlp.targets import DEFAULT_TARGETS, is_target
from hfmeta.inner.errors import HfmetaError

PEFT_PREFIX = "base_model.model."


class PrivateMlpModel(BaseTuner):
    """A model with private adapters; made by `peft.get_peft_model(model, PrivateMlpConfig(...))` and the other ways of PEFT."""

    prefix: str = NAME.lower() + "_"
    tuner_layer_cls = PrivateMlpLayer
    target_module_mapping = DEFAULT_TARGETS

    def _prepare_adapter_config(self, peft_config: Any, model_config: dict[str, Any]) -> Any:
        kind = model_config.get("model_type")
        if peft_config.target_modules is None and kind not in self.target_module_mapping:
            raise HfmetaError(
                f"Please specify `target_modules` in `peft_config`: a private adapter has no default for the model type "
                f"{kind!r}. Name the transformer blocks, for instance by a regular expression such as '.*layers\\.\\d+'."
            )
        return super()._prepare_adapter_config(peft_config, model_config)

    def _prepare_model(self, peft_config: Any, model: nn.Module) -> None:
        check_base_learner(peft_config, model)

    @staticmethod
    def _check_target_module_exists(peft_config: Any, key: str) -> Any:
        return is_target(peft_config, key)

    def _create_and_replace(
        self,
        peft_config: Any,
        adapter_name: str,
        target: nn.Module,
        target_name: str,
        parent: nn.Module,
        current_key: str,
        parameter_name: str | None = None,
    ) -> None:
        if isinstance(target, PrivateMlpLayer):
            target.update_layer(adapter_name, peft_config, inference_mode=peft_config.inference_mode)
            return
        layer = PrivateMlpLayer(target, current_key, self.get_model_config(self.model))
        layer.update_layer(adapter_name, peft_config, inference_mode=peft_config.inference_mode)
        if adapter_name not in self.active_adapters:
            layer.requires_grad_(False)  # a further adapter is not trained until it is activated
        self._replace_module(parent, target_name, layer, target)

    def _replace_module(self, parent: nn.Module, child_name: str, new_module: nn.Module, child: nn.Module) -> None:
        if isinstance(child, PrivateMlpLayer):
            # Taking a layer off again, PEFT would look for the weight that linear layers have and blocks have not.
            setattr(parent, child_name, new_module)
        else:
            super()._replace_module(parent, child_name, new_module, child)

    def _check_merge_allowed(self) -> None:
        raise HfmetaError(NO_MERGE)

    def add_weighted_adapter(self, *args: Any, **kwargs: Any) -> None:
        """Refuse: private adapters are not linear.

        Raises:
            HfmetaError: always.
        """
        raise HfmetaError(
            "private adapters cannot be combined by weights: they are not linear, so a weighted mean of two does "
            "neither's work. Activate several with base_model.set_adapter([...]), or mix them by rows with "
            "`adapter_names`."
        )

    @contextmanager
    def _enable_peft_forward_hooks(self, *args: Any, **kwargs: Any) -> Iterator[None]:
        """Within: every row of a batch goes through the adapter that `adapter_names` says (PEFT calls this around a forward pass)."""
        names = kwargs.pop("adapter_names", None)
        if names is None:
            yield
            return
        if self.training:
            raise HfmetaError("Cannot pass `adapter_names` when the model is in training mode. Call eval() first.")
        layers = [module for module in self.modules() if isinstance(module, PrivateMlpLayer)]
        known = {name for layer in layers for name in layer.private_mlp_adapter}
        unknown = sorted(set(names) - known - {"__base__"})
        if unknown:
            raise HfmetaError(
                f"Trying to infer with non-existing adapter(s): {', '.join(unknown)}; there are "
                f"{', '.join(sorted(known))}."
            )
        repeated = [name for name in names for _ in range(_expansion(kwargs))]
        # `generate` repeats the rows after the encoder.
        encoder = self.model.get_encoder() if _has_encoder(self.model) else None
        inside = set() if encoder is None else {id(module) for module in encoder.modules()}
        handles = []
        for module in self.modules():
            if isinstance(module, PrivateMlpLayer | AuxiliaryTrainingWrapper):
                own = list(names) if id(module) in inside else repeated
                handles.append(module.register_forward_pre_hook(partial(_say_names, names=own), with_kwargs=True))
        try:
            yield
        finally:
            for handle in handles:
                handle.remove()

    @classmethod
    def _get_adapter_state_dict(
        cls,
        model: nn.Module,
        config: Any,
        adapter_name: str,
        state_dict: dict[str, Tensor],
        unwanted_adapter_names: Any,
    ) -> dict[str, Tensor]:
        found = super()._get_adapter_state_dict(model, config, adapter_name, state_dict, unwanted_adapter_names)
        return pack_sparse(found) if config.sparse else found

    @classmethod
    def _remove_adapter_name_from_key(cls, key: str, adapter_name: str) -> str:
        # Below the adapter's name there is a whole module, so the name does not stand where PEFT looks for it.
        return key.replace(f"{CONTAINER}.{adapter_name}.", f"{CONTAINER}.")

    @classmethod
    def _remap_adapter_state_dict_for_load(
        cls, model: nn.Module, config: Any, adapter_name: str, state_dict: dict[str, Tensor]
    ) -> dict[str, Tensor]:
        prefixes = _get_tuner_state_dict_key_prefixes(model, adapter_name=adapter_name)
        own = _filter_state_dict_by_key_prefixes(model.state_dict(), prefixes)
        shapes = {
            cls._remove_adapter_name_from_key(key, adapter_name).removeprefix(PEFT_PREFIX): value.shape
            for key, value in own.items()
        }
        names = {key.removeprefix(PEFT_PREFIX): key for key in state_dict}
        dense = unpack_sparse({bare: state_dict[key] for bare, key in names.items()}, shapes)
        check_fit(dense, shapes, config)
        state_dict = {names[bare]: value for bare, value in dense.items()}
        return super()._remap_adapter_state_dict_for_load(model, config, adapter_name, state_dict)


def check_fit(found: dict[str, Tensor], shapes: dict[str, Any], config: PrivateMlpConfig) -> None:
    """Refuse tensors that are not those of this adapter on this model.

    Args:
        found: tensors from a file, dense, by name without PEFT's prefix and the adapter's name; others than adapters'
            are ignored.
        shapes: the shapes of the adapter's tensors on the model.
        config: says what base the adapter was made on.

    Raises:
        HfmetaError: missing or unexpected tensors, or other shapes.
    """
    read = {key: value for key, value in found.items() if f"{CONTAINER}." in key}
    missing, unexpected = sorted(shapes.keys() - read.keys()), sorted(read.keys() - shapes.keys())
    other = [
        f"{key} is {tuple(value.shape)} in the file and {tuple(shapes[key])} in the model"
        for key, value in read.items()
        if key in shapes and value.shape != shapes[key]
    ]
    said = [other[0]] if other else []
    for label, names in (("missing", missing), ("unexpected", unexpected)):
        if names:
            said.append(f"{len(names)} {label}, the first {names[0].removesuffix(BITS)}")
    if said:
        base = config.base_model_name_or_path
        made = f"It was made for {base}; load it on that model" if base else "Load it on the model it was made for"
        raise HfmetaError(
            f"the private adapter does not fit this model: {'; '.join(said)}. {made}, or check its adapter_config.json."
        )


def _has_encoder(model: nn.Module) -> bool:
    config: Any = getattr(model, "config", None)
    return bool(getattr(config, "is_encoder_decoder", False)) and hasattr(model, "get_encoder")


def _expansion(options: dict[str, Any]) -> int:
    """How many rows `generate` makes of each: its beams, or the sequences it returns."""
    holder = options.get("generation_config")
    told = [options.get(name, getattr(holder, name, None)) for name in ("num_beams", "num_return_sequences")]
    return max([number for number in told if isinstance(number, int)], default=1)


def _say_names(
    _module: BaseTunerLayer, args: tuple[Any, ...], kwargs: dict[str, Any], names: list[str]
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    return args, {**kwargs, "adapter_names": names}
