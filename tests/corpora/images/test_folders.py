"""A folder that is divided already: parts, classes, and every refusal."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from hfmeta.corpora.images import load_image_folder
from hfmeta.episodes import EpisodeError, check_disjoint
from photographs import photograph, write_divided


def test_parts_and_classes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    parts = load_image_folder(write_divided(tmp_path), size=8)
    assert {part: len(rows) for part, rows in parts.items()} == {"train": 16, "valid": 12, "test": 12}
    assert sorted(set(parts["train"]["label"])) == [f"train_{c}" for c in range(4)]
    check_disjoint(parts, "label")
    assert parts["test"][0]["image"].shape == (8, 8, 3)
    (tmp_path / "val").rename(tmp_path / "valid")
    monkeypatch.setenv("HFMETA_DATA", str(tmp_path))
    assert set(load_image_folder()) == {"train", "valid", "test"}
    shutil.rmtree(tmp_path / "valid")
    assert set(load_image_folder()) == {"train", "test"}


def test_refusals(tmp_path: Path) -> None:
    with pytest.raises(EpisodeError, match="the data folder .* does not exist"):
        load_image_folder(tmp_path / "absent")
    with pytest.raises(
        EpisodeError, match="has no folder 'train'; train/, val/ and test/ with class folders were expected"
    ):
        load_image_folder(tmp_path)
    write_divided(tmp_path)
    photograph(tmp_path / "test" / "train_1" / "x.jpg", 1)
    with pytest.raises(EpisodeError, match="'train' and 'test' share 1 .*train_1"):
        load_image_folder(tmp_path)
