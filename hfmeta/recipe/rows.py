"""Rows from a local .jsonl, .csv or .parquet file: one reader for recipes and for `hfmeta adapt`. Knows no task, no model."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.parquet as pa_parquet
from datasets import Dataset

from hfmeta.inner.errors import HfmetaError

SUFFIXES = (".jsonl", ".csv", ".parquet")


def read_rows(path: str | Path, text_columns: Sequence[str] = ()) -> Dataset:
    """The rows of a file, in its order.

    Args:
        path: .jsonl (one object a line), .csv (with a header) or .parquet.
        text_columns: columns of a .csv that stay text where all their cells look like numbers.

    Raises:
        HfmetaError: no such file, another kind of file, no rows, or contents that cannot be read (names the line where known).
    """
    path = Path(path).expanduser()
    check_readable(path)
    try:
        if path.suffix == ".jsonl":
            rows = Dataset.from_list(_json_lines(path))
        elif path.suffix == ".csv":
            rows = Dataset(_csv(path, text_columns))
        else:
            rows = Dataset(pa_parquet.read_table(path))
    except (pa.ArrowException, OSError, UnicodeDecodeError, TypeError) as error:
        raise HfmetaError(f"{path} cannot be read as {path.suffix[1:]}: {' '.join(str(error).split())}") from error
    if not len(rows):
        raise HfmetaError(f"{path} has no rows.")
    return rows


def read_columns(path: str | Path) -> list[str]:
    """The names of a file's columns, reading as little of it as possible.

    Args:
        path: as for `read_rows`.

    Raises:
        HfmetaError: as for `read_rows`.
    """
    path = Path(path).expanduser()
    check_readable(path)
    try:
        if path.suffix == ".parquet":
            return list(pa_parquet.read_schema(path).names)
        if path.suffix == ".csv":
            return list(pa_csv.open_csv(path, parse_options=pa_csv.ParseOptions(newlines_in_values=True)).schema.names)
        first = _json_lines(path, at_most=1)
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        raise HfmetaError(f"{path} cannot be read as {path.suffix[1:]}: {' '.join(str(error).split())}") from error
    if not first:
        raise HfmetaError(f"{path} has no rows.")
    return list(first[0])


def check_readable(path: Path) -> None:
    """Raise where there is no such file, or it is of another kind.

    Args:
        path: a local path.
    """
    if path.suffix not in SUFFIXES:
        raise HfmetaError(f"{path}: a file of rows ends in {', '.join(SUFFIXES)}.")
    if not path.is_file():
        raise HfmetaError(f"{path}: {'this is a folder' if path.is_dir() else 'no such file'}.")


def _csv(path: Path, text_columns: Sequence[str]) -> pa.Table:
    return pa_csv.read_csv(
        path,
        parse_options=pa_csv.ParseOptions(newlines_in_values=True),
        convert_options=pa_csv.ConvertOptions(column_types={name: pa.string() for name in text_columns}),
    )


def _json_lines(path: Path, at_most: int | None = None) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = []
    with path.open(encoding="utf-8-sig") as file:
        for number, line in enumerate(file, start=1):
            if len(rows) == at_most:
                break
            if not line.strip():
                continue
            try:
                row = json.loads(line)
            except json.JSONDecodeError as error:
                raise HfmetaError(f"{path}, line {number}, is no JSON: {error}.") from error
            if not isinstance(row, dict):
                raise HfmetaError(f'{path}, line {number}: expected an object such as {{"text": ...}}, got {row!r}.')
            rows.append(row)
    return rows
