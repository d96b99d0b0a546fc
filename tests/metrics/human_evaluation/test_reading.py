"""Checks of hfmeta/metrics/human_evaluation/reading.py: means by method, agreement, and every fault of a sheet."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest

from hfmeta.inner.errors import HfmetaError
from hfmeta.metrics import mean_ci95
from hfmeta.metrics.human_evaluation import krippendorff_alpha, pairwise_kappa, read_sheets
from metrics.human_evaluation.studies import METHODS, by_method, fill, rows_of, save, study


@pytest.fixture
def filled(tmp_path):
    sheets, key = study(tmp_path)
    for path in sheets:
        fill(path, by_method)
    return sheets, key


def test_means_by_method(filled):
    scores = read_sheets(*filled)
    quality, consistency = scores.criteria["quality"], scores.criteria["task_consistency"]
    assert {method: one.mean for method, one in quality.methods.items()} == {"CMAML": 2.0, "MAML": 1.0, "Seq2seq": 0.0}
    assert {method: one.mean for method, one in consistency.methods.items()} == {
        "CMAML": 1.0,
        "MAML": 0.0,
        "Seq2seq": 0.0,
    }
    assert all(one.responses == 6 and one.ci95 == 0.0 for one in quality.methods.values())
    assert quality.kappa == quality.alpha == 1.0
    assert scores.annotators == 3


def test_disagreement_and_intervals(filled):
    sheets, key = filled
    fill(sheets[1], lambda row: (int(row["id"], 36) % 3, 1))
    scores = read_sheets(sheets, key)
    table = scores.ratings["quality"]
    assert table.shape == (3, 18)
    own = table.mean(0)[[method == "MAML" for method, _ in scores.responses]]
    one = scores.criteria["quality"].methods["MAML"]
    assert (one.mean, one.ci95) == pytest.approx(mean_ci95(own))
    assert scores.criteria["quality"].kappa == pytest.approx(pairwise_kappa(table))
    assert scores.criteria["quality"].alpha == pytest.approx(krippendorff_alpha(table))
    assert 0 < scores.criteria["quality"].kappa < 1


def test_responses_can_be_compared_item_by_item(filled):
    scores = read_sheets(*filled)
    assert sorted(scores.responses) == sorted((method, item) for method in METHODS for item in range(6))


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
def test_as_spreadsheet_programs_save(filled, delimiter, encoding):
    sheets, key = filled
    expected = read_sheets(sheets, key).criteria
    rows = sorted(rows_of(sheets[0]), key=lambda row: row["response"])
    for row in rows:
        row["quality"] = f" {row['quality']}.0 "
    save(sheets[0], [*rows, dict.fromkeys(rows[0], "")], delimiter=delimiter, encoding=encoding)
    assert read_sheets(sheets, key).criteria == expected


def test_one_annotator(filled):
    sheets, key = filled
    scores = read_sheets(sheets[:1], key)
    assert math.isnan(scores.criteria["quality"].kappa)
    assert math.isnan(scores.criteria["quality"].alpha)
    assert scores.ratings["quality"].dtype == np.int64


def changed(path, change):
    rows = rows_of(path)
    save(path, change(rows) or rows)


def without_first(rows):
    return rows[1:]


def first_twice(rows):
    return [*rows, rows[0]]


def edited_id(rows):
    rows[0]["id"] = "r0"


def other_study(rows):
    rows[0]["study"] = "s123"


def score_of_3(rows):
    rows[0]["quality"] = "3"


def half_a_point(rows):
    rows[0]["quality"] = "1.5"


def no_score(rows):
    rows[0]["task_consistency"] = ""


def words_for_scores(rows):
    rows[0]["quality"] = "good"


def no_column(rows):
    return [{name: value for name, value in row.items() if name != "quality"} for row in rows]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (without_first, r"annotator_2.csv: 1 rows that are missing: r[0-9a-f]{8}"),
        (first_twice, r"annotator_2.csv: 1 rows that are there more than once: r[0-9a-f]{8}"),
        (edited_id, r"annotator_2.csv: 1 ids that were never given out \(edited\?\): r0\n.*1 rows that are missing"),
        (other_study, r"annotator_2.csv: rows of another study \(s123\); the key is of study s[0-9a-f]{11}"),
        (score_of_3, r"annotator_2.csv: row r\w{8}: quality is '3'; expected 0, 1 or 2"),
        (half_a_point, r"quality is '1.5'; expected 0, 1 or 2"),
        (no_score, r"task_consistency is 'empty'; expected 0, 1 or 2"),
        (words_for_scores, r"quality is 'good'; expected 0, 1 or 2"),
        (no_column, r"annotator_2.csv: no column quality; found study, id, task, context, response, task_consistency"),
    ],
)
def test_faulty_sheets(filled, change, message):
    sheets, key = filled
    changed(sheets[1], change)
    with pytest.raises(HfmetaError, match=message):
        read_sheets(sheets, key)


def test_all_faults_in_one_message(filled):
    sheets, key = filled
    changed(sheets[0], without_first)
    changed(sheets[2], score_of_3)
    with pytest.raises(HfmetaError, match=r"(?s)annotator_1.csv: 1 rows.*annotator_3.csv: row"):
        read_sheets(sheets, key)
    fill(sheets[2], lambda row: (7, 8))
    with pytest.raises(HfmetaError, match=r"\.\.\. and 17 more"):
        read_sheets(sheets, key)


def test_a_sheet_of_another_study(tmp_path, filled):
    sheets, key = filled
    others, _ = study(tmp_path / "other", seed=9)
    with pytest.raises(HfmetaError, match="rows of another study"):
        read_sheets([sheets[0], others[0]], key)


def test_one_sheet_given_twice(filled):
    sheets, key = filled
    with pytest.raises(HfmetaError, match=r"annotator_1.csv: is the same file as annotator_1.csv"):
        read_sheets([sheets[0], sheets[0]], key)


def test_files_that_are_none(tmp_path, filled):
    sheets, key = filled
    with pytest.raises(HfmetaError, match=r"gone.csv: cannot be read"):
        read_sheets([tmp_path / "gone.csv"], key)
    sheets[0].write_bytes(b"\xff\xfe\x00broken")
    with pytest.raises(HfmetaError, match=r"annotator_1.csv: is not UTF-8 text; save it as CSV UTF-8"):
        read_sheets(sheets, key)
    sheets[0].write_bytes(b"")
    with pytest.raises(HfmetaError, match=r"no column study, id, quality, task_consistency; found nothing"):
        read_sheets(sheets, key)
    with pytest.raises(HfmetaError, match="no sheets to read"):
        read_sheets([], key)


def test_keys_that_are_none(tmp_path, filled):
    sheets, _ = filled
    with pytest.raises(HfmetaError, match=r"the key .*gone.json cannot be read"):
        read_sheets(sheets, tmp_path / "gone.json")
    (tmp_path / "other.json").write_text(json.dumps({"study": "x"}))
    with pytest.raises(HfmetaError, match=r"other.json is not the key of a human evaluation"):
        read_sheets(sheets, tmp_path / "other.json")
