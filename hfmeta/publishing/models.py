"""The model's part of a learner folder: stock or PEFT files out and in, names of bases that hold on other machines, strict reading.

Not here: the algorithm, its tensors and `hfmeta_config.json` (checkpoint.py).
"""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

import transformers
from peft import PeftModel, get_peft_model_state_dict
from peft.mapping import PEFT_TYPE_TO_PREFIX_MAPPING
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from hfmeta.inner.errors import HfmetaError
from hfmeta.models import AUTO_CLASSES, load_model, portable_name
from hfmeta.publishing.claims import check_layers, check_room, check_widths, stored_sizes
from hfmeta.publishing.files import write_json
from hfmeta.publishing.folders import BASE
from hfmeta.publishing.identity import base_fingerprint, identified

ADAPTER_CONFIG, ADAPTER_TENSORS = "adapter_config.json", "adapter_model.safetensors"


def save_model(
    model: Any, section: dict[str, Any], folder: Path, identity: tuple[str, str] | None = None
) -> dict[str, Any]:
    """Write a learner's model, and its base where nobody could find that again.

    Args:
        section: name, revision, pooling and num_labels of the base, where they are known.
        identity: the learner's, for the config of the model, where users' private adapters are made on it.

    Returns:
        what `base` says in `hfmeta_config.json`.
    """
    base = {key: section.get(key) for key in ("name", "revision", "pooling", "num_labels")}
    if _is_folder(base["name"]):
        # Whole weights need no base; an adapter's is to be found from wherever one works.
        whole = Path(str(base["name"])).expanduser().resolve()
        base["name"] = str(whole) if isinstance(model, PeftModel) else None
    if not isinstance(model, PeftModel):
        with identified(model, identity):
            model.save_pretrained(folder)
        return base
    stock: Any = model.get_base_model()
    name = save_adapter(model, folder, base["name"])
    # A base without a name, or with values of its own, travels with the learner.
    if not name or _outside_adapter(model):
        with identified(stock, identity):
            stock.save_pretrained(folder / BASE)
        _strip_adapter(model, folder / BASE)
    else:
        base["revision"] = getattr(stock.config, "_commit_hash", None) or base["revision"]
        base["fingerprint"] = base_fingerprint(_base_weights(model), stock.base_model_prefix)
    if base["num_labels"] is None and _classifies(stock):
        base["num_labels"] = stock.config.num_labels
    return {**base, "name": name, "dtype": str(stock.dtype).removeprefix("torch."), "adapter": model.active_adapter}


def save_adapter(model: Any, folder: Path, name: str | None = None) -> str | None:
    """Write the active adapter into the folder itself, naming its base without a path into this machine's Python packages.

    Args:
        name: what to call the base; None: what PEFT knows.

    Returns:
        the name written, None for a base without one.
    """
    active = model.active_adapter
    config = model.peft_config[active]
    known = config.base_model_name_or_path
    name = name or portable_name(known or model.get_base_model().name_or_path) or None
    model.save_pretrained(str(folder), selected_adapters=[active])
    config.base_model_name_or_path = known  # PEFT fills it in while it saves
    own = folder / active  # PEFT gives adapters of any name but "default" a folder of their own
    if active != "default" and own.is_dir():
        for path in own.iterdir():
            os.replace(path, folder / path.name)
        shutil.rmtree(own)
    path = folder / ADAPTER_CONFIG
    written = json.loads(path.read_text(encoding="utf-8"))
    old, written["base_model_name_or_path"] = written["base_model_name_or_path"], name
    # PEFT's Auto classes open the base at this revision.
    written["revision"] = written.get("revision") or getattr(model.get_base_model().config, "_commit_hash", None)
    write_json(path, written)
    card = folder / "README.md"
    if old and name and old != name and card.is_file():
        card.write_text(card.read_text(encoding="utf-8").replace(old, name), encoding="utf-8")
    return name


def save_whole(model: Any, folder: Path) -> None:
    """Write an adapted model: a stock folder, or a PEFT adapter.

    Raises:
        HfmetaError: tensors that adapted and that an adapter's files would leave behind.
    """
    if not isinstance(model, PeftModel):
        model.save_pretrained(folder)
        return
    if lost := _outside_adapter(model):
        raise HfmetaError(
            f"{', '.join(lost[:3])} can adapt but belongs to the base, so the files of the adapter would leave it behind. Name its "
            "module in modules_to_save of the PEFT configuration, or freeze it."
        )
    save_adapter(model, folder)


def read_model(folder: Path, content: dict[str, Any]) -> Any:
    """Open the model of a learner folder, strictly.

    Raises:
        HfmetaError: files that are missing, damaged or not each other's.
    """
    task, base = content["task_type"], content["base"]
    if not (folder / ADAPTER_CONFIG).is_file():
        return read_stock(folder, task)
    if (folder / BASE).is_dir():
        stock = read_stock(folder / BASE, task)
    else:
        stock = load_model(
            base["name"],
            task,
            num_labels=base["num_labels"],
            pooling=base["pooling"],
            revision=base["revision"],
            torch_dtype=base.get("dtype"),
        )
        _check_base(stock, base, folder)
    return read_adapter(stock, folder, base.get("adapter") or "default")


def _check_base(stock: Any, base: dict[str, Any], folder: Path) -> None:
    """Refuse a base that is another than the learner was trained on, under whatever name.

    Raises:
        HfmetaError: names both.
    """
    expected = base.get("fingerprint")
    found = base_fingerprint(stock.state_dict(), stock.base_model_prefix)
    if expected is not None and found != expected:
        revision = f" at revision {base['revision']}" if base["revision"] else ""
        raise HfmetaError(
            f"the base model {base['name']}{revision} is not the one that the learner in {folder} was trained on (its fingerprint is "
            f"{found[:15]}, recorded was {str(expected)[:15]}): it was replaced or updated since. Put that version back."
        )


