"""Lake's official one-shot runs: a made folder in the layout of all_runs.zip, as episodes, and every refusal."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest
import torch

from hfmeta.corpora import LakeRuns, load_lake_runs
from hfmeta.episodes import EpisodeDataset, EpisodeError, FixedEpisodes
from lake_runs import made_runs


def test_runs_are_episodes(tmp_path: Path) -> None:
    runs = load_lake_runs(made_runs(tmp_path))
    assert [run["task"] for run in runs] == list(range(1, 21))
    for run in runs:
        assert run["support"]["pixel_values"].shape == run["query"]["pixel_values"].shape == (3, 1, 28, 28)
        assert run["support"]["labels"].tolist() == [0, 1, 2]
        # Test item i shows the very drawing of its class here, so the label must find it.
        assert torch.equal(run["support"]["pixel_values"][run["query"]["labels"]], run["query"]["pixel_values"])
        assert 0.5 < run["query"]["pixel_values"].max() <= 1
    assert any(run["query"]["labels"].tolist() != [0, 1, 2] for run in runs)
    assert load_lake_runs(tmp_path, size=14)[0]["support"]["pixel_values"].shape == (3, 1, 14, 14)
    assert load_lake_runs(tmp_path, size=105)[0]["query"]["pixel_values"].unique().tolist() == [0, 1]


def test_the_family_of_runs_has_each_run_once(tmp_path: Path) -> None:
    runs = LakeRuns(made_runs(tmp_path), size=14)
    assert (len(runs), runs.n_way) == (20, 3)
    fixed = FixedEpisodes(EpisodeDataset(runs, length=len(runs)), 20)
    assert [episode["task"] for episode in fixed] == list(range(1, 21))
    assert FixedEpisodes(EpisodeDataset(runs, seed=5), 20).sha256 == fixed.sha256
    assert fixed.collate([fixed[0], fixed[1]])["support"]["pixel_values"].shape == (2, 3, 1, 14, 14)


def refused(folder: Path, match: str, **options: int) -> None:
    with pytest.raises(EpisodeError, match=match):
        load_lake_runs(folder, **options)


def test_missing_runs_and_files(tmp_path: Path) -> None:
    refused(tmp_path, "has no folders run01 to run20; unpack all_runs.zip")
    made_runs(tmp_path)
    shutil.rmtree(tmp_path / "run07")
    shutil.rmtree(tmp_path / "run19")
    refused(tmp_path, "has no folder run07, run19; unpack all_runs.zip")
    assert len(load_lake_runs(tmp_path, runs=6)) == 6
    (tmp_path / "run01" / "test" / "item01.png").unlink()
    refused(tmp_path, re.escape("item01.png, named by class_labels.txt, is missing"), runs=6)
    (tmp_path / "run01" / "class_labels.txt").unlink()
    refused(tmp_path, "class_labels.txt is missing; every run has one", runs=6)


def test_malformed_runs(tmp_path: Path) -> None:
    made_runs(tmp_path, runs=2)
    listed = tmp_path / "run02" / "class_labels.txt"
    lines = listed.read_text().splitlines()
    listed.write_text("\n".join([*lines[:2], "one two three"]))
    refused(tmp_path, "has the line 'one two three'; a test file and a training file were expected", runs=2)
    listed.write_text("\n")
    refused(tmp_path, "class_labels.txt is empty; lines with a test file", runs=2)
    listed.write_text("\n".join(lines[:2]))
    refused(tmp_path, "run02 has 2 pairs and run01 has 3; every run must have as many", runs=2)
    twice = lines[1].split()[0] + " " + lines[0].split()[1]
    listed.write_text("\n".join([lines[0], twice, lines[2]]))
    refused(tmp_path, "names the training file run02/training/class0..png 2 times; every class has one test", runs=2)
    listed.write_text("\n".join(lines))
    (tmp_path / "run02" / "training" / "class99.png").write_bytes(b"")
    refused(
        tmp_path, "training has 4 drawings, but class_labels.txt names 3 training files; not named: class99", runs=2
    )
    (tmp_path / "run02" / "training" / "class99.png").unlink()
    (tmp_path / "run02" / "test" / "item02.png").write_bytes(b"no image")
    refused(tmp_path, "item02.png is no readable image", runs=2)
    refused(tmp_path, "size must be a whole number of at least 1 pixel, got 0", size=0)
