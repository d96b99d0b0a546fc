"""Rank-private LoRA: a LoRA of which a task keeps some ranks only, written as a folder that stock PEFT opens.

Dropping rank j of a LoRA drops row j of A and column j of B, so what is left is a LoRA again, of a smaller rank:
PEFT's `rank_pattern` and `alpha_pattern` say which module has which. Not here: which ranks are kept (pruning).
"""

from __future__ import annotations

import copy
import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig, PeftModel, get_peft_model_state_dict
from peft.tuners.lora import LoraLayer
from safetensors.torch import save_file
from torch import Tensor

from hfmeta.adapters.ids import nearest
from hfmeta.adapters.pruning.structure import RankPair, find_rank_pairs
from hfmeta.adapters.together import written_together
from hfmeta.inner.errors import HfmetaError

PEFT_PREFIX = "base_model.model."
WEIGHTS_FILE, CONFIG_FILE = "adapter_model.safetensors", "adapter_config.json"


@dataclass(frozen=True)
class _Thinned:
    """One module's LoRA: its name, the tensors as stored, the ranks it keeps [r] and its scaling."""

    module: str
    stored: tuple[str, str]
    kept: Tensor
    scaling: float


def lora_pairs(model: PeftModel, adapter: str | None = None) -> list[RankPair]:
    """The LoRAs of an adapter, by the names that `model.named_parameters()` has, each with its scaling.

    Args:
        adapter: the adapter's name; None: the active one.

    Raises:
        HfmetaError: the model has no such LoRA.
    """
    name = _adapter_of(model, adapter)
    layers = {key: module for key, module in model.named_modules() if isinstance(module, LoraLayer)}
    found = []
    for pair in find_rank_pairs([key for key, _ in model.named_parameters()]):
        module, _, rest = pair.a.rpartition(".lora_")  # A.<adapter>.weight, embedding_A.<adapter>
        if rest.split(".")[1] == name:
            found.append(RankPair(pair.a, pair.b, float(layers[module].scaling[name])))
    return found


def save_rank_private(
    model: PeftModel,
    structure: Mapping[str, Tensor],
    folder: str | Path,
    *,
    adapter: str | None = None,
    base: str | None = None,
    values: Mapping[str, Tensor] | None = None,
) -> Path:
    """Write the kept ranks of a LoRA as a PEFT folder: the same function as the LoRA with the other ranks set to zero.

    Modules that keep no rank are left out of the folder, so that PEFT puts nothing there.

    Args:
        model: a PEFT model with a LoRA; it stays as it is.
        structure: kept ranks by the name of A, bool [r], or masks of A [r, ...] and B [out, r, ...] as pruning makes
            them, where a rank with nothing kept in A or in B is dropped. A LoRA that is not named is kept whole.
        folder: where to write; made if it is not there.
        adapter: the adapter's name; None: the active one.
        base: what to call the base model; None: what PEFT knows.
        values: tensors by the model's names that are written in place of the model's own.

    Returns:
        the folder.

    Raises:
        HfmetaError: no LoRA, a name that is none of its tensors, a mask of another size, nothing kept, or a LoRA whose
            pruned ranks still count (biases in B) or that does not stand on modules (target_parameters).
    """
    target = Path(folder)
    with written_together(target, last=CONFIG_FILE) as temporary:
        write_rank_private(model, structure, temporary, adapter=adapter, base=base, values=values)
    return target


def write_rank_private(
    model: PeftModel,
    structure: Mapping[str, Tensor],
    folder: Path,
    *,
    adapter: str | None = None,
    base: str | None = None,
    values: Mapping[str, Tensor] | None = None,
) -> None:
    """As `save_rank_private`, into a folder that is there and that nobody reads yet."""
    name = _adapter_of(model, adapter)
    config = model.peft_config[name]
    assert isinstance(config, LoraConfig)
    if config.lora_bias or config.target_parameters:
        odd = "lora_bias" if config.lora_bias else "target_parameters"
        raise HfmetaError(f"a LoRA with {odd} cannot be thinned by ranks; train one without it.")
    thinned = _thin(model, structure, name)
    tensors = get_peft_model_state_dict(
        model, state_dict={**model.state_dict(), **(values or {})}, adapter_name=name, save_embedding_layers=False
    )
    for part in thinned:
        for key, axis in zip(part.stored, (0, 1), strict=True):
            value = tensors.pop(key)
            if part.kept.any():
                tensors[key] = value.index_select(axis, part.kept.nonzero()[:, 0].to(value.device))
    gone = {part.module for part in thinned if not part.kept.any()}
    tensors = {
        key: value.detach().cpu().contiguous().clone()
        for key, value in tensors.items()
        if key.removeprefix(PEFT_PREFIX).partition(".lora_")[0] not in gone
    }
    save_file(tensors, folder / WEIGHTS_FILE, metadata={"format": "pt"})
    written = _config_of(config, thinned, [key for key, _ in model.get_base_model().named_modules()])
    stock: Any = model.get_base_model()
    written.base_model_name_or_path = base or config.base_model_name_or_path or stock.name_or_path or None
    written.save_pretrained(str(folder))


