"""From a name in a recipe to a model: hub ids, local folders, `package:<name>` and the reference networks.

Here: which Auto class serves which task type, and heads that start from a seed. Not here: where a name points (`names.py`),
adapters (their own room), attention kernels for exact gradients (inner room) and anything that runs code found next to weights:
`trust_remote_code` is never set.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
import transformers
from huggingface_hub.errors import StrictDataclassError
from transformers import (
    AutoConfig,
    AutoImageProcessor,
    AutoModel,
    AutoModelForCausalLM,
    AutoModelForImageClassification,
    AutoModelForSeq2SeqLM,
    AutoModelForSequenceClassification,
    AutoTokenizer,
    PreTrainedConfig,
    PreTrainedModel,
)

from hfmeta.inner.errors import HfmetaError
from hfmeta.models.conv4 import Conv4Config
from hfmeta.models.heads import head_of
from hfmeta.models.lstm_seq2seq import LstmSeq2SeqConfig, Seq2SpgConfig, SpeakerConfig
from hfmeta.models.mean_pooling import append_mean_pooling
from hfmeta.models.mlp import MlpConfig
from hfmeta.models.names import nearest, resolve_name

logger = logging.getLogger(__name__)

AUTO_CLASSES: dict[str, Any] = {
    "sequence-classification": AutoModelForSequenceClassification,
    "image-classification": AutoModelForImageClassification,
    "causal-lm": AutoModelForCausalLM,
    "seq2seq-lm": AutoModelForSeq2SeqLM,
    "regression": AutoModel,
}
CLASSIFICATION = ("sequence-classification", "image-classification")
POOLINGS = ("mean",)
REFERENCE_MODELS: dict[str, tuple[str, type[PreTrainedConfig]]] = {
    "hfmeta-conv4": ("image-classification", Conv4Config),
    "hfmeta-mlp": ("regression", MlpConfig),
    "hfmeta-lstm-seq2seq": ("seq2seq-lm", LstmSeq2SeqConfig),
    "hfmeta-seq2spg": ("seq2seq-lm", Seq2SpgConfig),
    "hfmeta-speaker": ("seq2seq-lm", SpeakerConfig),
}
_MAPPINGS: dict[str, Any] = {
    "sequence-classification": transformers.MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING,
    "image-classification": transformers.MODEL_FOR_IMAGE_CLASSIFICATION_MAPPING,
    "seq2seq-lm": transformers.MODEL_FOR_SEQ_TO_SEQ_CAUSAL_LM_MAPPING,
    "causal-lm": transformers.MODEL_FOR_CAUSAL_LM_MAPPING,
}


def load_model(
    name: str,
    task: str,
    *,
    num_labels: int | None = None,
    pooling: str | None = None,
    revision: str | None = None,
    config_overrides: Mapping[str, Any] | None = None,
    from_scratch: bool = False,
    seed: int = 0,
    torch_dtype: str | torch.dtype | None = None,
    attn_implementation: str | None = None,
) -> PreTrainedModel:
    """The stock model that a name points to, through the Auto class of the task type, in evaluation mode.

    Args:
        name: a hub id, a folder, `package:<python package>` (a model folder inside an installed package) or a reference network
            (a key of `REFERENCE_MODELS`, such as `hfmeta-conv4`), which always starts from scratch.
        task: "sequence-classification", "image-classification", "causal-lm", "seq2seq-lm" or "regression".
        num_labels: classes of the head (C), classification only; a head of another size in the checkpoint is replaced.
        pooling: "mean": the classifier reads the mean over tokens (see `append_mean_pooling`); None: the model as it is.
        revision: branch, tag or commit on the hub.
        config_overrides: fields of the model's configuration that replace what it has.
        from_scratch: take the configuration only and draw all weights.
        seed: seeds every weight that is drawn: a fresh head, or the whole model. The global generators are left alone.
        torch_dtype: dtype of the weights ("float32", torch.float64, ...); None: as the checkpoint has them.
        attn_implementation: attention kernel ("eager", "sdpa", ...); None: the model's default.

    Raises:
        HfmetaError: an unknown name, task type, configuration field or pooling; a task type the model cannot serve; a `num_labels` or
            `pooling` the task has no use for; weights that do not fit the configuration outside of the head.
    """
    _check_request(name, task, num_labels, pooling)
    if name in REFERENCE_MODELS:
        config = AutoConfig.for_model(name)
        from_scratch = True
    else:
        folder = resolve_name(name)
        with _readable(name):
            config = AutoConfig.from_pretrained(folder, revision=revision, trust_remote_code=False)
    labels = {} if num_labels is None else {"num_labels": num_labels}
    config = _override(config, {**(config_overrides or {}), **labels}, name)
    dtype = _dtype_of(torch_dtype)
    with torch.random.fork_rng(devices=[]), _readable(name, task):
        torch.manual_seed(seed)
        if from_scratch:
            options: dict[str, Any] = {} if dtype is None else {"dtype": dtype}
            if attn_implementation is not None:
                options["attn_implementation"] = attn_implementation
            model = AUTO_CLASSES[task].from_config(config, trust_remote_code=False, **options).eval()
        else:
            model = _from_checkpoint(folder, task, config, revision, dtype, attn_implementation)
    return append_mean_pooling(model) if pooling == "mean" else model


def load_processing_class(name: str, task: str, *, revision: str | None = None) -> Any:
    """The tokenizer of a text model or the image processor of an image model; None where the model has or needs none.

    A reference network comes without: for one that reads text make a tokenizer from the training texts (`word_tokenizer`).

    Args:
        name: as for `load_model`.
        task: as for `load_model`.
        revision: branch, tag or commit on the hub.

    Raises:
        HfmetaError: an unknown name or task type, or a text model without a tokenizer.
    """
    _check_request(name, task, None, None)
    if name in REFERENCE_MODELS or task == "regression":
        return None
    folder = resolve_name(name)
    if task == "image-classification":
        try:
            return AutoImageProcessor.from_pretrained(folder, revision=revision, trust_remote_code=False)
        except (OSError, ValueError):  # a model with no processor of its own reads plain pixel tensors
            return None
    with _readable(name):
        tokenizer = AutoTokenizer.from_pretrained(folder, revision=revision, trust_remote_code=False)
    # Where there are no tokenizer files transformers makes one up that knows little more than its special tokens.
    if len(tokenizer) - len(tokenizer.all_special_ids) < 4:
        raise HfmetaError(
            f"the model {name!r} comes without a tokenizer. Save one beside it: tokenizer.save_pretrained(<the folder>)."
        )
    return tokenizer


def task_type_of(model: Any) -> str:
    """The task type that a model's class serves, e.g. "causal-lm" for `GPT2LMHeadModel`.

    Args:
        model: a PreTrainedModel, or a PEFT model around one.

    Raises:
        HfmetaError: a class without a head for any of the task types.
    """
    inner = model.get_base_model() if hasattr(model, "get_base_model") else model
    for task, mapping in _MAPPINGS.items():
        classes = mapping.get(type(getattr(inner, "config", None)), ())
        if isinstance(inner, classes):
            return task
    if isinstance(inner, PreTrainedModel) and type(inner).__name__.endswith("ForRegression"):
        return "regression"
    raise HfmetaError(
        f"no task type belongs to {type(inner).__name__}. Load the model with one of "
        f"{', '.join(sorted({c.__name__ for c in AUTO_CLASSES.values() if c is not AutoModel}))}, or name its class ...ForRegression."
    )


def _check_request(name: str, task: str, num_labels: int | None, pooling: str | None) -> None:
    if task not in AUTO_CLASSES:
        raise HfmetaError(
            f"unknown task type {task!r}{nearest(task, list(AUTO_CLASSES))}; choose one of {', '.join(AUTO_CLASSES)}."
        )
    if name in REFERENCE_MODELS and REFERENCE_MODELS[name][0] != task:
        raise HfmetaError(
            f"{name} is a model for {REFERENCE_MODELS[name][0]}, not for {task}. Change the one or the other."
        )
    if num_labels is not None and task not in CLASSIFICATION:
        raise HfmetaError(
            f"num_labels={num_labels} has no meaning for {task}: leave it out, or use one of {', '.join(CLASSIFICATION)}."
        )
    if pooling is not None and pooling not in POOLINGS:
        raise HfmetaError(f"unknown pooling {pooling!r}; choose one of {', '.join(POOLINGS)}, or leave it out.")
    if pooling is not None and task != "sequence-classification":
        raise HfmetaError(f"pooling={pooling!r} belongs to sequence-classification, not to {task}: leave it out.")


def _dtype_of(value: str | torch.dtype | None) -> torch.dtype | None:
    dtype = getattr(torch, value, None) if isinstance(value, str) else value
    if value is not None and not (isinstance(dtype, torch.dtype) and dtype.is_floating_point):
        raise HfmetaError(
            f"torch_dtype={value!r} is not a floating-point type of torch; take float32, float64, bfloat16 or float16."
        )
    return dtype


def _override(config: PreTrainedConfig, overrides: Mapping[str, Any], name: str) -> PreTrainedConfig:
    """The configuration with fields replaced; rebuilt rather than assigned to, so that its own checks see the values."""
    if not overrides:
        return config
    known = sorted({*config.to_dict(), *config.attribute_map, "num_labels"})
    unknown = [key for key in overrides if key not in known and not hasattr(config, key)]
    if unknown:
        hints = ", ".join(f"{key}{nearest(key, known)}" for key in unknown)
        raise HfmetaError(f"the configuration of {name} ({type(config).__name__}) has no field {hints}.")
    values = {**config.to_dict(), **overrides}
    if overrides.get("num_labels", config.num_labels) != config.num_labels:
        values.pop("id2label", None)
        values.pop("label2id", None)
    try:
        changed = type(config).from_dict(values)
    except HfmetaError:
        raise
    except (TypeError, ValueError, StrictDataclassError) as error:
        raise HfmetaError(f"the configuration of {name} refuses {dict(overrides)}: {error}") from error
    changed.name_or_path = config.name_or_path
    return changed


@contextmanager
def _readable(name: str, task: str | None = None) -> Iterator[None]:
    """Turns what transformers raises for a name it cannot load into one message of ours."""
    try:
        yield
    except HfmetaError:
        raise
    except (OSError, ValueError) as error:
        use = f" for {task}" if task else ""
        reason = str(error).strip().split("\n")[0].rstrip(".")
        if name.count("/") > 1 and not Path(name).exists():  # no hub id, whatever transformers makes of it
            reason = "there is no such folder here"
        advice = (
            f" Give a hub id, a folder written by save_pretrained, package:<python package>, or one of {', '.join(REFERENCE_MODELS)}."
            if isinstance(error, OSError)
            else ""
        )
        raise HfmetaError(f"the model {name!r} could not be loaded{use}: {reason}.{advice}") from error


@contextmanager
def _without_load_report() -> Iterator[None]:
    """Keeps transformers from reporting a fresh head as a problem; what else is missing is reported by `_from_checkpoint`."""
    loader = logging.getLogger("transformers.modeling_utils")

    def is_wanted(record: logging.LogRecord) -> bool:
        return "LOAD REPORT" not in record.getMessage()

    loader.addFilter(is_wanted)
    try:
        yield
    finally:
        loader.removeFilter(is_wanted)


def _from_checkpoint(
    folder: str,
    task: str,
    config: PreTrainedConfig,
    revision: str | None,
    dtype: torch.dtype | None,
    attention: str | None,
) -> PreTrainedModel:
    options: dict[str, Any] = {} if dtype is None else {"dtype": dtype}
    if attention is not None:
        options["attn_implementation"] = attention
    with _without_load_report():
        model, info = AUTO_CLASSES[task].from_pretrained(
            folder,
            config=config,
            revision=revision,
            trust_remote_code=False,
            output_loading_info=True,
            ignore_mismatched_sizes=True,
            **options,
        )
    misfits = [key for key, *_ in info["mismatched_keys"] if not _may_start_anew(key, model, task)]
    if misfits:
        raise HfmetaError(
            f"{len(misfits)} tensor(s) of {folder} have another shape than the configuration asks for: "
            f"{', '.join(sorted(misfits)[:5])}. Take back the config_overrides that change sizes, or set from_scratch=true."
        )
    missing = sorted(key for key in info["missing_keys"] if not _may_start_anew(key, model, task))
    if missing:
        logger.warning("%s has no weights for %s: they start from a random draw.", folder, ", ".join(missing))
    return model


def _may_start_anew(key: str, model: PreTrainedModel, task: str) -> bool:
    """Whether a tensor is of a classifier's head: all outside of its body or, where the body is no module, the last linear layer."""
    if task not in CLASSIFICATION:
        return False
    if hasattr(model, model.base_model_prefix):
        return not key.startswith(f"{model.base_model_prefix}.")
    return key.startswith(f"{head_of(model)[0]}.")
