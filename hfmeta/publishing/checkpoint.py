"""Learner folders: stock model files, `hfmeta_config.json`, `hfmeta.safetensors`; safetensors and JSON only, read strictly."""

from __future__ import annotations

import json
import logging
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import torch
import transformers
from peft import PeftModel
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from hfmeta.adapters.checksums import checksums, first_difference
from hfmeta.adapters.pruning.store import FILE as MASKS
from hfmeta.adapters.together import settled, written_together
from hfmeta.algorithms import algorithm_origin, find_algorithm
from hfmeta.episodes import encoder_from_dict
from hfmeta.inner.errors import HfmetaError
from hfmeta.publishing.card import adapted_card, card_images, learner_card
from hfmeta.publishing.files import write_json
from hfmeta.publishing.folders import check_base_name, check_folder, local_folder
from hfmeta.publishing.identity import learner_identity
from hfmeta.publishing.models import read_model, save_model, save_whole
from hfmeta.publishing.results import own_results, read_results, write_results
from hfmeta.publishing.resuming import unfinished

if TYPE_CHECKING:
    from hfmeta.learner import MetaLearner

logger = logging.getLogger(__name__)
L = TypeVar("L", bound="MetaLearner")

CONFIG = "hfmeta_config.json"
TENSORS = "hfmeta.safetensors"
FORMAT = 1


def save_learner(learner: MetaLearner, folder: Path, name: str | None = None) -> None:
    """Write a learner into a folder, whole or not at all.

    Args:
        learner: it stays as it is.
        folder: where to.
        name: the repository that it goes to, where there is one.

    Raises:
        HfmetaError: its algorithm has no name that could be found again.
    """
    origin = algorithm_origin(type(learner.algorithm))
    if origin is None:
        raise HfmetaError(
            f"{type(learner.algorithm).__name__} is not registered, so nobody could open this checkpoint. Register it in the "
            'pyproject.toml of its package under [project.entry-points."hfmeta.algorithms"] and install that package.'
        )
    with_adapters = learner.private is not None or learner.private_names
    identity = learner_identity(learner, name) if with_adapters else None
    with written_together(folder, last=CONFIG) as temporary:
        base = save_model(learner.model, learner.info.get("model", {}), temporary, identity)
        if learner.processing_class is not None:
            learner.processing_class.save_pretrained(temporary)
        save_file(_own_tensors(learner), temporary / TENSORS, metadata={"format": "pt"})
        if learner.private is not None:
            learner.private.save(temporary)
        content = describe(learner, origin, base)
        content["fingerprint"] = learner_identity(learner)[1]
        content["files"] = checksums(temporary, temporary.rglob("*.safetensors"))
        write_json(temporary / CONFIG, content)
        results, images = own_results(learner), []
        if results is not None:
            write_results(results, temporary)
            images = card_images(temporary, folder)
        kind = getattr(learner.config, "model_type", None)
        card = learner_card(content, results or (), model_type=kind, images=images)
        (temporary / "README.md").write_text(card, encoding="utf-8")


def describe(learner: MetaLearner, origin: tuple[str, str, str], base: dict[str, Any]) -> dict[str, Any]:
    """The content of `hfmeta_config.json`."""
    name, package, package_version = origin
    with_adapter = isinstance(learner.model, PeftModel)
    grads = {name: value.requires_grad for name, value in learner.model.named_parameters()}
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
        # Of a model with an adapter nearly everything is frozen, of others nearly nothing: the shorter list is kept.
        "frozen": None if with_adapter else [name for name, needed in grads.items() if not needed],
        "trainable": [name for name, needed in grads.items() if needed] if with_adapter else None,
        "dropout": learner.dropout,
        "pruned": None if learner.private is None else learner.private.ready,
        "encoder": None if learner.encoder is None else learner.encoder.to_dict(),
        "info": learner.info,
        "versions": {package: version(package) for package in packages},
    }


def load_learner(
    cls: type[L], name: str, revision: str | None, local_files_only: bool, subfolder: str | None = None
) -> L:
    """See `MetaLearner.from_pretrained`."""
    folder = local_folder(name, revision=revision, subfolder=subfolder, local_files_only=local_files_only)
    content = _read_config(folder, name)
    algorithm = content["algorithm"]
    found = find_algorithm(algorithm["name"], algorithm.get("package"))
    options = algorithm["options"]
    known = set(found.__dataclass_fields__)
    if newer := sorted(set(options) - known):
        logger.warning("%s: unknown options of %s are ignored: %s", name, algorithm["name"], ", ".join(newer))
    model = read_model(folder, content)
    frozen, trainable = set(content.get("frozen") or ()), content.get("trainable")
    for key, value in model.named_parameters():
        value.requires_grad_(key not in frozen if trainable is None else key in trainable)
    processing = _processing_class(folder)
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
    if learner.private is not None:
        learner.private.load(folder, bool(content.get("pruned")))
    _check_sums(folder, content)
    learner.results = read_results(learner, folder, content)
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


