"""A YAML file and `section.key=value` overrides to a checked Recipe, or one message with everything that is wrong.

Reads and checks only: nothing is loaded, built or written here. What the sections may hold is in `schema.py`.
"""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from hfmeta.algorithms.registry import find_algorithm
from hfmeta.config import MetaConfig
from hfmeta.inner.errors import HfmetaError
from hfmeta.recipe.checks import check_adapter, check_base, check_baselines, check_data, check_files, check_metrics
from hfmeta.recipe.coercion import fill
from hfmeta.recipe.errors import RecipeError, closest
from hfmeta.recipe.schema import SECTIONS, AdapterSection, DataSection, ModelSection, Recipe

# Arguments that scripts around the Trainer read, and nothing here does.
UNUSED_TRAINING = {"do_train", "do_eval", "do_predict", "resume_from_checkpoint"}
# Sections that are mappings; the other two are lists of names.
LEAST = {
    **dict.fromkeys(
        (
            "per_device_train_batch_size",
            "per_device_eval_batch_size",
            "gradient_accumulation_steps",
            "save_total_limit",
        ),
        1,
    ),
    **dict.fromkeys(("learning_rate", "rule_learning_rate", "weight_decay", "num_train_epochs", "warmup_steps"), 0),
}
"""Fields of `training` whose senseless values nobody else would refuse before the run."""
MAPPINGS = ("model", "adapter", "algorithm", "data", "training")


class _UniqueKeyLoader(yaml.SafeLoader):
    """YAML in which a key given twice is an error; plain YAML would silently keep the last one."""


