"""Learner folders: stock model files, `hfmeta_config.json`, `hfmeta.safetensors`; safetensors and JSON only, read strictly."""

from __future__ import annotations

import json
import logging
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import torch
import transformers
from huggingface_hub import snapshot_download
from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError
from peft import PeftModel
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from hfmeta.algorithms import algorithm_origin, find_algorithm
from hfmeta.episodes import encoder_from_dict
from hfmeta.inner.errors import HfmetaError
from hfmeta.models import AUTO_CLASSES, load_model, load_processing_class
from hfmeta.publishing.card import learner_card
from hfmeta.publishing.files import write_json, written_together

if TYPE_CHECKING:
    from hfmeta.learner import MetaLearner

logger = logging.getLogger(__name__)
L = TypeVar("L", bound="MetaLearner")

CONFIG = "hfmeta_config.json"
TENSORS = "hfmeta.safetensors"
BASE = "base_model"
PUBLISHED = ["*.safetensors", "*.json", "*.txt", "*.model", "*.md", "*.png"]
"""What a learner on a hub may consist of; nothing else is uploaded or downloaded."""
FORMAT = 1


def save_learner(learner: MetaLearner, folder: Path) -> None:
    """Write a learner into a folder, whole or not at all.

    Raises:
        HfmetaError: its algorithm has no name that could be found again.
    """
    origin = algorithm_origin(type(learner.algorithm))
    if origin is None:
        raise HfmetaError(
            f"{type(learner.algorithm).__name__} is not registered, so nobody could open this checkpoint. Register it in the "
            'pyproject.toml of its package under [project.entry-points."hfmeta.algorithms"] and install that package.'
        )
    with written_together(folder, last=CONFIG) as temporary:
        base = _save_model(learner, temporary)
        if learner.processing_class is not None:
            learner.processing_class.save_pretrained(temporary)
        save_file(_own_tensors(learner), temporary / TENSORS, metadata={"format": "pt"})
        content = describe(learner, origin, base)
        write_json(temporary / CONFIG, content)
        (temporary / "README.md").write_text(learner_card(content), encoding="utf-8")


def describe(learner: MetaLearner, origin: tuple[str, str, str], base: dict[str, Any]) -> dict[str, Any]:
    """The content of `hfmeta_config.json`."""
    name, package, package_version = origin
    packages = ("hfmeta", "torch", "transformers", "peft", "datasets")
    return {
        "format": FORMAT,
        "algorithm": {
            "name": name,
            "package": package,
            "version": package_version,
            "options": learner.algorithm.to_dict(),
        },
        "task_type": learner.task_type,
        "base": base,
        "frozen": [name for name, value in learner.model.named_parameters() if not value.requires_grad]
        if not isinstance(learner.model, PeftModel)
        else [],
        "dropout": learner.dropout,
        "encoder": None if learner.encoder is None else learner.encoder.to_dict(),
        "info": learner.info,
        "versions": {package: version(package) for package in packages},
    }


def load_learner(cls: type[L], name: str, revision: str | None, local_files_only: bool) -> L:
    """See `MetaLearner.from_pretrained`."""
    folder = _local_folder(name, revision, local_files_only)
    content = _read_config(folder, name)
    algorithm = content["algorithm"]
    found = find_algorithm(algorithm["name"], algorithm.get("package"))
    options = algorithm["options"]
    known = set(found.__dataclass_fields__)
    if newer := sorted(set(options) - known):
        logger.warning("%s: unknown options of %s are ignored: %s", name, algorithm["name"], ", ".join(newer))
    model = _load_model(folder, content)
    frozen = set(content.get("frozen", ()))
    for key, value in model.named_parameters():
        if key in frozen:
            value.requires_grad_(False)
    task_type = content["task_type"]
    has_processing = any((folder / file).is_file() for file in ("tokenizer_config.json", "preprocessor_config.json"))
    processing = load_processing_class(str(folder), task_type) if has_processing and task_type else None
    described = content.get("encoder")
    learner = cls(
        model,
        found.from_dict({key: value for key, value in options.items() if key in known}),
        processing_class=processing,
        encoder=None if described is None else encoder_from_dict(described, processing),
        info=content.get("info", {}),
        dropout=content.get("dropout", False),
    )
    load_own_tensors(learner, folder)
    return learner


def load_own_tensors(learner: MetaLearner, folder: Path) -> None:
    """Read the rule's and the init's tensors, strictly.

    Raises:
        HfmetaError: the file is missing or damaged, or its tensors are not those of this learner.
    """
    path = folder / TENSORS
    try:
        stored = load_file(path)
    except (OSError, SafetensorError) as error:
        raise HfmetaError(
            f"{path} cannot be read ({error}); the checkpoint is incomplete. Save or download it again."
        ) from error
    expected = _own_tensors(learner)
    missing, extra = sorted(set(expected) - set(stored)), sorted(set(stored) - set(expected))
    shapes = [key for key in expected.keys() & stored.keys() if expected[key].shape != stored[key].shape]
    if missing or extra or shapes:
        raise HfmetaError(
            f"{path} does not fit this learner: missing {missing or 'none'}, unexpected {extra or 'none'}, of another shape "
            f"{shapes or 'none'}. It was saved with other options or another model."
        )
    for part in ("rule", "init"):
        module: nn.Module = getattr(learner, part)
        module.load_state_dict(
            {key[len(part) + 1 :]: value for key, value in stored.items() if key.startswith(f"{part}.")}
        )


