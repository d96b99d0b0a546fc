"""One user's private values as a PEFT folder, from values by name: the model they belong to is read, never written.

A LoRA becomes a stock PEFT folder with uneven ranks (rank_private.py), a private MLP a PRIVATE_MLP folder in sparse storage, also the
one that a Seq2SPG has inside, which the adapter then stands in for. Not here: who the user is and where folders lie.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from peft import LoraConfig, PeftModel, get_peft_model_state_dict
from safetensors.torch import save_file
from torch import Tensor, nn

from hfmeta.adapters.checksums import checksums
from hfmeta.adapters.ids import nearest
from hfmeta.adapters.lora import TASK_TYPES
from hfmeta.adapters.private_mlp.config import WEIGHTS_FILE, PrivateMlpConfig
from hfmeta.adapters.private_mlp.layer import CONTAINER
from hfmeta.adapters.private_mlp.sparse import pack_sparse
from hfmeta.adapters.private_mlp.tuner import PEFT_PREFIX
from hfmeta.adapters.pruning import apply_masks
from hfmeta.adapters.rank_private import CONFIG_FILE, write_rank_private
from hfmeta.adapters.together import written_together
from hfmeta.inner.errors import HfmetaError
from hfmeta.models.private_mlp import PrivateMlp

ABOUT = "hfmeta_adapter.json"
"""Beside the adapter: whose it is, on which base, and the checksum of its weights. Stock PEFT does not look at it."""
FORMAT = 1


def save_private_adapter(
    model: nn.Module,
    values: Mapping[str, Tensor],
    folder: str | Path,
    *,
    masks: Mapping[str, Tensor] | None = None,
    task_type: str | None = None,
    base: str | None = None,
    learner: tuple[str | None, str | None] = (None, None),
    sparse: bool = True,
) -> Path:
    """Write private values as a PEFT folder that does on the base what the model does with these values.

    Args:
        model: a PEFT model with a LoRA or a PRIVATE_MLP, or a model that contains a `PrivateMlp`; it stays as it is.
        values: the private tensors, by the names that `model.named_parameters()` has.
        folder: where to write; made if it is not there.
        masks: what of them counts, bool, of their shapes; None: all, and exact zeros of a private MLP are not stored.
        task_type: of a model that is no PEFT model, kept with the adapter.
        base: what to call the base model; None: what PEFT knows.
        learner: identity and revision of the learner, which are checked when the adapter is loaded.
        sparse: whether a private MLP is stored as kept values and bits; transformers' own `load_adapter` needs it dense.

    Returns:
        the folder.

    Raises:
        HfmetaError: values that are not private tensors of this model, or an adapter that is neither LoRA nor PRIVATE_MLP.
    """
    known = dict(model.named_parameters())
    for name, value in values.items():
        if name not in known or known[name].shape != value.shape:
            found = f"has shape {tuple(value.shape)}" if name in known else "is no tensor of the model"
            raise HfmetaError(f"the private value {name!r} {found}.{nearest(name, known)}")
    values, target = apply_masks(values, masks or {}), Path(folder)
    with written_together(target, last=CONFIG_FILE) as temporary:
        if isinstance(model, PeftModel) and isinstance(model.peft_config[model.active_adapter], LoraConfig):
            write_rank_private(model, masks or {}, temporary, base=base, values=values)
        else:
            _write_private_mlp(model, values, temporary, task_type, base, learner, sparse)
        _write_about(model, temporary, learner)
    return target


def _write_private_mlp(
    model: nn.Module,
    values: Mapping[str, Tensor],
    folder: Path,
    task_type: str | None,
    base: str | None,
    learner: tuple[str | None, str | None],
    sparse: bool,
) -> None:
    """The files of a PRIVATE_MLP."""
    config, tensors = (
        _of_adapter(model, values) if isinstance(model, PeftModel) else _of_inner(model, values, task_type)
    )
    config.base_model_name_or_path = base or config.base_model_name_or_path
    config.base_learner, config.base_learner_revision = learner
    config.sparse, config.inference_mode = sparse, True
    packed = pack_sparse(tensors) if sparse else tensors
    stored = {name: value.detach().cpu().contiguous().clone() for name, value in packed.items()}
    save_file(stored, folder / WEIGHTS_FILE, metadata={"format": "pt"})
    config.save_pretrained(str(folder))


def _write_about(model: nn.Module, folder: Path, learner: tuple[str | None, str | None]) -> None:
    """Whose adapter it is, as JSON; base name and revision as far as they are known, and no path of this machine."""
    config = json.loads((folder / CONFIG_FILE).read_text(encoding="utf-8"))
    named = config["base_model_name_or_path"]
    if named and (Path(named).is_absolute() or Path(named).is_dir()):
        named = config["base_model_name_or_path"] = None
        (folder / CONFIG_FILE).write_text(json.dumps(config, indent=2, sort_keys=True), encoding="utf-8")
    content = {
        "format": FORMAT,
        "learner": dict(zip(("name", "revision"), learner, strict=True)),
        "base": {"name": named, "revision": getattr(getattr(model, "config", None), "_commit_hash", None)},
        "files": checksums(folder, [folder / WEIGHTS_FILE]),
    }
    (folder / ABOUT).write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def _of_adapter(model: PeftModel, values: Mapping[str, Tensor]) -> tuple[PrivateMlpConfig, dict[str, Tensor]]:
    """Configuration and tensors of a PRIVATE_MLP with other private values; gates and heads are the model's own."""
    name = model.active_adapter
    config: Any = model.peft_config[name]
    if not isinstance(config, PrivateMlpConfig):
        raise HfmetaError(f"the adapter {name!r} is {config.peft_type}; private adapters are LORA or PRIVATE_MLP.")
    tensors = get_peft_model_state_dict(
        model, state_dict={**model.state_dict(), **values}, adapter_name=name, save_embedding_layers=False
    )
    return copy.deepcopy(config), tensors


def _of_inner(
    model: nn.Module, values: Mapping[str, Tensor], task_type: str | None
) -> tuple[PrivateMlpConfig, dict[str, Tensor]]:
    """The same for the private networks inside a model: adapters that stand in for them."""
    holders = [module for module, found in model.named_modules() if isinstance(found, PrivateMlp)]
    modules = set()
    for name in values:
        module = name.partition(".layers.")[0]
        if module not in holders:
            raise HfmetaError(
                f"{name} belongs to no private network: an adapter stands in for a PrivateMlp, of which {type(model).__name__} has "
                f"{', '.join(holders) or 'none'}."
            )
        modules.add(module)
    tensors: dict[str, Tensor] = {}
    for module in sorted(modules):
        found = model.get_submodule(module)
        for leaf, value in found.named_parameters():
            own = values.get(f"{module}.{leaf}", value)
            tensors[f"{PEFT_PREFIX}{module}.{CONTAINER}.mlp.{leaf}"] = own
    config = PrivateMlpConfig(target_modules=sorted(modules), task_type=TASK_TYPES.get(task_type or ""))
    return config, tensors