def _adapter_of(model: PeftModel, adapter: str | None) -> str:
    loras = [name for name, config in model.peft_config.items() if isinstance(config, LoraConfig)]
    name = str(model.active_adapter) if adapter is None else adapter
    if name not in loras:
        there = ", ".join(loras) or "none"
        raise HfmetaError(f"{name!r} is no LoRA of this model; its LoRAs: {there}.")
    return name


def _thin(model: PeftModel, structure: Mapping[str, Tensor], adapter: str) -> list[_Thinned]:
    """What every LoRA of the adapter keeps."""
    pairs = lora_pairs(model, adapter)
    known = [name for pair in pairs for name in pair.names]
    for name in structure:
        if name not in known:
            raise HfmetaError(f"{name!r} is no tensor of the LoRA {adapter!r}.{nearest(name, known)}")
    values = dict(model.named_parameters())
    thinned = []
    for pair in pairs:
        ranks = values[pair.a].shape[0]
        kept = torch.ones(ranks, dtype=torch.bool)
        for name, axis in ((pair.a, 0), (pair.b, 1)):
            if name in structure:
                kept &= _ranks_kept(name, structure[name], values[name], axis)
        module = pair.a.removeprefix(PEFT_PREFIX).rpartition(".lora_")[0]
        thinned.append(_Thinned(module, (_stored(pair.a), _stored(pair.b)), kept, pair.scale))
    if not any(part.kept.any() for part in thinned):
        raise HfmetaError("the structure keeps no rank of any module, so there is no adapter to write; prune less.")
    return thinned


def _stored(name: str) -> str:
    """The name of a tensor in PEFT's files, where adapters have no name."""
    module, mark, rest = name.rpartition(".lora_")
    side, _, *suffix = rest.split(".")
    return ".".join([f"{module}{mark}{side}", *suffix])


def _ranks_kept(name: str, mask: Tensor, value: Tensor, axis: int) -> Tensor:
    mask = mask.detach().to("cpu", torch.bool)
    if mask.shape == value.shape:
        return mask.movedim(axis, 0).flatten(1).any(1)
    if tuple(mask.shape) != (value.shape[axis],):
        raise HfmetaError(
            f"the mask of {name} is {tuple(mask.shape)}; expected its kept ranks, ({value.shape[axis]},), or a mask "
            f"of the tensor's shape, "
            f"{tuple(value.shape)}."
        )
    return mask


def _plain(number: float) -> float | int:
    return int(number) if number == int(number) else number


def _config_of(config: LoraConfig, thinned: list[_Thinned], modules: list[str]) -> LoraConfig:
    """The configuration that stock PEFT makes modules of these ranks and scalings from, and none that keep nothing."""
    ranks = {part.module: int(part.kept.sum()) for part in thinned if part.kept.any()}
    alphas: dict[str, Any] = {  # PEFT says int and takes any number
        part.module: _plain(part.scaling * ranks[part.module]) for part in thinned if part.module in ranks
    }
    written = copy.deepcopy(config)
    written.r = Counter(ranks.values()).most_common(1)[0][0]
    written.lora_alpha = Counter(alphas.values()).most_common(1)[0][0]
    # PEFT looks for the pattern at the end of a name; these are whole names.
    written.rank_pattern = {f"^{re.escape(name)}": rank for name, rank in ranks.items() if rank != written.r}
    written.alpha_pattern = {
        f"^{re.escape(name)}": alpha for name, alpha in alphas.items() if alpha != written.lora_alpha
    }
    written.target_modules = sorted(ranks)
    alike = [name for name in modules if name not in ranks and any(name.endswith(f".{kept}") for kept in ranks)]
    written.exclude_modules = alike or None
    written.layers_to_transform = written.layers_pattern = None
    written.use_rslora = False  # alpha says it
    written.init_lora_weights = True  # whatever the first values were made from, those in the file replace them
    written.inference_mode = True
    return written
