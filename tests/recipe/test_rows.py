"""Checks of hfmeta/recipe/rows.py."""

from __future__ import annotations

import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from hfmeta.inner.errors import HfmetaError
from hfmeta.recipe.rows import read_columns, read_rows

ROWS = [{"text": "one, two", "label": "a"}, {"text": 'say "three"\nnow', "label": "b"}]


@pytest.fixture
def files(tmp_path):
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in ROWS) + "\n", encoding="utf-8")
    (tmp_path / "rows.csv").write_text('text,label\n"one, two",a\n"say ""three""\nnow",b\n', encoding="utf-8")
    pq.write_table(pa.Table.from_pylist(ROWS), tmp_path / "rows.parquet")
    return tmp_path


@pytest.mark.parametrize("suffix", ["jsonl", "csv", "parquet"])
def test_three_formats_give_the_same_rows(files, suffix):
    assert read_rows(files / f"rows.{suffix}").to_list() == ROWS
    assert read_columns(files / f"rows.{suffix}") == ["text", "label"]


def test_text_columns_of_a_csv_stay_text(tmp_path):
    (tmp_path / "rows.csv").write_text("text,label\n12,1\n7,0\n", encoding="utf-8")
    assert read_rows(tmp_path / "rows.csv")[0] == {"text": 12, "label": 1}
    assert read_rows(tmp_path / "rows.csv", text_columns=["text"])[0] == {"text": "12", "label": 1}


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("rows.txt", b"a", "ends in .jsonl, .csv, .parquet"),
        ("rows.jsonl", b"", "has no rows"),
        ("rows.csv", b"text,label\n", "has no rows"),
        ("rows.jsonl", b'{"text": 1}\n{oops\n', "line 2, is no JSON"),
        ("rows.jsonl", b"[1]\n", "line 1: expected an object"),
        ("rows.jsonl", b"\xff\xfe\n", "cannot be read as jsonl"),
        ("rows.parquet", b"nothing of the kind", "cannot be read as parquet"),
        ("rows.csv", b"a,b\n1\n", "cannot be read as csv"),
        ("rows.jsonl", b'{"a": 1}\n{"a": "text"}\n', "cannot be read as jsonl"),
    ],
)
def test_unreadable_files_are_refused(tmp_path, name, content, message):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(HfmetaError, match="rows") as caught:
        read_rows(tmp_path / name)
    assert message in str(caught.value)


def test_missing_files_and_folders_are_refused(tmp_path):
    with pytest.raises(HfmetaError, match="no such file"):
        read_rows(tmp_path / "rows.csv")
    (tmp_path / "rows.csv").mkdir()
    with pytest.raises(HfmetaError, match="this is a folder"):
        read_columns(tmp_path / "rows.csv")


def test_columns_of_empty_and_broken_files_are_refused(tmp_path):
    (tmp_path / "rows.jsonl").write_text("\n", encoding="utf-8")
    with pytest.raises(HfmetaError, match="has no rows"):
        read_columns(tmp_path / "rows.jsonl")
    (tmp_path / "rows.parquet").write_bytes(b"nothing")
    with pytest.raises(HfmetaError, match="cannot be read as parquet"):
        read_columns(tmp_path / "rows.parquet")
