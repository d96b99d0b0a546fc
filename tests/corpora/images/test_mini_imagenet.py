"""miniImagenet's CSV splits on a small made folder in the same layout, and every refusal."""

from __future__ import annotations

from pathlib import Path

import pytest

from hfmeta.corpora.images import load_mini_imagenet
from hfmeta.episodes import EpisodeError, check_disjoint
from photographs import write_mini_imagenet


def test_the_three_parts(tmp_path: Path) -> None:
    folder = write_mini_imagenet(tmp_path)
    parts = load_mini_imagenet(tmp_path)
    assert {part: len(rows) for part, rows in parts.items()} == {"train": 16, "valid": 12, "test": 12}
    assert parts["valid"][0]["label"] == "n00000005"
    assert parts["valid"][0]["image"].shape == (84, 84, 3)
    check_disjoint(parts, "label")
    assert len(load_mini_imagenet(folder, size=8)["train"]) == 16
    folder.rename(tmp_path / "miniImagenet")
    assert len(load_mini_imagenet(tmp_path)["train"]) == 16


def test_refusals(tmp_path: Path) -> None:
    with pytest.raises(EpisodeError, match=r"miniImagenet is not in .*; expected there: mini_imagenet/train.csv or"):
        load_mini_imagenet(tmp_path)
    folder = write_mini_imagenet(tmp_path)
    listed = folder / "val.csv"
    text = listed.read_text()

    def refused(content: str, match: str) -> None:
        listed.write_text(content)
        with pytest.raises(EpisodeError, match=match):
            load_mini_imagenet(tmp_path)

    refused(text.replace("filename,label", "file,label"), "val.csv have no column 'filename'; .* Did you mean")
    refused("filename,label\n", "val.csv names no images")
    refused("filename,label\nx.jpg\n", "val.csv, line 2, has no filename or no label")
    refused(text + "x.jpg,n00000005\n", "1 of 13 images named by .*val.csv are not in .*images: x.jpg")
    refused(text.replace("n00000005\n", "n00000001\n"), "'train' and 'valid' share 1")
    listed.unlink()
    with pytest.raises(EpisodeError, match="val.csv is missing; train.csv, val.csv, test.csv were expected"):
        load_mini_imagenet(tmp_path)
    (folder / "images").rename(folder / "pictures")
    with pytest.raises(EpisodeError, match="has no folder images/ with the files that its CSV files name"):
        load_mini_imagenet(tmp_path)