def read_stock(folder: Path, task: str | None) -> Any:
    """Open a stock folder through its Auto class and refuse missing or extra tensors.

    Raises:
        HfmetaError: files that are missing, damaged or not each other's, or an adapter where a whole model should be.
    """
    if (folder / ADAPTER_CONFIG).exists():  # transformers would put it on, and on a base of its naming
        raise HfmetaError(f"{folder} should hold a whole model and has an {ADAPTER_CONFIG}; take that out.")
    try:
        stored = stored_sizes(folder)
        check_layers(folder, stored)
        config = transformers.AutoConfig.from_pretrained(folder, trust_remote_code=False)
        loader = _loader_of(config, task, folder)
        check_room(loader, config, folder, stored)
        model, info = loader.from_pretrained(
            folder, output_loading_info=True, use_safetensors=True, trust_remote_code=False
        )
    except HfmetaError:
        raise
    except (OSError, SafetensorError, RuntimeError, ValueError) as error:
        raise HfmetaError(f"the model in {folder} cannot be opened: {str(error).strip().splitlines()[0]}") from error
    wrong = {
        key: sorted(map(str, info[key])) for key in ("missing_keys", "unexpected_keys", "mismatched_keys") if info[key]
    }
    if wrong:
        said = "; ".join(f"{key.replace('_keys', '')}: {', '.join(names[:5])}" for key, names in wrong.items())
        raise HfmetaError(
            f"the weights in {folder} are not those of its config.json ({said}). Save or download it again."
        )
    return model


def _loader_of(config: Any, task: str | None, folder: Path) -> Any:
    """The Auto class of a task type, or the class that a config of transformers' own names."""
    if task is not None:
        return AUTO_CLASSES[task]
    names = [name for name in config.architectures or [] if hasattr(transformers, name)]
    if not names:
        raise HfmetaError(
            f"{folder}: transformers has no class {config.architectures}; import the package that defines it."
        )
    return getattr(transformers, names[0])


def read_adapter(stock: Any, folder: Path, name: str, trainable: bool = True) -> PeftModel:
    """Put the adapter of a folder on a stock model and refuse missing or extra tensors.

    Args:
        stock: it becomes part of the result.
        folder: a PEFT folder with safetensors.
        name: what to call the adapter.
        trainable: whether its tensors learn.

    Raises:
        HfmetaError: files that are missing, damaged or not each other's.
    """
    path = folder / ADAPTER_TENSORS
    try:
        with safe_open(path, "pt") as file:
            shapes = {name: file.get_slice(name).get_shape() for name in file.keys()}  # noqa: SIM118
        stored = set(shapes)
        check_widths(folder, max((size for shape in shapes.values() for size in shape), default=0))
        model = PeftModel.from_pretrained(stock, str(folder), adapter_name=name, is_trainable=trainable)
    except HfmetaError:
        raise
    except (OSError, SafetensorError, RuntimeError, ValueError, TypeError) as error:
        reason = str(error).strip().splitlines()[0]
        raise HfmetaError(f"the adapter in {folder} cannot be opened: {reason}. Save or download it again.") from error
    except KeyError as error:  # PEFT on a tensor of a module that it saves whole
        raise HfmetaError(
            f"{path} does not fit {ADAPTER_CONFIG}: missing {error}. Save or download it again."
        ) from error
    expected = set(get_peft_model_state_dict(model, adapter_name=name, save_embedding_layers=False))
    missing, extra = sorted(expected - stored), sorted(stored - expected)
    extra = [key for key in extra if "embed" not in key]  # PEFT adds embeddings that were resized
    if missing or extra:
        raise HfmetaError(
            f"{path} does not fit {ADAPTER_CONFIG}: missing {missing[:5] or 'none'}, unexpected {extra[:5] or 'none'}. Save or "
            "download it again."
        )
    return model


def _outside_adapter(model: Any) -> list[str]:
    """Trainable tensors that the adapter's files do not hold."""
    prefixes = {PEFT_TYPE_TO_PREFIX_MAPPING[config.peft_type] for config in model.peft_config.values()}
    inside = (*(f".{prefix}" for prefix in prefixes), ".modules_to_save.", ".trainable_tokens_")
    return [
        name
        for name, value in model.named_parameters()
        if value.requires_grad and not any(part in f".{name}" for part in inside)
    ]


def _is_folder(name: str | None) -> bool:
    """Whether a base is a folder of this machine, rather than a hub id, a package or a network of hfmeta."""
    return bool(name) and not str(name).startswith("package:") and Path(str(name)).expanduser().is_dir()


def _classifies(model: nn.Module) -> bool:
    return type(model).__name__.endswith(("ForSequenceClassification", "ForImageClassification"))


def _strip_adapter(model: Any, folder: Path) -> None:
    """Rewrite the base's weights under their own names: PEFT leaves its layers inside the base."""
    weights = {name: value.detach().contiguous().clone() for name, value in _base_weights(model).items()}
    for path in folder.glob("model*.safetensors*"):  # one file, or shards and their index
        path.unlink()
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})


def _base_weights(model: Any) -> dict[str, Tensor]:
    """The tensors of a PEFT model's base under their own names, without any adapter."""
    prefixes = {PEFT_TYPE_TO_PREFIX_MAPPING[config.peft_type] for config in model.peft_config.values()}
    return {
        name.replace(".base_layer.", ".").replace(".original_module.", "."): value
        for name, value in model.get_base_model().state_dict().items()
        if not any(f".{prefix}" in name for prefix in prefixes) and ".modules_to_save." not in name
    }
