"""Sheets for annotators: one CSV file each, responses of all methods mixed, and the key to the methods kept apart.

Here: drawing the study and writing its files. Not here: reading filled-in sheets (`reading.py`).
"""

from __future__ import annotations

import csv
import hashlib
import html
import io
import json
import os
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from hfmeta.inner.errors import HfmetaError
from hfmeta.metrics.human_evaluation.criteria import CRITERIA, FIXED_COLUMNS, SCALE, Criterion

KEY_FORMAT = "hfmeta-human-evaluation-1"
_FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")


@dataclass(frozen=True)
class Item:
    """One place of a test dialogue, with what every method said there.

    Args:
        context: the conversation so far, as the annotator sees it.
        task: what the response should agree with: persona sentences, an emoji.
        responses: text by method.
    """

    context: str
    task: str
    responses: Mapping[str, str]


def write_sheets(
    folder: str | os.PathLike[str],
    key: str | os.PathLike[str],
    items: Sequence[Item],
    *,
    annotators: int = 3,
    per_method: int | None = None,
    seed: int = 0,
    criteria: Sequence[Criterion] = CRITERIA,
) -> list[Path]:
    """Write one sheet for each annotator, instructions, and the key that says which response is whose.

    Every annotator gets the same responses, in an order of their own, under ids that tell nothing. Cells that a spreadsheet would take
    for a formula get a leading apostrophe. Equal arguments give equal files.

    Args:
        folder: where `annotator_1.csv`, ... and `instructions.html` go; what annotators are given.
        key: a JSON file outside that folder.
        items: places with one response of each method; the methods of all items are the same.
        annotators: number of sheets; two or more for a measure of agreement.
        per_method: items drawn (without replacement), so responses per method; None: all.
        seed: of the draw, the ids and the orders.
        criteria: columns to fill in, scored 0, 1 or 2.

    Returns:
        the sheets' paths, in the order of the annotators.

    Raises:
        HfmetaError: no items, items with other methods, too few items for `per_method`, a key inside the folder, files that
            exist already, criteria without a name of their own.

    Source: Song et al. 2020 (CMAML): 3 annotators, 100 responses per method, blind and shuffled.
    """
    folder, key = Path(folder), Path(key)
    methods = _methods(items)
    _check_study(items, annotators, per_method, criteria)
    sheets = [folder / f"annotator_{number}.csv" for number in range(1, annotators + 1)]
    _check_places(folder, key, [*sheets, folder / "instructions.html"])
    rng = np.random.default_rng([seed, len(items), len(methods)])
    chosen = sorted(rng.choice(len(items), size=per_method or len(items), replace=False).tolist())
    pairs = [(number, method) for number in chosen for method in methods]
    pairs = [pairs[place] for place in rng.permutation(len(pairs))]
    study = _study_id(items, chosen, methods, criteria, seed)
    ids = _fresh_ids(rng, len(pairs))
    rows = {
        one: [study, one, items[number].task, items[number].context, items[number].responses[method]]
        for one, (number, method) in zip(ids, pairs, strict=True)
    }
    for path in sheets:
        order = [ids[place] for place in rng.permutation(len(ids))]
        _write(path, _csv([rows[one] for one in order], criteria))
    _write(folder / "instructions.html", _instructions(criteria))
    placed = {one: {"method": method, "item": number} for one, (number, method) in zip(ids, pairs, strict=True)}
    content = {
        "format": KEY_FORMAT,
        "study": study,
        "seed": seed,
        "methods": methods,
        "annotators": annotators,
        "criteria": [criterion.name for criterion in criteria],
        "responses": dict(sorted(placed.items())),
    }
    _write(key, json.dumps(content, indent=2, ensure_ascii=False) + "\n")
    return sheets


def guarded(text: str) -> str:
    """A cell that no spreadsheet takes for a formula: an apostrophe before a text that begins like one.

    Args:
        text: as a model may have generated it.

    Source: OWASP, "CSV injection".
    """
    text = text.replace("\x00", "")
    return f"'{text}" if text.lstrip(" ").startswith(_FORMULA_STARTS) or text.startswith(_FORMULA_STARTS) else text