def save_adapted(learner: MetaLearner, model: Any, folder: Path) -> None:
    """Write an adapted model (or PEFT adapter), the learner's tokenizer and a card as a stock folder."""
    write_adapted(model, folder, learner.processing_class, about_adapted(learner, model))


def write_adapted(model: Any, folder: Path, processing_class: Any, about: dict[str, Any]) -> None:
    """The same from what is known of the model: see `about_adapted`."""
    marker = "adapter_config.json" if isinstance(model, PeftModel) else "config.json"
    with written_together(folder, last=marker) as temporary:
        save_whole(model, temporary)
        if processing_class is not None:
            processing_class.save_pretrained(temporary)
        (temporary / "README.md").write_text(adapted_card(about), encoding="utf-8")


def about_adapted(learner: MetaLearner, model: Any) -> dict[str, Any]:
    """What the card of an adapted model says."""
    origin = algorithm_origin(type(learner.algorithm))
    config = getattr(model, "config", None)
    return {
        "task_type": learner.task_type,
        "base": learner.info.get("model", {}).get("name"),
        "peft": isinstance(model, PeftModel),
        "class": type(model.get_base_model() if isinstance(model, PeftModel) else model).__name__,
        "model_type": getattr(config, "model_type", None),
        "num_labels": config.num_labels if learner.kind == "classification" and config is not None else None,
        "algorithm": origin[0] if origin else None,
        "inner_steps": learner.algorithm.eval_steps,
        "learner": getattr(config, "base_learner", None),
    }


def _own_tensors(learner: MetaLearner) -> dict[str, Tensor]:
    return {
        f"{part}.{name}": value.detach().contiguous().cpu()
        for part in ("rule", "init")
        for name, value in getattr(learner, part).state_dict().items()
    }


def _processing_class(folder: Path) -> Any:
    """The tokenizer or image processor beside the model; an adapter's folder has them without a `config.json`."""
    try:
        if (folder / "tokenizer_config.json").is_file():
            return transformers.AutoTokenizer.from_pretrained(folder, trust_remote_code=False)
        if (folder / "preprocessor_config.json").is_file():
            return transformers.AutoImageProcessor.from_pretrained(folder, trust_remote_code=False)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise HfmetaError(
            f"the tokenizer or image processor in {folder} cannot be opened ({str(error).strip().splitlines()[0]}). Save or "
            "download it again."
        ) from error
    return None


def _read_config(folder: Path, name: str) -> dict[str, Any]:
    path = folder / CONFIG
    if not path.is_file():
        raise HfmetaError(
            f"{name} has no {CONFIG}, so it is not a saved learner (or its writing was cut short). A plain model opens with "
            f"transformers; wrap it: MetaLearner(model, algorithm).{unfinished(folder)}"
        )
    try:
        content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise HfmetaError(f"{path} is damaged: {error}. Save or download it again.") from error
    kinds: dict[str, Any] = {"format": int, "algorithm": dict, "task_type": str | None, "base": dict}
    wrong = [key for key in kinds if not isinstance(content, dict) or key not in content]
    wrong = wrong or [key for key, kind in kinds.items() if not isinstance(content[key], kind)]
    if not wrong and not {"name", "options"} <= set(content["algorithm"]):
        wrong = ["algorithm"]
    if wrong:
        raise HfmetaError(f"{path} has no usable {', '.join(wrong)}: it is damaged. Save or download it again.")
    if content["format"] > FORMAT:
        raise HfmetaError(
            f"{name} was written in format {content['format']} by a newer hfmeta; this version reads up to {FORMAT}. "
            "Upgrade: pip install -U hfmeta."
        )
    check_base_name(content["base"].get("name"), folder)
    return content


def _check_sums(folder: Path, content: dict[str, Any]) -> None:
    """Refuse weights that open and are not those that were written; masks of training tasks stay where the learner was trained."""
    recorded = content.get("files", {})
    if isinstance(recorded, dict) and not (folder / MASKS).is_file():
        recorded = {name: entry for name, entry in recorded.items() if name != MASKS}
    if wrong := first_difference(folder, recorded):
        raise HfmetaError(f"{folder} is damaged or was changed: {wrong}. Save or download it again.")


def load_weights_into(learner: MetaLearner, folder: Path) -> None:
    """Put a checkpoint's values into an existing learner of the same making (resuming, best model at the end)."""
    check_folder(folder)
    folder = settled(folder)
    content = _read_config(folder, str(folder))
    saved = read_model(folder, content)
    _check_sums(folder, content)
    state = saved.state_dict()
    with torch.no_grad():
        missing = [name for name in learner.model.state_dict() if name not in state]
        if missing:
            raise HfmetaError(
                f"{folder} has no value for {', '.join(missing[:5])}: it is a checkpoint of another model."
            )
        values: dict[str, Tensor] = learner.model.state_dict()
        for name, value in values.items():
            value.copy_(state[name])
    load_own_tensors(learner, folder)
    if learner.private is not None:
        learner.private.load(folder, bool(content.get("pruned")))
