"""Checks of hfmeta/metrics/human_evaluation/sheets.py: blind, shuffled, safe to open."""

from __future__ import annotations

import json
from collections import Counter

import pytest

from hfmeta.inner.errors import HfmetaError
from hfmeta.metrics.human_evaluation import Criterion, Item, write_sheets
from hfmeta.metrics.human_evaluation.sheets import guarded
from metrics.human_evaluation.studies import METHODS, items, rows_of, study


def test_every_annotator_gets_every_response_once(tmp_path):
    sheets, key = study(tmp_path)
    assert [path.name for path in sheets] == ["annotator_1.csv", "annotator_2.csv", "annotator_3.csv"]
    texts = Counter(one for item in items() for one in item.responses.values())
    for path in sheets:
        rows = rows_of(path)
        assert Counter(row["response"] for row in rows) == texts
        assert all(row["quality"] == row["task_consistency"] == "" for row in rows)
    orders = [[row["id"] for row in rows_of(path)] for path in sheets]
    assert sorted(orders[0]) == sorted(orders[1]) == sorted(orders[2])
    assert len({tuple(order) for order in orders}) == 3


def test_the_sheets_do_not_tell_the_method(tmp_path):
    sheets, key = study(tmp_path)
    for path in (tmp_path / "sheets").iterdir():
        assert not any(method in path.read_text(encoding="utf-8") for method in METHODS)
    content = json.loads(key.read_text())
    rows = rows_of(sheets[0])
    for row in rows:
        assert content["responses"][row["id"]]["method"].lower()[0] == row["response"][0]
    # Neither the order of rows nor that of ids follows the methods.
    firsts = "".join(row["response"][0] for row in rows)
    in_key = "".join(place["method"][0] for place in content["responses"].values())
    assert firsts != "".join(sorted(firsts))
    assert in_key != "".join(sorted(in_key))


def test_equal_seeds_give_equal_files(tmp_path):
    first, second, other = (study(tmp_path / name, seed=seed) for name, seed in (("a", 1), ("b", 1), ("c", 2)))
    assert [path.read_bytes() for path in first[0]] == [path.read_bytes() for path in second[0]]
    assert first[1].read_bytes() == second[1].read_bytes()
    assert first[0][0].read_bytes() != other[0][0].read_bytes()


def test_a_draw_of_items(tmp_path):
    sheets, key = study(tmp_path, per_method=4, annotators=1)
    content = json.loads(key.read_text())
    places = [(place["method"], place["item"]) for place in content["responses"].values()]
    assert Counter(method for method, _ in places) == dict.fromkeys(METHODS, 4)
    assert len({item for _, item in places}) == 4


def test_instructions_name_the_columns_and_scores(tmp_path):
    study(tmp_path)
    text = (tmp_path / "sheets" / "instructions.html").read_text(encoding="utf-8")
    for part in ("quality", "task_consistency", "<b>0</b>", "<b>2</b>", "contradicts the description"):
        assert part in text


def test_own_criteria(tmp_path):
    criterion = Criterion("warmth", "Is it <warm>?", ("no", "so so", "yes"))
    (sheet,) = write_sheets(tmp_path / "s", tmp_path / "key.json", items(), annotators=1, criteria=[criterion])
    assert list(rows_of(sheet)[0])[-1] == "warmth"
    assert "Is it &lt;warm&gt;?" in (tmp_path / "s" / "instructions.html").read_text()


@pytest.mark.parametrize("text", ["=1+1", "+44", "-2", "@SUM(A1)", "\t=1", "  =HYPERLINK()", "\n=1", "＝1"])
def test_formulas_are_defused(tmp_path, text):
    assert guarded(text) == f"'{text}"
    (sheet,) = write_sheets(
        tmp_path / "s", tmp_path / "key.json", [Item(text, text, {"a": text, "b": "fine"})], annotators=1
    )
    for row in rows_of(sheet):
        assert row["context"].startswith("'")
        assert row["task"].startswith("'")
    assert sorted(row["response"] for row in rows_of(sheet)) == sorted([f"'{text}", "fine"])


def test_ordinary_text_stays_as_it_is(tmp_path):
    for text in ("i 'm fine = ok", 'say "hi", twice', "two\nlines", "", "naïve 😂"):
        assert guarded(text) == text
    (sheet,) = write_sheets(
        tmp_path / "s", tmp_path / "key.json", [Item('a "b", c', "x\ny", {"m": "naïve 😂"})], annotators=1
    )
    (row,) = rows_of(sheet)
    assert (row["context"], row["task"], row["response"]) == ('a "b", c', "x\ny", "naïve 😂")


def test_the_key_is_kept_apart(tmp_path):
    with pytest.raises(HfmetaError, match="key .* lies in the annotators' folder .* must not see it"):
        write_sheets(tmp_path / "s", tmp_path / "s" / "key.json", items())
    assert not (tmp_path / "s").exists()


def test_nothing_is_written_over(tmp_path):
    sheets, key = study(tmp_path)
    before = sheets[0].read_bytes()
    with pytest.raises(HfmetaError, match=r"annotator_1.csv exists already, and may hold somebody's work"):
        study(tmp_path, seed=5)
    assert sheets[0].read_bytes() == before
    with pytest.raises(HfmetaError, match=r"key.json exists already"):
        write_sheets(tmp_path / "elsewhere", key, items())


@pytest.mark.parametrize(
    ("arguments", "options", "message"),
    [
        ([], {}, "at least one item"),
        ([Item("c", "t", {"a": "x"}), Item("c", "t", {"b": "x"})], {}, "item 0 has a, item 1 has b"),
        ([Item("c", "t", {})], {}, "item 0 has none"),
        (items(), {"annotators": 0}, "at least one annotator: received 0"),
        (items(), {"per_method": 7}, "per_method=7 responses cannot be drawn from 6 items"),
        (
            items(),
            {"criteria": [Criterion("id", "?", ("", "", ""))]},
            "criteria need names of their own, other than study, id",
        ),
        (items(), {"criteria": []}, "received none"),
    ],
)
def test_studies_that_cannot_be(tmp_path, arguments, options, message):
    with pytest.raises(HfmetaError, match=message):
        write_sheets(tmp_path / "s", tmp_path / "key.json", arguments, **options)
    assert not (tmp_path / "key.json").exists()
