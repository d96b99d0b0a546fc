"""A recipe's `data` section to episodes: tables or families by part, training episodes, and fixed validation and test lists."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import datasets
from datasets import ClassLabel, Dataset, DatasetDict

from hfmeta.corpora import (
    FunctionFamilies,
    Sinusoid,
    load_intents,
    load_quickstart_intents,
)
from hfmeta.episodes import (
    EpisodeDataset,
    EpisodeError,
    FixedEpisodes,
    check_disjoint,
    split_rows,
    split_sha256,
    split_tasks,
)
from hfmeta.recipe.dialogues import DIALOGUE_COLUMNS, load_dialogues, load_emoji_tweets, part_sizes
from hfmeta.recipe.errors import closest
from hfmeta.recipe.images import image_episode_options, load_images, official_runs
from hfmeta.recipe.rows import read_rows
from hfmeta.recipe.schema import (
    CLASSIFICATION,
    DIALOGUE_CORPORA,
    FAMILIES,
    INTENT_CORPORA,
    PARTS,
    PHOTO_CORPORA,
    TEXT,
    DataSection,
)

# Validation episodes come from another seed than test episodes: a family without an end has the same tasks in both.
VALID_SEED_OFFSET = 1_000_003
INTENT_COLUMNS = {"label_column": "label", "input_column": "sentence"}
TWEET_COLUMNS = {"label_column": "label", "input_column": "text"}
SUPPORT_ROWS, QUERY_ROWS = 8, 15
# Which dialogues of a task are its query, by part.
QUERY_GROUPS = {"train": "random", "valid": "first", "test": "each"}


@dataclass(frozen=True)
class Episodes:
    """The episodes of a run.

    Args:
        train: training episodes.
        valid: fixed validation episodes; None where the recipe wants none.
        test: fixed test episodes.
        num_labels: classes of the head (C); None outside classification.
        split: `{part: tasks}` of tables; None for a family without an end.
    """

    train: EpisodeDataset
    valid: FixedEpisodes | None
    test: FixedEpisodes
    num_labels: int | None
    split: dict[str, list[Any]] | None

    @property
    def split_sha256(self) -> str | None:
        """Hash of the split, or None where there is none."""
        return None if self.split is None else split_sha256(self.split)


def build_episodes(
    data: DataSection, task: str, processing_class: Any, train_seed: int, tables: Mapping[str, Dataset] | None = None
) -> Episodes:
    """Load the rows, split them by task, and make the episodes of all parts.

    Args:
        data: a checked section.
        task: the model's task type.
        processing_class: tokenizer or image processor.
        train_seed: seed of training episodes.
        tables: the rows by part, where they have been loaded; None: load them.

    Raises:
        HfmetaError: files, columns, tasks or sizes from which the episodes cannot be made.
    """
    if data.corpus in FAMILIES:
        support, query = data.support or SUPPORT_ROWS, data.query or QUERY_ROWS
        train = EpisodeDataset(_family(data, support, query), seed=train_seed, length=data.train_tasks)
        held_out = EpisodeDataset(_family(data, data.test_support or support, data.test_query or query))
        return _episodes(data, train, held_out, held_out, num_labels=None, split=None)
    tables = load_tables(data, task) if tables is None else tables
    options: dict[str, Any] = {"processing_class": processing_class, "task_type": task, "too_small": data.too_small}
    if task in TEXT:
        options["max_length"] = data.max_length
    num_labels: int | None = data.n_way
    make = _n_way
    if not data.by_label:
        make = _by_task
        options["label_names"] = _label_names(data, tables) if task in CLASSIFICATION else None
        num_labels = len(options["label_names"]) if task in CLASSIFICATION else None
    made = {}
    for part, rows in tables.items():
        try:
            made[part] = make(data, rows, part, train_seed, options)
        except EpisodeError as error:
            raise EpisodeError(f"data, {part} part: {error}") from error
    split = {part: [str(name) for name in one.task_names] for part, one in made.items()}
    if data.official_runs is not None:
        made["test"] = official_runs(data)
        data = replace(data, test_tasks=min(data.test_tasks, len(made["test"])))
    elif data.test_sets is not None:
        chosen = [
            place
            for place, name in enumerate(tables["test"].select_columns("dataset")["dataset"])
            if name in data.test_sets
        ]
        made["test"] = _n_way(data, tables["test"].select(chosen), "test", train_seed, options)
    return _episodes(data, made["train"], made.get("valid"), made["test"], num_labels, split)


def _family(data: DataSection, support: int, query: int) -> Sinusoid | FunctionFamilies:
    """The endless family that a section names, with sets of these sizes."""
    if data.corpus == "sinusoid":
        return Sinusoid(support, query)
    return FunctionFamilies(support, query, data.noise_std, data.sin_form)


def load_tables(data: DataSection, task: str) -> dict[str, Dataset]:
    """The rows of each part, whose tasks (or classes) are disjoint.

    Args:
        data: a checked section whose source is a table.
        task: the model's task type.

    Raises:
        HfmetaError: missing files, parts or columns, or parts that share tasks.
    """
    parts = [part for part in PARTS if part != "valid" or data.valid_tasks]
    if data.corpus in INTENT_CORPORA:
        split = f"{int(data.split):02d}" if isinstance(data.split, int) else data.split or "01"
        named = {"train": data.train_part}
        return {part: load_intents(data.corpus, data.root, split, named.get(part, part)) for part in parts}
    if data.corpus == "clinc150_quickstart":
        return {part: load_quickstart_intents(part) for part in parts}
    if data.corpus == "omniglot" or data.corpus in PHOTO_CORPORA:
        return load_images(data, parts)
    if data.corpus in DIALOGUE_CORPORA:
        return load_dialogues(data, parts)
    if data.corpus == "tweet_eval_emoji":
        return load_emoji_tweets(data, parts)
    return _own_tables(data, task, parts)


def _own_tables(data: DataSection, task: str, parts: list[str]) -> dict[str, Dataset]:
    """Rows of files or of a dataset: given by part, or one table divided by task."""
    if isinstance(data.path, dict):
        tables = {part: read_rows(path, _text_columns(data, task)) for part, path in data.path.items() if part in parts}
    elif data.path is not None:
        tables = {"": read_rows(data.path, _text_columns(data, task))}
    else:
        tables = _load_dataset(data, parts)
    group = str(data.group_column)
    for rows in tables.values():
        _check_columns(data, rows)
    if "" in tables:
        rows = tables[""]
        tables = split_rows(rows, group, split_tasks(rows.unique(group), part_sizes(data, parts), data.split_seed))
    check_disjoint(tables, group)
    return tables


def _load_dataset(data: DataSection, parts: list[str]) -> dict[str, Dataset]:
    """The dataset's splits by part; no code that comes with a dataset is run (datasets 4 and later cannot)."""
    assert data.dataset is not None
    try:
        found = datasets.load_dataset(data.dataset, data.config, revision=data.revision)
    except (OSError, ValueError, RuntimeError, datasets.exceptions.DatasetsError) as error:
        reason = " ".join(str(error).split())
        raise EpisodeError(f"data.dataset: {data.dataset} could not be loaded: {reason}") from error
    assert isinstance(found, DatasetDict)
    wanted = {"": "train"} if data.parts is None else {part: name for part, name in data.parts.items() if part in parts}
    if data.parts is None and len(found) == 1:
        wanted = {"": next(iter(found))}
    for name in wanted.values():
        if name not in found:
            raise EpisodeError(
                f"data.parts: {data.dataset} has no split {name}{closest(name, found)}; it has {', '.join(found)}."
            )
    return {part: found[name] for part, name in wanted.items()}


