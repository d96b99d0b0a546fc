"""Filled-in sheets back into numbers: checked against the key, unblinded, averaged by method.

All faults of a sheet are gathered into one message. Not here: the statistics of agreement (`agreement.py`).
"""

from __future__ import annotations

import csv
import io
import json
import os
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from hfmeta.inner.errors import HfmetaError
from hfmeta.metrics.human_evaluation.agreement import krippendorff_alpha, pairwise_kappa
from hfmeta.metrics.human_evaluation.criteria import SCALE
from hfmeta.metrics.human_evaluation.sheets import KEY_FORMAT
from hfmeta.metrics.scores import mean_ci95


@dataclass(frozen=True)
class MethodScore:
    """One method on one criterion.

    Args:
        mean: over responses, of the mean over annotators; 0 to 2.
        ci95: half width of its 95 % interval over responses; nan for one.
        responses: number of responses.
    """

    mean: float
    ci95: float
    responses: int


@dataclass(frozen=True)
class CriterionScores:
    """One criterion: all methods, and the agreement of the annotators on it.

    Args:
        methods: score by method.
        kappa: quadratically weighted Cohen's kappa, mean over pairs of annotators; nan for one annotator.
        alpha: Krippendorff's alpha, ordinal; nan for one annotator.
    """

    methods: dict[str, MethodScore]
    kappa: float
    alpha: float


@dataclass(frozen=True)
class HumanScores:
    """What the annotators of one study said.

    Args:
        study: its id.
        annotators: number of sheets read.
        criteria: scores by criterion.
        ratings: [annotators, responses] by criterion, responses in the order of `responses`.
        responses: (method, item number) of each column of the ratings; paired comparisons of two methods match them by item.
    """

    study: str
    annotators: int
    criteria: dict[str, CriterionScores]
    ratings: dict[str, np.ndarray]
    responses: tuple[tuple[str, int], ...]


def read_sheets(sheets: Sequence[str | os.PathLike[str]], key: str | os.PathLike[str]) -> HumanScores:
    """Means by method and agreement from filled-in sheets.

    Rows may be sorted anyhow, and the files saved by a spreadsheet program with commas, semicolons or tabs between the cells.

    Args:
        sheets: one CSV file of each annotator.
        key: the JSON file that was written with the sheets.

    Raises:
        HfmetaError: a key that is none; one file given twice, or two files with the same content; sheets of another study, with
            columns or rows missing, rows twice or with ids that were never given out, scores other than 0, 1 and 2: all faults
            in one message.
    """
    content = _read_key(Path(key))
    paths = [Path(sheet) for sheet in sheets]
    if not paths:
        raise HfmetaError("no sheets to read: give one CSV file of each annotator.")
    ids, criteria = list(content["responses"]), list(content["criteria"])
    problems: list[str] = []
    tables = [_read_sheet(path, content["study"], ids, criteria, problems) for path in paths]
    _check_distinct(paths, problems)
    if problems:
        shown = problems[:20] + ([f"... and {len(problems) - 20} more"] if len(problems) > 20 else [])
        raise HfmetaError("the sheets cannot be read:\n  " + "\n  ".join(shown))
    ratings = {name: np.array([[table[one][name] for one in ids] for table in tables]) for name in criteria}
    places = tuple((str(content["responses"][one]["method"]), int(content["responses"][one]["item"])) for one in ids)
    scores = {name: _scores(table, places, content["methods"]) for name, table in ratings.items()}
    return HumanScores(content["study"], len(paths), scores, ratings, places)


def _scores(table: np.ndarray, places: Sequence[tuple[str, int]], methods: Sequence[str]) -> CriterionScores:
    by_response = table.mean(0)
    found = {}
    for method in methods:
        own = by_response[[place[0] == method for place in places]]
        found[method] = MethodScore(*mean_ci95(own), len(own))
    return CriterionScores(found, pairwise_kappa(table), krippendorff_alpha(table))


def _read_key(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise HfmetaError(
            f"the key {path} cannot be read: {error}. It was written together with the sheets."
        ) from error
    wanted = {"study", "methods", "criteria", "responses"}
    if not isinstance(content, dict) or content.get("format") != KEY_FORMAT or not wanted <= content.keys():
        raise HfmetaError(
            f"{path} is not the key of a human evaluation. Give the JSON file that was written with the sheets."
        )
    return content


def _read_sheet(
    path: Path, study: str, ids: Sequence[str], criteria: Sequence[str], problems: list[str]
) -> dict[str, dict[str, int]]:
    """Scores by id and criterion; faults are added to `problems`."""
    rows, columns = _rows(path, problems)
    missing = [name for name in ("study", "id", *criteria) if name not in columns]
    if missing:
        problems.append(f"{path.name}: no column {', '.join(missing)}; found {', '.join(columns) or 'nothing'}")
        return {}
    others = sorted({row["study"] for row in rows} - {study})
    if others:
        problems.append(
            f"{path.name}: rows of another study ({', '.join(others)[:60] or 'empty'}); the key is of study {study}"
        )
        return {}
    seen = Counter(row["id"] for row in rows)
    for kind, found in (
        ("ids that were never given out (edited?)", sorted(seen.keys() - set(ids))),
        ("rows that are there more than once", sorted(one for one, times in seen.items() if times > 1)),
        ("rows that are missing", [one for one in ids if one not in seen]),
    ):
        if found:
            more = f" and {len(found) - 5} more" if len(found) > 5 else ""
            problems.append(f"{path.name}: {len(found)} {kind}: {', '.join(found[:5])}{more}")
    return {row["id"]: {name: _score(row, name, path, problems) for name in criteria} for row in rows}


def _rows(path: Path, problems: list[str]) -> tuple[list[dict[str, str]], list[str]]:
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except OSError as error:
        problems.append(f"{path.name}: cannot be read ({error.strerror})")
        return [], []
    except UnicodeDecodeError:
        problems.append(f"{path.name}: is not UTF-8 text; save it as CSV UTF-8")
        return [], []
    header = text.split("\n", 1)[0]
    delimiter = max(",;\t", key=header.count)
    try:
        reader = csv.DictReader(io.StringIO(text, newline=""), delimiter=delimiter)
        rows = [{str(k): (v or "").strip() for k, v in row.items() if isinstance(v, str | None)} for row in reader]
    except csv.Error as error:
        problems.append(f"{path.name}: is not a CSV file ({error})")
        return [], []
    filled = [row for row in rows if any(row.values())]
    return filled, [str(name) for name in reader.fieldnames or []]


def _score(row: Mapping[str, str], name: str, path: Path, problems: list[str]) -> int:
    text = row[name]
    try:
        value = float(text.replace(",", "."))
    except ValueError:
        value = -1.0
    if value not in SCALE:
        problems.append(f"{path.name}: row {row['id']}: {name} is {text or 'empty'!r}; expected 0, 1 or 2")
    return int(value) if value in SCALE else -1


def _check_distinct(paths: Sequence[Path], problems: list[str]) -> None:
    """One annotator counted twice would agree with themselves."""
    first: dict[bytes, Path] = {}
    for path in paths:
        content = path.read_bytes() if path.is_file() else os.fsencode(path)
        other = first.setdefault(content, path)
        if other is not path:
            problems.append(f"{path.name}: is the same file as {other.name}; give one sheet of each annotator")
