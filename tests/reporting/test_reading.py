"""Checks of hfmeta/reporting/reading.py."""

from __future__ import annotations

import json

import pytest

from hfmeta.inner.errors import HfmetaError
from hfmeta.reporting.reading import final_scores, read_runs

RESULTS = {
    "primary_metric": "mse",
    "algorithm": {"name": "maml"},
    "metrics": {},
    "adaptation_curve": {},
    "episodes": {"count": 2, "sha256": "ab"},
}


def written(path, content):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content), encoding="utf-8")
    return path


def test_folders_of_runs_files_and_folders_of_files(tmp_path):
    written(tmp_path / "run" / "results.json", RESULTS)
    written(tmp_path / "run" / "per_task.json", {"scores": {"loss": [[1.0, 0.5], [2.0, None]]}})
    written(tmp_path / "kept" / "b.json", {**RESULTS, "per_task": {"scores": {"loss": [[3.0]]}}})
    written(tmp_path / "kept" / "a.json", RESULTS)
    written(tmp_path / "kept" / "table.json", {"banking77": 1})
    (tmp_path / "kept" / "broken.json").write_text("{", encoding="utf-8")
    runs = read_runs(
        [tmp_path / "run", tmp_path / "kept", tmp_path / "kept" / "a.json", tmp_path / "run" / "results.json"]
    )
    assert list(runs) == ["run", "kept/a", "kept/b", "run/results"]
    scores = [final_scores(run) for run in runs.values()]
    assert scores[0][0] == 0.5
    assert scores[0][1] != scores[0][1]
    assert scores[1:3] == [None, [3.0]]


def test_accuracy_is_taken_where_it_is_the_metric():
    run = {**RESULTS, "primary_metric": "accuracy", "per_task": {"scores": {"loss": [[3.0]], "accuracy": [[0.5]]}}}
    assert final_scores(run) == [0.5]


def test_what_is_no_results_is_refused(tmp_path):
    with pytest.raises(HfmetaError, match=r"has no results\.json; give the output folder of a finished run"):
        read_runs([tmp_path])
    with pytest.raises(HfmetaError, match=r"absent is not there; give the output folder"):
        read_runs([tmp_path / "absent"])
    path = tmp_path / "results.json"
    path.write_text("{", encoding="utf-8")
    with pytest.raises(HfmetaError, match=r"results\.json cannot be read"):
        read_runs([tmp_path])
    written(path, {})
    with pytest.raises(HfmetaError, match="lacks adaptation_curve, algorithm"):
        read_runs([tmp_path])
    written(path, 3)
    with pytest.raises(HfmetaError, match="cannot be read"):
        read_runs([path])
    written(path, RESULTS)
    assert list(read_runs([tmp_path])) == [str(tmp_path)]
    (tmp_path / "per_task.json").write_text("{", encoding="utf-8")
    with pytest.raises(HfmetaError, match="Delete it to do without it"):
        read_runs([tmp_path])


def test_names_that_share_nothing_and_paths_of_both_kinds(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for place in ("a", "b/c", "out"):
        written(tmp_path / place / "results.json", RESULTS)
    assert list(read_runs(["a", "b/c"])) == ["a", "b/c"]
    assert list(read_runs(["b/c"])) == ["b/c"]
    assert list(read_runs(["out", tmp_path / "a"])) == ["out", str(tmp_path / "a")]
    assert list(read_runs(["a", "a/results.json"])) == ["a", "a/results"]
