"""A small study for the tests: its items, and annotators who fill in sheets by a rule."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable
from pathlib import Path

from hfmeta.metrics.human_evaluation import Item, write_sheets

METHODS = ("CMAML", "MAML", "Seq2seq")


def items(count: int = 6) -> list[Item]:
    return [
        Item(
            f"hello {n} , how are you ?",
            "i have two dogs .",
            {method: f"{method.lower()[0]} says {n}" for method in METHODS},
        )
        for n in range(count)
    ]


def study(folder: Path, **options: object) -> tuple[list[Path], Path]:
    """Sheets and key of a fresh study."""
    key = folder / "secret" / "key.json"
    return write_sheets(folder / "sheets", key, items(), **options), key


def rows_of(path: Path) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(path.read_text(encoding="utf-8-sig"), newline="")))


def save(path: Path, rows: list[dict[str, str]], delimiter: str = ",", encoding: str = "utf-8-sig") -> None:
    buffer = io.StringIO()
    writer = csv.DictWriter(buffer, list(rows[0]), delimiter=delimiter)
    writer.writeheader()
    writer.writerows(rows)
    path.write_bytes(buffer.getvalue().encode(encoding))


def fill(path: Path, score: Callable[[dict[str, str]], tuple[object, object]], **options: str) -> None:
    """Write quality and task consistency into every row."""
    rows = rows_of(path)
    for row in rows:
        row["quality"], row["task_consistency"] = (str(value) for value in score(row))
    save(path, rows, **options)


def by_method(row: dict[str, str]) -> tuple[int, int]:
    """2 for CMAML, 1 for MAML, 0 for Seq2seq, for quality; half of that for consistency."""
    quality = {"c": 2, "m": 1, "s": 0}[row["response"][0]]
    return quality, quality // 2
