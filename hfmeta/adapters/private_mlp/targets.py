"""Which modules get a private adapter: defaults by model type, and matching of names. Not here: what a target becomes (layer.py)."""

from __future__ import annotations

import re
from types import SimpleNamespace
from typing import Any

from peft.tuners.tuners_utils import check_target_module_exists

_LAYER, _LAYERS, _H = r"(.*\.)?layer\.\d+", r"(.*\.)?layers\.\d+", r"(.*\.)?h\.\d+"
_BOTH_LAYERS, _BOTH_BLOCKS = r"(.*\.)?(encoder|decoder)\.layers\.\d+", r"(.*\.)?(encoder|decoder)\.block\.\d+"

DEFAULT_TARGETS: dict[str, Any] = {
    **dict.fromkeys(("bert", "roberta", "xlm-roberta", "camembert", "electra", "mpnet", "ernie", "deberta"), _LAYER),
    **dict.fromkeys(("deberta-v2", "distilbert", "dinov2"), _LAYER),
    **dict.fromkeys(("vit", "deit", "siglip", "siglip_vision_model", "clip", "clip_vision_model"), _LAYERS),
    **dict.fromkeys(("gpt2", "gptj", "gpt_neo", "gpt_bigcode", "bloom", "falcon", "codegen"), _H),
    **dict.fromkeys(("llama", "mistral", "mixtral", "gemma", "gemma2", "gemma3_text", "qwen2", "qwen3"), _LAYERS),
    **dict.fromkeys(("opt", "gpt_neox", "phi", "phi3", "olmo", "olmo2", "starcoder2", "smollm3", "stablelm"), _LAYERS),
    "modernbert": _LAYERS,
    "mpt": r"(.*\.)?blocks\.\d+",
    **dict.fromkeys(("t5", "mt5", "umt5", "longt5"), _BOTH_BLOCKS),
    **dict.fromkeys(("bart", "mbart", "pegasus", "marian", "blenderbot", "m2m_100", "whisper"), _BOTH_LAYERS),
    "hfmeta-seq2spg": r"(.*\.)?decoder\.private",
}
"""Regular expression of the target modules, by the model type of the config, for configurations that name none."""


def is_target(config: Any, key: str) -> Any:
    """Whether a module is a target: PEFT's rule for names, then the indices of blocks, which here may also end a name.

    Args:
        config: target_modules, exclude_modules, modules_to_save, layers_to_transform and layers_pattern.
        key: the module's name.

    Returns:
        what PEFT's rule returns: something true for a target, an object of its own for an excluded module.
    """
    names = SimpleNamespace(
        target_modules=config.target_modules,
        exclude_modules=config.exclude_modules,
        modules_to_save=config.modules_to_save,
        target_parameters=None,
    )
    found = check_target_module_exists(names, key)
    wanted = config.layers_to_transform
    if not found or wanted is None or wanted == []:
        return found
    return layer_index(key, config.layers_pattern) in ([wanted] if isinstance(wanted, int) else wanted)


def layer_index(key: str, pattern: list[str] | str | None = None) -> int | None:
    """The index of the block that a module is, or lies in; None outside of blocks.

    Args:
        pattern: names (or regular expressions) of the lists that are counted in; None or none: the first list in the
            name.
    """
    for name in [pattern] if isinstance(pattern, str) else pattern or [r"[^.]+"]:
        match = re.search(rf"(?:^|\.)(?:{name})\.(\d+)(?:\.|$)", key)
        if match:
            return int(match.group(1))
    return None
