"""What of a recipe fits together: keys of the data source, names of metrics and baselines, files and columns.

Every check adds sentences to a list and raises nothing, so that all problems are told at once.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

from hfmeta.corpora.images import FINE_GRAINED
from hfmeta.inner.errors import HfmetaError
from hfmeta.models.loading import REFERENCE_MODELS
from hfmeta.models.names import resolve_name
from hfmeta.recipe.baselines import BASELINES
from hfmeta.recipe.coercion import MismatchError, coerce
from hfmeta.recipe.errors import closest
from hfmeta.recipe.rows import read_columns
from hfmeta.recipe.schema import (
    ADAPTERS,
    CLASSIFICATION,
    DIALOGUE_CORPORA,
    FAMILIES,
    INTENT_CORPORA,
    PARTS,
    PHOTO_CORPORA,
    AdapterSection,
    DataSection,
    ModelSection,
)

EPISODES = {"query", "test_query", "train_tasks", "valid_tasks", "test_tasks", "seed"}
BY_LABEL = {"n_way", "k_shot", "train_n_way", "train_k_shot", "too_small"}
TABLE = {
    *(
        "task_column",
        "input_column",
        "target_column",
        "label_column",
        "shares",
        "split_seed",
        "too_small",
        "max_length",
    ),
    *("support", "test_support", "dialogue_column", "max_support_rows", "max_query_rows"),
}
DIALOGUES = {
    *("corpus", "root", "support", "test_support", "max_support_rows", "max_query_rows", "too_small", "max_length"),
    *("split_seed", "strict"),
}
CONTEXTS = {
    *("max_context_tokens", "max_context_turns", "min_context_turns", "separator", "with_persona", "grouping"),
    *("max_dialogues_per_user", "test_users", "test_users_count"),
}
# Source -> the keys it reads besides EPISODES; a key that the chosen source would ignore is refused.
KEYS: dict[str, set[str]] = {
    **{name: {"corpus", "split", "root", "train_part", "max_length", *BY_LABEL} for name in INTENT_CORPORA},
    "clinc150_quickstart": {"corpus", "max_length", *BY_LABEL},
    "omniglot": {
        *("corpus", "split", "split_seed", "root", "valid_alphabets", "rotations", "test_rotations", "image_size"),
        *("official_runs", *BY_LABEL),
    },
    **{name: {"corpus", "root", "image_size", *BY_LABEL} for name in ("mini_imagenet", "image_folder")},
    "fine_grained": {"corpus", "root", "image_size", "split", "split_seed", "sets", "test_sets", *BY_LABEL},
    "sinusoid": {"corpus", "support", "test_support"},
    "function_families": {"corpus", "support", "test_support", "noise_std", "sin_form"},
    "persona_chat": {*DIALOGUES, *CONTEXTS, "parts", "personas", "wording", "min_dialogues"},
    "synthetic_persona_chat": {*DIALOGUES, *CONTEXTS, "shares", "placeholders", "tokenise"},
    "mojitalk": {*DIALOGUES, "emoji_counts", "max_pairs"},
    "tweet_eval_emoji": {"corpus", "root", "shares", "split_seed", "max_length", "strict", *BY_LABEL},
    "path": {"path", *TABLE, *BY_LABEL},
    "dataset": {"dataset", "config", "revision", "parts", *TABLE, *BY_LABEL},
}
TASK_OF_CORPUS = {
    **dict.fromkeys((*INTENT_CORPORA, "clinc150_quickstart", "tweet_eval_emoji"), "sequence-classification"),
    **dict.fromkeys(DIALOGUE_CORPORA, "seq2seq-lm"),
    **dict.fromkeys(("omniglot", *PHOTO_CORPORA), "image-classification"),
    **dict.fromkeys(FAMILIES, "regression"),
}
# Metric -> (key of the trainer's scores, task types it is for; None: all).
METRICS: dict[str, tuple[str, tuple[str, ...] | None]] = {
    "accuracy": ("accuracy", CLASSIFICATION),
    "mse": ("loss", ("regression",)),
    "loss": ("loss", None),
}

OF_DIALOGUES = "; perplexity, BLEU and the like are reported by recipes/persona/table.py, and the loss is the log of the perplexity"
"""What to say of metrics of generated text, which need more than losses."""


def check_data(data: DataSection, model: ModelSection | None, given: set[str], problems: list[str]) -> None:
    """Check that one source is named, that its keys are its own, and that sizes are possible.

    Args:
        data: the section with defaults filled in.
        model: the model section, where it could be read.
        given: the keys that were written.
        problems: the list that gathers, changed in place.
    """
    sources = [name for name in ("corpus", "path", "dataset") if getattr(data, name) is not None]
    if len(sources) != 1:
        if not given & {"corpus", "path", "dataset"} or len(sources) > 1:
            found = f"received {', '.join(sources)}" if sources else "received none"
            problems.append(f"data: give one of corpus, path or dataset; {found}")
        return
    source = data.corpus or sources[0]
    for key in sorted(given & set(data.__dataclass_fields__) - KEYS[source] - EPISODES):
        problems.append(f"data.{key}: not used with {sources[0]}{f' {source}' if data.corpus else ''}; leave it out")
    if data.corpus and model is not None and model.task != TASK_OF_CORPUS[data.corpus]:
        problems.append(f"model.task: {data.corpus} is {TASK_OF_CORPUS[data.corpus]}, received {model.task}")
    _check_sizes(data, problems)
    _check_sets(data, problems)
    if data.corpus is None:
        _check_columns_named(data, model, given, problems)
    _check_parts(data, problems)


def check_adapter(adapter: AdapterSection, given: set[str], problems: list[str]) -> None:
    """Check that the keys of an adapter are those of its method, and its sizes possible.

    Args:
        adapter: the section with defaults filled in.
        given: the keys that were written.
        problems: the list that gathers, changed in place.
    """
    for method, keys in ADAPTERS.items():
        for key in sorted(given & set(keys)) if method != adapter.type else ():
            problems.append(f"adapter.{key}: only used with type {method}, received type {adapter.type}; leave it out")
    if adapter.type == "private_mlp" and (not adapter.hidden_sizes or min(adapter.hidden_sizes) < 1):
        problems.append(
            f"adapter.hidden_sizes: expected one or more widths of at least 1, received {adapter.hidden_sizes}"
        )
    if adapter.type == "lora" and adapter.r < 1:
        problems.append(f"adapter.r: expected at least 1, received {adapter.r}")


def check_base(model: ModelSection, problems: list[str]) -> None:
    """Check that the base of an adapter can be found again: what is saved is the adapter and the base's name.

    Args:
        model: the model section.
        problems: the list that gathers, changed in place.
    """
    if model.trainable is not None:
        problems.append("model.trainable: an adapter freezes the rest of the model itself; leave it out")
    changed = [key for key in ("config", "from_scratch", "dtype") if getattr(model, key)]
    if model.name in REFERENCE_MODELS:
        problems.append(
            f"adapter: {model.name} starts from scratch, and an adapter needs a base that can be opened again"
        )
    for key in changed:
        problems.append(
            f"model.{key}: an adapter is saved with the name of its base alone, which would lose this; leave it out"
        )


def check_metrics(model: ModelSection | None, names: list[Any], problems: list[str]) -> list[str]:
    """The metrics of a recipe, the first one primary; accuracy for classification and the loss elsewhere where none are named.

    Args:
        model: the model section, where it could be read.
        names: the section as written.
        problems: the list that gathers, changed in place.
    """
    task = model.task if model is not None else None
    suited = [name for name, (_, tasks) in METRICS.items() if task is None or tasks is None or task in tasks]
    for name in names:
        if not isinstance(name, str):
            problems.append(f"metrics: expected names, received {name!r}")
        elif name not in METRICS:
            more = OF_DIALOGUES if task in ("seq2seq-lm", "causal-lm") else ""
            problems.append(f"metrics: unknown metric {name}{closest(name, METRICS)}{more}")
        elif name not in suited:
            problems.append(f"metrics: {name} is not defined for {task}; choose of {', '.join(suited)}")
    return list(dict.fromkeys(name for name in names if isinstance(name, str))) or suited[:1]


def check_baselines(
    model: ModelSection | None, section: list[Any], valid_tasks: int, problems: list[str]
) -> dict[str, dict[str, Any]]:
    """The baselines of a recipe: name -> coerced options.

    Args:
        model: the model section, where it could be read.
        section: names, or names with a mapping of options: `[frozen_ncm, {fine_tuning: {steps: 50, lr: [1e-4, 1e-3]}}]`.
        valid_tasks: number of validation tasks.
        problems: the list that gathers, changed in place.
    """
    baselines: dict[str, dict[str, Any]] = {}
    for item in section:
        entry = {item: {}} if isinstance(item, str) else item
        if not isinstance(entry, dict) or not all(isinstance(v, dict | None) for v in entry.values()):
            problems.append(f"baselines: expected a name, or a name with a mapping of options, received {item!r}")
            continue
        for name, options in entry.items():
            if name not in BASELINES:
                problems.append(f"baselines: unknown baseline {name}{closest(str(name), BASELINES)}")
                continue
            tasks = BASELINES[name].tasks
            if model is not None and tasks is not None and model.task not in tasks:
                problems.append(f"baselines: {name} is not defined for {model.task}; it is for {', '.join(tasks)}")
            baselines[name] = _baseline_options(name, options or {}, valid_tasks, problems)
    return baselines


def _baseline_options(name: str, options: dict[str, Any], valid_tasks: int, problems: list[str]) -> dict[str, Any]:
    known, fixed, filled = BASELINES[name].options, BASELINES[name].fixed, {}
    for key, value in options.items():
        where = f"baselines.{name}.{key}"
        if key not in known:
            problems.append(f"{where}: unknown key{closest(str(key), known)}")
            continue
        if isinstance(value, list) and key not in fixed and len(value) > 1 and not valid_tasks:
            problems.append(f"{where}: a list is chosen from on validation tasks, but data.valid_tasks is 0")
        annotation = known[key][0] if key in fixed or not isinstance(value, list) else list[known[key][0]]  # type: ignore[misc]
        try:
            filled[key] = coerce(value, annotation)
        except MismatchError as error:
            problems.append(f"{where}: {error}")
        if value == []:
            problems.append(f"{where}: expected at least one value to choose from, received an empty list")
    return filled


def check_files(data: DataSection, model_name: Any, problems: list[str]) -> None:
    """Check that the model's folder or package and the data files exist, and that the files have the columns named.

    Args:
        data: the data section.
        model_name: `model.name` as written.
        problems: the list that gathers, changed in place.
    """
    if isinstance(model_name, str):
        try:
            resolve_name(model_name)
        except HfmetaError as error:
            problems.append(f"model.name: {error}")
    for key in ("root", "official_runs"):
        folder = getattr(data, key)
        if folder is not None and not Path(folder).expanduser().is_dir():
            problems.append(f"data.{key}: no such folder: {folder}")
    paths = data.path if isinstance(data.path, dict) else {"": data.path} if data.path else {}
    for part, path in paths.items():
        key = f"data.path.{part}" if part else "data.path"
        try:
            found = read_columns(path)
        except HfmetaError as error:
            problems.append(f"{key}: {error}")
            continue
        for option, column in data.columns.items():
            if column not in found:
                near = closest(column, found).partition(" (known: ")[0]  # all of them follow anyway
                problems.append(f"data.{option}: {path} has no column {column}{near}; it has {', '.join(found)}")


def _check_sizes(data: DataSection, problems: list[str]) -> None:
    least = {
        "n_way": 2,
        "k_shot": 1,
        "support": 1,
        "query": 1,
        "test_tasks": 1,
        "valid_tasks": 0,
        "seed": 0,
        "noise_std": 0,
    }
    optional = {"test_support": 1, "test_query": 1, "train_tasks": 1, "max_length": 1}
    more = {"split_seed": 0, "valid_alphabets": 0, "image_size": 1, "min_context_turns": 0}
    more |= {"max_dialogues_per_user": 2, "test_users_count": 2}
    rows = (
        "max_support_rows",
        "max_query_rows",
        "max_context_tokens",
        "max_context_turns",
        "min_dialogues",
        "max_pairs",
    )
    least["train_n_way"] = data.n_way
    optional["train_k_shot"] = 1
    for key, minimum in {**least, **optional, **more, **dict.fromkeys(rows, 1)}.items():
        value = getattr(data, key)
        if value is not None and value < minimum:
            problems.append(f"data.{key}: expected at least {minimum}, received {value}")


def _check_sets(data: DataSection, problems: list[str]) -> None:
    """The sets of fine_grained exist, and those tested are among those used."""
    for key, choices in (("sets", tuple(FINE_GRAINED)), ("test_sets", tuple(data.sets or FINE_GRAINED))):
        given = getattr(data, key)
        if given == []:
            problems.append(f"data.{key}: expected at least one of {', '.join(choices)}, received an empty list")
        for name in given or ():
            if name not in choices:
                problems.append(f"data.{key}: unknown set {name}{closest(name, choices)}")


def _check_columns_named(data: DataSection, model: ModelSection | None, given: set[str], problems: list[str]) -> None:
    """A table needs its input column, and either a label column (N-way) or a task column with a target column."""
    if data.input_column is None and "input_column" not in given:
        problems.append("data.input_column: missing; name the column the model reads")
    if data.label_column is not None:
        for key in ("task_column", "target_column", "dialogue_column"):
            if key in given:
                problems.append(f"data.{key}: not used with label_column (N-way episodes); leave one of them out")
        if model is not None and model.task not in CLASSIFICATION:
            problems.append(f"data.label_column: N-way episodes are classification, model.task is {model.task}")
        unused: tuple[str, ...] = ("support", "test_support")
    else:
        for key in ("task_column", "target_column"):
            if getattr(data, key) is None and key not in given:
                problems.append(f"data.{key}: missing; name it, or label_column for N-way episodes")
        unused = ("n_way", "k_shot", "train_n_way", "train_k_shot")
    for key in unused:
        if key in given:
            other = "label_column" if data.label_column is not None else "task_column"
            problems.append(f"data.{key}: not used with {other}; leave it out")
    for key in sorted(given & {"max_support_rows", "max_query_rows"}):
        if data.dialogue_column is None:
            problems.append(f"data.{key}: only used with dialogue_column, where sets are as long as dialogues are")


def _check_parts(data: DataSection, problems: list[str]) -> None:
    for key in ("parts", "path", "shares", "emoji_counts"):
        value = getattr(data, key)
        if not isinstance(value, dict):
            continue
        unknown = [str(part) for part in value if part not in PARTS]
        absent = [part for part in ("train", "test") if part not in value]
        if "valid" not in value and data.valid_tasks:
            problems.append(f"data.{key}: there is no valid part; name one, or set data.valid_tasks to 0")
        if unknown or absent:
            problems.append(
                f"data.{key}: expected the parts train, valid (may be left out) and test, received {list(value)}"
            )
    if not math.isclose(sum(data.shares.values()), 1.0, abs_tol=1e-9) or min(data.shares.values(), default=0) <= 0:
        problems.append(f"data.shares: expected positive shares that sum to 1, received {data.shares}")