def _check_columns(data: DataSection, rows: Dataset) -> None:
    problems = [
        f"data.{option}: no column {column}{closest(column, rows.column_names)}"
        for option, column in data.columns.items()
        if column not in rows.column_names
    ]
    if problems:
        raise EpisodeError(f"{'; '.join(problems)}. The columns found are {', '.join(rows.column_names)}.")


def _text_columns(data: DataSection, task: str) -> list[str]:
    """Columns of a .csv that hold text even where every cell looks like a number."""
    named = [data.input_column, None if task in CLASSIFICATION else data.target_column, data.group_column]
    return [column for column in named if column is not None] if task in TEXT else []


def text_columns(data: DataSection) -> list[str]:
    """The columns a sequence model reads and writes, or of classification the one it reads."""
    if data.by_label:
        columns: Mapping[str, Any] = INTENT_COLUMNS
    else:
        columns = DIALOGUE_COLUMNS.get(str(data.corpus), data.columns)
    return [str(columns[key]) for key in ("input_column", "target_column") if columns.get(key) is not None]


def _n_way(data: DataSection, rows: Dataset, part: str, train_seed: int, options: Mapping[str, Any]) -> EpisodeDataset:
    train = part == "train"
    query = data.query if train or data.test_query is None else data.test_query
    query = QUERY_ROWS if query is None else query
    columns: dict[str, Any] = {"label_column": data.label_column, "input_column": data.input_column}
    extra: dict[str, Any] = {}
    if data.corpus == "omniglot" or data.corpus in PHOTO_CORPORA:
        columns, extra = image_episode_options(data, train)
    elif data.corpus is not None:
        columns = TWEET_COLUMNS if data.corpus == "tweet_eval_emoji" else INTENT_COLUMNS
    length = data.train_tasks if train else None
    seed = train_seed if train else 0
    n_way = data.train_n_way if train and data.train_n_way is not None else data.n_way
    k_shot = data.train_k_shot if train and data.train_k_shot is not None else data.k_shot
    sizes: dict[str, Any] = {"n_way": n_way, "k_shot": k_shot, "query": query, "seed": seed, "length": length}
    return EpisodeDataset.n_way(rows, **columns, **sizes, **extra, **options)