def save_adapted(model: Any, processing_class: Any, folder: Path) -> None:
    """Write an adapted model (or PEFT adapter) and its tokenizer as a stock folder."""
    marker = "adapter_config.json" if isinstance(model, PeftModel) else "config.json"
    with written_together(folder, last=marker) as temporary:
        model.save_pretrained(temporary)
        if processing_class is not None:
            processing_class.save_pretrained(temporary)


def _own_tensors(learner: MetaLearner) -> dict[str, Tensor]:
    return {
        f"{part}.{name}": value.detach().contiguous().cpu()
        for part in ("rule", "init")
        for name, value in getattr(learner, part).state_dict().items()
    }


def _save_model(learner: MetaLearner, folder: Path) -> dict[str, Any]:
    """Write the model; return what `base` says in the configuration."""
    model: Any = learner.model
    section = learner.info.get("model", {})
    base = {key: section.get(key) for key in ("name", "revision", "pooling", "num_labels")}
    if not isinstance(model, PeftModel):
        model.save_pretrained(folder)
        return base
    config = model.peft_config[model.active_adapter]
    name = base["name"] or config.base_model_name_or_path
    config.base_model_name_or_path = name
    model.save_pretrained(str(folder))
    if not name:
        # A base that has no name could not be found again: it travels with the learner.
        model.get_base_model().save_pretrained(folder / BASE)
        _strip_adapter(model, folder / BASE)
    return {**base, "name": name}


def _strip_adapter(model: Any, folder: Path) -> None:
    """Rewrite the base's weights under their own names: PEFT leaves its layers inside the base."""
    weights = {}
    prefixes = {config.peft_type.value.lower() + "_" for config in model.peft_config.values()}
    for name, value in model.get_base_model().state_dict().items():
        if any(f".{prefix}" in name for prefix in prefixes) or ".modules_to_save." in name:
            continue
        weights[name.replace(".base_layer.", ".").replace(".original_module.", ".")] = (
            value.detach().contiguous().clone()
        )
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})


def _load_model(folder: Path, content: dict[str, Any]) -> Any:
    task, base = content["task_type"], content["base"]
    if not (folder / "adapter_config.json").is_file():
        return _load_stock(folder, task)
    if (folder / BASE).is_dir():
        stock = _load_stock(folder / BASE, task)
    else:
        stock = load_model(
            base["name"], task, num_labels=base["num_labels"], pooling=base["pooling"], revision=base["revision"]
        )
    return PeftModel.from_pretrained(stock, folder, is_trainable=True)


def _load_stock(folder: Path, task: str | None) -> Any:
    """Open a stock folder through its Auto class and refuse missing or extra tensors."""
    if task is not None:
        loader: Any = AUTO_CLASSES[task]
    else:
        config = transformers.AutoConfig.from_pretrained(folder)
        names = [name for name in config.architectures or [] if hasattr(transformers, name)]
        if not names:
            raise HfmetaError(
                f"{folder}: transformers has no class {config.architectures}; import the package that defines it."
            )
        loader = getattr(transformers, names[0])
    try:
        model, info = loader.from_pretrained(folder, output_loading_info=True)
    except (OSError, SafetensorError, RuntimeError) as error:
        raise HfmetaError(f"the model in {folder} cannot be opened: {str(error).splitlines()[0]}") from error
    wrong = {
        key: sorted(map(str, info[key])) for key in ("missing_keys", "unexpected_keys", "mismatched_keys") if info[key]
    }
    if wrong:
        said = "; ".join(f"{key.replace('_keys', '')}: {', '.join(names[:5])}" for key, names in wrong.items())
        raise HfmetaError(
            f"the weights in {folder} are not those of its config.json ({said}). Save or download it again."
        )
    return model


def _local_folder(name: str, revision: str | None, local_files_only: bool) -> Path:
    folder = Path(name).expanduser()
    if folder.is_dir():
        return folder
    try:
        return Path(
            snapshot_download(name, revision=revision, allow_patterns=PUBLISHED, local_files_only=local_files_only)
        )
    except (HFValidationError, LocalEntryNotFoundError, HfHubHTTPError, OSError) as error:
        raise HfmetaError(
            f"{name!r} is neither a folder nor a repository that can be reached: {str(error).splitlines()[0]}"
        ) from error


def _read_config(folder: Path, name: str) -> dict[str, Any]:
    path = folder / CONFIG
    if not path.is_file():
        raise HfmetaError(
            f"{name} has no {CONFIG}, so it is not a saved learner (or its writing was cut short). A plain model opens with "
            "transformers; wrap it: MetaLearner(model, algorithm)."
        )
    try:
        content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        lacking = {"format", "algorithm", "task_type", "base"} - set(content)
    except (ValueError, AttributeError) as error:
        raise HfmetaError(f"{path} is damaged: {error}.") from error
    if lacking:
        raise HfmetaError(f"{path} lacks {', '.join(sorted(lacking))}.")
    if content["format"] > FORMAT:
        raise HfmetaError(
            f"{name} was written in format {content['format']} by a newer hfmeta; this version reads up to {FORMAT}. "
            "Upgrade: pip install -U hfmeta."
        )
    return content


def load_weights_into(learner: MetaLearner, folder: Path) -> None:
    """Put a checkpoint's values into an existing learner of the same making (resuming, best model at the end)."""
    content = _read_config(folder, str(folder))
    saved = _load_model(folder, content)
    state = saved.state_dict()
    with torch.no_grad():
        missing = [name for name in learner.model.state_dict() if name not in state]
        if missing:
            raise HfmetaError(
                f"{folder} has no value for {', '.join(missing[:5])}: it is a checkpoint of another model."
            )
        for name, value in learner.model.state_dict().items():
            value.copy_(state[name])
    load_own_tensors(learner, folder)