def _methods(items: Sequence[Item]) -> list[str]:
    if not items:
        raise HfmetaError("a human evaluation needs at least one item: received none.")
    methods = sorted(items[0].responses)
    for number, item in enumerate(items):
        if sorted(item.responses) != methods or not methods:
            raise HfmetaError(
                f"every item needs one response of each method: item 0 has {', '.join(methods) or 'none'}, "
                f"item {number} has {', '.join(sorted(item.responses)) or 'none'}."
            )
    return methods


def _check_study(items: Sequence[Item], annotators: int, per_method: int | None, criteria: Sequence[Criterion]) -> None:
    if annotators < 1:
        raise HfmetaError(f"a human evaluation needs at least one annotator: received {annotators}.")
    if per_method is not None and not 1 <= per_method <= len(items):
        raise HfmetaError(
            f"per_method={per_method} responses cannot be drawn from {len(items)} items; take 1 to {len(items)}."
        )
    names = [criterion.name for criterion in criteria]
    if not names or len({*names, *FIXED_COLUMNS}) != len(names) + len(FIXED_COLUMNS):
        raise HfmetaError(
            f"criteria need names of their own, other than {', '.join(FIXED_COLUMNS)}: received {', '.join(names) or 'none'}."
        )


def _check_places(folder: Path, key: Path, files: Sequence[Path]) -> None:
    if key.resolve().is_relative_to(folder.resolve()):
        raise HfmetaError(
            f"the key {key} lies in the annotators' folder {folder}: they must not see it. Write it somewhere else."
        )
    existing = [str(path) for path in (*files, key) if path.exists()]
    if existing:
        raise HfmetaError(
            f"{existing[0]} exists already, and may hold somebody's work. Choose another place, or remove it yourself."
        )


def _study_id(
    items: Sequence[Item], chosen: Sequence[int], methods: Sequence[str], criteria: Sequence[Criterion], seed: int
) -> str:
    content = [
        [[items[n].context, items[n].task, [items[n].responses[m] for m in methods]] for n in chosen],
        list(methods),
        [criterion.name for criterion in criteria],
        seed,
    ]
    return "s" + hashlib.sha256(json.dumps(content).encode()).hexdigest()[:11]


def _fresh_ids(rng: np.random.Generator, count: int) -> list[str]:
    # A letter first, so that no spreadsheet reads an id such as 12e456789 as a number.
    drawn: dict[str, None] = {}
    while len(drawn) < count:
        drawn[f"r{int(rng.integers(16**8)):08x}"] = None
    return list(drawn)


def _csv(rows: Sequence[Sequence[str]], criteria: Sequence[Criterion]) -> str:
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\r\n")
    writer.writerow([*FIXED_COLUMNS, *(criterion.name for criterion in criteria)])
    for row in rows:
        writer.writerow([*(guarded(cell) for cell in row), *("" for _ in criteria)])
    # Spreadsheet programs take a CSV file for UTF-8 only if it starts with this mark.
    return "\ufeff" + buffer.getvalue()


def _instructions(criteria: Sequence[Criterion]) -> str:
    parts = []
    for criterion in criteria:
        meaning = "".join(
            f"<li><b>{score}</b>: {html.escape(text)}</li>"
            for score, text in zip(SCALE, criterion.meaning, strict=True)
        )
        parts.append(
            f"<h2>{html.escape(criterion.name)}</h2><p>{html.escape(criterion.question)}</p><ul>{meaning}</ul>"
        )
    names = " and ".join(f"<code>{html.escape(criterion.name)}</code>" for criterion in criteria)
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8"><title>Judging responses</title>'
        "<style>body{font-family:sans-serif;max-width:45em;margin:2em auto;line-height:1.5}</style></head><body>"
        "<h1>Judging responses</h1><p>Open the sheet with your number in a spreadsheet program. Each row shows a conversation "
        "(<code>context</code>), what is known about the speaker (<code>task</code>) and one <code>response</code>. "
        f"Fill in {names} in every row with 0, 1 or 2, as described below. Judge each row by itself: the same context comes back with "
        "other responses, in no particular order. Sort the rows as you like, but change nothing in the other columns and delete no "
        "row. An apostrophe at the start of a cell is not part of the text. Do not talk about single rows with other annotators "
        "before all have finished. Save as CSV.</p>" + "".join(parts) + "</body></html>\n"
    )


def _write(path: Path, content: str) -> None:
    """The file whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content.encode("utf-8"))
        os.chmod(temporary, path.parent.stat().st_mode & 0o666)
        os.replace(temporary, path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
