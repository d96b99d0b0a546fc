"""Seeded, disjoint splits by task: drawn, saved with a hash, applied to tables, and checked for leaks."""

from __future__ import annotations

import hashlib
import itertools
import json
import logging
import os
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from datasets import Dataset

from hfmeta.episodes.errors import EpisodeError, listing, missing_columns
from hfmeta.episodes.sampling import GroupIndex

logger = logging.getLogger(__name__)
Split = dict[str, list[Any]]


def split_tasks(tasks: Iterable[Any], sizes: Mapping[str, float | int], seed: int = 0) -> Split:
    """Split tasks into disjoint parts.

    Args:
        tasks: names of tasks (text or integers); repetitions count once, and their order plays no part.
        sizes: name of each part -> its share (fractions that sum to 1) or its number of tasks (whole numbers that sum to at most
            the number of tasks).
        seed: seed of the draw.

    Returns:
        `{part: sorted tasks}`.

    Raises:
        EpisodeError: sizes of mixed kinds, shares that do not sum to 1, too many tasks asked for, or an empty part.

    Example:
        >>> split_tasks("abcdef", {"train": 4, "test": 2}, seed=1)
        {'train': ['a', 'b', 'c', 'e'], 'test': ['d', 'f']}
    """
    names = sorted({_plain(task) for task in tasks}, key=_by_kind)
    counts = _counts(sizes, len(names))
    order = np.random.default_rng([seed]).permutation(len(names)).tolist()
    bounds = [0, *itertools.accumulate(counts.values())]
    return {
        part: sorted((names[i] for i in order[low:high]), key=_by_kind)
        for part, (low, high) in zip(counts, itertools.pairwise(bounds), strict=True)
    }


def _counts(sizes: Mapping[str, float | int], total: int) -> dict[str, int]:
    """Return the number of tasks of each part; the largest remainders get what rounding leaves."""
    if not sizes:
        raise EpisodeError('sizes is empty; name the parts, such as {"train": 0.8, "test": 0.2}.')
    values = list(sizes.values())
    if all(isinstance(v, int) and not isinstance(v, bool) for v in values):
        if sum(values) > total:
            raise EpisodeError(f"sizes={dict(sizes)} asks for {sum(values)} tasks; there are {total}.")
        counts = {part: int(v) for part, v in sizes.items()}
    elif all(isinstance(v, float) for v in values):
        if abs(sum(values) - 1) > 1e-9 or min(values) < 0:
            raise EpisodeError(f"the shares {dict(sizes)} sum to {sum(values):g}; they must be positive and sum to 1.")
        exact = {part: v * total for part, v in sizes.items()}
        counts = {part: int(v + 1e-9) for part, v in exact.items()}
        by_remainder = sorted(exact, key=lambda part: counts[part] - exact[part])
        for part in by_remainder[: total - sum(counts.values())]:
            counts[part] += 1
    else:
        raise EpisodeError(f"sizes={dict(sizes)} must be all fractions (summing to 1) or all whole numbers of tasks.")
    if empty := [part for part, count in counts.items() if count < 1]:
        raise EpisodeError(
            f"of {total} tasks, the part(s) {', '.join(empty)} would get none; change sizes={dict(sizes)}."
        )
    return counts


def split_rows(rows: Dataset, task_column: str, split: Mapping[str, Sequence[Any]]) -> dict[str, Dataset]:
    """Return the rows of each part of a split by task.

    Args:
        rows: the table.
        task_column: column of tasks.
        split: `{part: tasks}`.

    Raises:
        EpisodeError: the column is missing, parts share tasks, or a task of the split has no row.
    """
    check_disjoint(split)
    index = GroupIndex(rows, task_column)
    group_of = {_plain(name): number for number, name in enumerate(index.names)}
    parts = {}
    for part, tasks in split.items():
        names = [_plain(task) for task in tasks]
        if absent := [name for name in names if name not in group_of]:
            raise EpisodeError(
                f"{len(absent)} task(s) of part {part!r} have no row in column {task_column!r}: {listing(map(repr, absent))}."
            )
        chosen = [index.rows(group_of[name]) for name in names]
        parts[part] = rows.select(np.sort(np.concatenate(chosen)) if chosen else [])
    return parts