def _unique_mapping(loader: _UniqueKeyLoader, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
    seen: set[Any] = set()
    for key_node, _ in node.value:
        key = loader.construct_object(key_node, deep=True)
        if not isinstance(key, str | int | float | bool | None):
            raise yaml.constructor.ConstructorError(None, None, f"a key must be text, not {key!r}", key_node.start_mark)
        if key in seen:
            raise yaml.constructor.ConstructorError(None, None, f"the key {key!r} is given twice", key_node.start_mark)
        seen.add(key)
    return loader.construct_mapping(node, deep=True)


_UniqueKeyLoader.add_constructor(yaml.resolver.BaseResolver.DEFAULT_MAPPING_TAG, _unique_mapping)


def read_yaml(path: str | Path) -> dict[str, Any]:
    """The tree of a recipe file, unchecked.

    Args:
        path: a YAML file.

    Raises:
        RecipeError: the file is missing, unreadable, not YAML, has a key twice, or is not a mapping of sections.
    """
    try:
        text = Path(path).read_text(encoding="utf-8")
    except FileNotFoundError:
        raise RecipeError(str(path), [_missing_recipe(Path(path))]) from None
    except IsADirectoryError:
        raise RecipeError(str(path), [_folder_for_recipe(Path(path))]) from None
    except (OSError, UnicodeDecodeError) as error:
        raise RecipeError(str(path), [f"the file cannot be read: {error}"]) from error
    try:
        tree = yaml.load(text, Loader=_UniqueKeyLoader)  # a SafeLoader: no tag of the file can run code
    except yaml.YAMLError as error:
        raise RecipeError(str(path), [f"the file is not valid YAML: {_yaml_reason(error)}"]) from error
    if not isinstance(tree, dict):
        kind = "empty" if tree is None else f"a {type(tree).__name__}"
        raise RecipeError(
            str(path), [f"a recipe is a mapping of sections ({', '.join(SECTIONS)}); this file is {kind}"]
        )
    return tree


def apply_overrides(tree: dict[str, Any], overrides: Sequence[str], problems: list[str]) -> dict[str, Any]:
    """The tree with `section.key=value` set and `~section.key` removed; values are read as YAML.

    Args:
        tree: sections as read; left unchanged.
        overrides: the words of the command line, in order.
        problems: the list that gathers what cannot be applied, changed in place.
    """
    tree = copy.deepcopy(tree)
    for word in overrides:
        delete, (dotted, equals, text) = word.startswith("~"), word.removeprefix("~").partition("=")
        keys = dotted.split(".")
        if delete == bool(equals) or not all(keys):
            problems.append(f"override {word!r}: write section.key=value to set a value, ~section.key to remove one")
            continue
        try:
            value = yaml.load(text, Loader=_UniqueKeyLoader) if equals else None
        except yaml.YAMLError as error:
            problems.append(f"override {word!r}: the value is not valid YAML: {' '.join(str(error).split())}")
            continue
        node = _descend(tree, keys[:-1], create=not delete)
        if node is None or (delete and keys[-1] not in node):
            problems.append(
                f"override {word!r}: {'nothing there to remove' if delete else 'not a mapping at that place'}"
            )
        elif delete:
            del node[keys[-1]]
        else:
            node[keys[-1]] = value
    return tree


def parse_recipe(path: str | Path, overrides: Sequence[str] = ()) -> Recipe:
    """A checked recipe from a file and overrides.

    Args:
        path: a YAML file with the sections model, adapter, algorithm, data, training, metrics, baselines.
        overrides: `section.key=value` and `~section.key`, applied in order.

    Raises:
        RecipeError: everything that is wrong with it, in one message.
    """
    problems: list[str] = []
    tree = apply_overrides(read_yaml(path), overrides, problems)
    return parse_tree(tree, source=str(path), problems=problems)


def parse_tree(tree: dict[str, Any], source: str, problems: list[str] | None = None, needs_base: bool = True) -> Recipe:
    """A checked recipe from sections in memory, such as those a checkpoint carries.

    Args:
        tree: section name to its mapping or list.
        source: what to call it in messages.
        problems: what was already found wrong with it.
        needs_base: whether `model.name` must be there; a trained learner brings its own weights.

    Raises:
        RecipeError: everything that is wrong with it, in one message.
    """
    problems = [] if problems is None else problems
    sections = _sections(tree, problems)
    model_values = fill(ModelSection, sections["model"], "model", problems)
    adapter_values = fill(AdapterSection, sections["adapter"], "adapter", problems) if sections["adapter"] else {}
    model, adapter = _section(ModelSection, model_values), _section(AdapterSection, adapter_values)
    data_values = fill(DataSection, sections["data"], "data", problems)
    data = DataSection(**data_values)
    algorithm, options = _algorithm(sections["algorithm"], problems)
    training = _training(sections["training"], data, problems)
    check_data(data, model, set(sections["data"]), problems)
    metrics = check_metrics(model, sections["metrics"], problems)
    baselines = check_baselines(model, sections["baselines"], data.valid_tasks, problems)
    check_files(data, sections["model"].get("name") if needs_base else None, problems)
    if adapter is not None:
        check_adapter(adapter, set(sections["adapter"]), problems)
    if adapter is not None and model is not None:
        check_base(model, problems)
    if problems or model is None or algorithm is None:
        raise RecipeError(source, problems)
    name = sections["algorithm"]["name"]
    values = {
        "model": model_values,
        "adapter": adapter_values,
        "algorithm": {"name": name, **options},
        "data": data_values,
        "training": training,
        "metrics": metrics,
        "baselines": [{name: options} if options else name for name, options in baselines.items()],
    }
    return Recipe(source, model, adapter, algorithm, name, data, training, metrics, baselines, copy.deepcopy(values))


def _missing_recipe(path: Path) -> str:
    folder = path.parent
    names = [p.name for p in folder.glob("*.y*ml")] if folder.is_dir() else []
    return f"no such file{closest(path.name, names)}; `hfmeta list` shows the recipes under ./recipes"


def _folder_for_recipe(path: Path) -> str:
    names = sorted(str(found) for found in path.glob("*.y*ml"))
    return f"it is a folder; give a recipe's file{f', such as {names[0]}' if names else ''}"


def _yaml_reason(error: yaml.YAMLError) -> str:
    """What is wrong and where, without the excerpt that only a terminal's columns would make readable."""
    mark, problem = getattr(error, "problem_mark", None), getattr(error, "problem", None)
    if mark is None or problem is None:
        return " ".join(str(error).split())
    context = getattr(error, "context", None)
    return f"line {mark.line + 1}, column {mark.column + 1}: {f'{context}: ' if context else ''}{problem}"


def _descend(tree: dict[str, Any], keys: list[str], create: bool) -> dict[str, Any] | None:
    node: Any = tree
    for key in keys:
        if create and node.get(key) is None:
            node[key] = {}
        node = node.get(key)
        if not isinstance(node, dict):
            return None
    return node


def _sections(tree: dict[str, Any], problems: list[str]) -> dict[str, Any]:
    """Every section with the right shape: an absent or misshapen one is empty, and misshapen ones are noted."""
    for name in tree:
        if name not in SECTIONS:
            problems.append(f"{name}: unknown section{closest(str(name), SECTIONS)}")
    sections: dict[str, Any] = {}
    for name in SECTIONS:
        value = tree.get(name)
        wanted: type | tuple[type, ...] = dict if name in MAPPINGS else list
        if value is not None and not isinstance(value, wanted):
            problems.append(
                f"{name}: expected a {'mapping' if name in MAPPINGS else 'list of names'}, received {value!r}"
            )
            value = None
        sections[name] = value if value is not None else ({} if name in MAPPINGS else [])
    return sections


def _section(cls: type, filled: dict[str, Any]) -> Any:
    """A section's dataclass, or None where a key it cannot do without is missing or wrong."""
    required = [f.name for f in dataclasses.fields(cls) if f.default is f.default_factory is dataclasses.MISSING]
    return cls(**filled) if all(name in filled for name in required) else None


def _algorithm(section: dict[str, Any], problems: list[str]) -> tuple[Any, dict[str, Any]]:
    """The algorithm with its options, None where it cannot be made; and the options that were given."""
    options = dict(section)
    name = options.pop("name", None)
    if not isinstance(name, str):
        problems.append(
            "algorithm.name: missing; give the name of an algorithm, such as maml (`hfmeta list` shows them)"
        )
        return None, {}
    try:
        cls = find_algorithm(name)
    except HfmetaError as error:
        problems.append(f"algorithm.name: {error}")
        return None, {}
    before = len(problems)
    filled = fill(cls, options, "algorithm", problems)
    if len(problems) > before:
        return None, {}
    try:
        return cls(**filled), filled
    except ValueError as error:
        problems.append(f"algorithm: {error}")
        return None, {}


def _training(section: dict[str, Any], data: DataSection, problems: list[str]) -> dict[str, Any]:
    """Keyword arguments of MetaConfig, tried once so that clashes between them are found before anything is built."""
    before = len(problems)
    filled = fill(MetaConfig, section, "training", problems)
    for key in sorted(UNUSED_TRAINING & set(section)):
        filled.pop(key, None)
        problems.append(
            f"training.{key}: `hfmeta train` decides this itself (--resume goes on from a checkpoint); leave it out"
        )
    if filled.pop("hub_token", None):
        problems.append(
            "training.hub_token: a recipe is published with its results; log in with `hf auth login`, or set HF_TOKEN"
        )
    if not filled.get("output_dir"):
        problems.append("training.output_dir: missing; give the folder the run writes")
    if filled.get("eval_strategy", "no") != "no" and not data.valid_tasks:
        problems.append(
            f"training.eval_strategy: {filled['eval_strategy']} needs validation tasks, but data.valid_tasks is 0"
        )
    for key, least in LEAST.items():
        value = filled.get(key)
        if isinstance(value, int | float) and value < least:
            problems.append(f"training.{key}: must be at least {least}, received {value}")
    if len(problems) == before:
        try:
            MetaConfig(**filled)
        except (ValueError, ImportError, RuntimeError) as error:
            problems.append(f"training: {' '.join(str(error).split())}")
    return filled