def _by_task(
    data: DataSection, rows: Dataset, part: str, train_seed: int, options: Mapping[str, Any]
) -> EpisodeDataset:
    train = part == "train"
    keys = ("task_column", "input_column", "target_column", "dialogue_column")
    columns = dict(DIALOGUE_COLUMNS.get(str(data.corpus), {key: getattr(data, key) for key in keys}))
    group = columns.pop("dialogue_column")
    support = data.support if train or data.test_support is None else data.test_support
    query = data.query if train or data.test_query is None else data.test_query
    extra: dict[str, Any] = {"support": support, "query": query}
    if group is None:
        extra = {
            "support": SUPPORT_ROWS if support is None else support,
            "query": QUERY_ROWS if query is None else query,
        }
    else:
        if part == "test" and data.test_query is None:
            extra["query"] = 1  # each dialogue is held out on its own, however many are in training
        extra |= {"group_column": group, "query_groups": QUERY_GROUPS[part]}
        extra |= {"max_support_rows": data.max_support_rows, "max_query_rows": data.max_query_rows}
    seed, length = (train_seed, data.train_tasks) if train else (0, None)
    return EpisodeDataset(rows, **columns, **extra, seed=seed, length=length, **options)


def _label_names(data: DataSection, tables: Mapping[str, Dataset]) -> list[Any]:
    """The classes of all parts: the head has one output for each."""
    column = str(data.target_column)
    feature = next(iter(tables.values())).features[column]
    if isinstance(feature, ClassLabel):
        return list(feature.names)
    found = {value for rows in tables.values() for value in rows.unique(column)}
    return sorted(found, key=lambda value: (isinstance(value, str), value))


def _episodes(
    data: DataSection,
    train: EpisodeDataset,
    valid: EpisodeDataset | None,
    test: EpisodeDataset,
    num_labels: int | None,
    split: dict[str, list[Any]] | None,
) -> Episodes:
    fixed_valid = None
    if data.valid_tasks and valid is not None:
        fixed_valid = FixedEpisodes(valid, _at_most(data, data.valid_tasks, valid), data.seed + VALID_SEED_OFFSET)
    fixed_test = FixedEpisodes(test, _at_most(data, data.test_tasks, test), data.seed)
    return Episodes(train, fixed_valid, fixed_test, num_labels, split)


def _at_most(data: DataSection, count: int, episodes: EpisodeDataset) -> int:
    """The number of fixed episodes: by dialogue, those beyond one round would be the same ones again."""
    by_dialogue = data.dialogue_column is not None or data.corpus in DIALOGUE_CORPORA
    return min(count, len(episodes)) if by_dialogue else count