def check_disjoint(parts: Mapping[str, Sequence[Any] | Dataset], task_column: str | None = None) -> None:
    """Raise where two parts share a task, naming the tasks.

    Args:
        parts: tasks, or tables, by part.
        task_column: column of tasks, for tables.

    Raises:
        EpisodeError: shared tasks, or a table without a task column.
    """
    tasks: dict[str, set[Any]] = {}
    for part, content in parts.items():
        if isinstance(content, Dataset):
            if task_column is None:
                raise EpisodeError(
                    f"part {part!r} is a table; pass task_column. The columns found are {content.column_names}."
                )
            content = GroupIndex(content, task_column).names
        tasks[part] = {_plain(task) for task in content}
    leaks = []
    for a, b in itertools.combinations(tasks, 2):
        if shared := sorted(tasks[a] & tasks[b], key=_by_kind):
            leaks.append(f"{a!r} and {b!r} share {len(shared)} ({listing(map(repr, shared))})")
    if leaks:
        raise EpisodeError(f"the parts must not share tasks, but {'; '.join(leaks)}. Split by task with split_tasks.")


def shared_inputs(parts: Mapping[str, Dataset], input_column: str) -> dict[tuple[str, str], list[str]]:
    """Return the input texts that occur in two parts, ignoring case and white space; said in the log where there are any.

    Args:
        parts: tables by part.
        input_column: column of text.

    Returns:
        `{(part, part): sorted texts}`, with an entry for every pair of parts.

    Raises:
        EpisodeError: the column is missing or holds no text.
    """
    texts: dict[str, set[str]] = {}
    for part, rows in parts.items():
        if input_column not in rows.column_names:
            raise missing_columns([input_column], rows.column_names, f"the rows of part {part!r}")
        values = rows.with_format(None)[input_column]
        if not all(isinstance(value, str) for value in values):
            raise EpisodeError(
                f"column {input_column!r} of part {part!r} holds no text; identical inputs are checked on text."
            )
        texts[part] = {" ".join(value.casefold().split()) for value in values}
    shared = {(a, b): sorted(texts[a] & texts[b]) for a, b in itertools.combinations(texts, 2)}
    for (a, b), common in shared.items():
        if common:
            logger.warning("%d identical inputs occur in both %r and %r, such as %r", len(common), a, b, common[0])
    return shared


def split_sha256(split: Mapping[str, Sequence[Any]]) -> str:
    """Return the hash of a split: parts and tasks, whatever their order."""
    plain = {part: sorted(map(_plain, tasks), key=_by_kind) for part, tasks in split.items()}
    return hashlib.sha256(json.dumps(plain, sort_keys=True).encode()).hexdigest()


def save_split(split: Mapping[str, Sequence[Any]], path: str | os.PathLike[str], seed: int | None = None) -> None:
    """Write a split as JSON with its hash, under a temporary name that is then renamed.

    Args:
        split: `{part: tasks}`.
        path: the file.
        seed: stored for the reader's information.
    """
    path = Path(path)
    plain = {part: [_plain(task) for task in tasks] for part, tasks in split.items()}
    text = json.dumps({"sha256": split_sha256(plain), "seed": seed, "split": plain}, indent=1, ensure_ascii=False)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with open(handle, "w", encoding="utf-8") as file:
            file.write(text + "\n")
        os.chmod(temporary, 0o644)
        os.replace(temporary, path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def load_split(path: str | os.PathLike[str]) -> Split:
    """Return a saved split.

    Raises:
        EpisodeError: no such file, no split in it, or its hash differs from its content.
    """
    try:
        stored = json.loads(Path(path).read_text(encoding="utf-8"))
        split, expected = stored["split"], stored["sha256"]
    except FileNotFoundError as error:
        raise EpisodeError(f"there is no split file {os.fspath(path)!r}; write one with save_split.") from error
    except (json.JSONDecodeError, KeyError, TypeError) as error:
        raise EpisodeError(f"{os.fspath(path)!r} is no split file (JSON with 'split' and 'sha256').") from error
    if (found := split_sha256(split)) != expected:
        raise EpisodeError(
            f"the tasks in {os.fspath(path)!r} have the hash {found[:12]}, the file says {expected[:12]} (edited?)."
        )
    return split


def _plain(task: Any) -> Any:
    """Return a task name as Python text or integer."""
    task = task.item() if isinstance(task, np.generic) else task
    if not isinstance(task, str | int):
        raise EpisodeError(f"a task is named by text or a whole number, got {task!r}.")
    return task


def _by_kind(task: Any) -> tuple[bool, Any]:
    """Return a key that sorts numbers before text."""
    return isinstance(task, str), task
