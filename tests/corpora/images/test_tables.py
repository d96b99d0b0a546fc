"""Tables of image files: read when asked for, cropped and resized; readable by workers; every refusal."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from hfmeta.corpora.images.tables import Picture, Reading, class_folders, image_files, image_table, read_image
from hfmeta.episodes import EpisodeDataset, EpisodeError, FixedEpisodes
from photographs import photograph


def test_an_image_is_cropped_and_then_resized_by_lanczos(tmp_path: Path) -> None:
    path = photograph(tmp_path / "a.jpg", 1)
    opened = Image.open(path)
    assert read_image(path, 8).shape == (8, 8, 3)
    assert (read_image(path, 8) == np.asarray(opened.resize((8, 8), Image.Resampling.LANCZOS))).all()
    inside = opened.crop((2, 3, 12, 9)).resize((8, 8), Image.Resampling.LANCZOS)
    assert (read_image(path, 8, (2, 3, 12, 9)) == np.asarray(inside)).all()
    over = opened.crop((2, 3, 20, 16)).resize((8, 8), Image.Resampling.LANCZOS)
    assert (read_image(path, 8, (2, 3, 99, 99)) == np.asarray(over)).all()
    assert read_image(photograph(tmp_path / "grey.png", 2, mode="L"), 5).shape == (5, 5, 3)


def test_rows_are_read_when_they_are_asked_for(tmp_path: Path) -> None:
    pictures = [Picture(tmp_path / f"{n}.jpg", f"class_{n % 2}") for n in range(4)]
    table = image_table(pictures, 8, dataset=["birds"] * 4)  # none of the files is there
    assert table.column_names == ["image", "label", "dataset"]
    assert table.select_columns("label")["label"][:] == ["class_0", "class_1"] * 2
    for n in range(4):
        photograph(tmp_path / f"{n}.jpg", n)
    assert (table[2]["image"] == read_image(tmp_path / "2.jpg", 8)).all()
    assert table.select([3])[0]["label"] == "class_1"
    with pytest.raises(EpisodeError, match="size must be a whole number of at least 1 pixel, got 0"):
        image_table(pictures, 0)


def test_episodes_of_photographs(tmp_path: Path) -> None:
    def table(folder: Path):
        return image_table(
            [
                Picture(photograph(folder / f"{c}_{n}.png", 100 * c + n), f"class_{c}", (1, 1, 9, 9))
                for c in range(4)
                for n in range(3)
            ],
            6,
        )

    episodes = EpisodeDataset.n_way(table(tmp_path / "a"), label_column="label", input_column="image", n_way=3, query=2)
    assert episodes.task_type == "image-classification"
    assert episodes[0]["support"]["pixel_values"].shape == (3, 3, 6, 6)
    assert 0 <= episodes[0]["query"]["pixel_values"].min() < episodes[0]["query"]["pixel_values"].max() <= 1
    moved = EpisodeDataset.n_way(table(tmp_path / "b"), label_column="label", input_column="image", n_way=3, query=2)
    assert FixedEpisodes(episodes, 4).sha256 == FixedEpisodes(moved, 4).sha256, "content counts, not where it lies"
    again = pickle.loads(pickle.dumps(episodes))  # as for the workers of a DataLoader
    assert (again[1]["query"]["pixel_values"] == episodes[1]["query"]["pixel_values"]).all()
    reading = Reading(4, {"a": (0, 0, 1, 1)})
    assert reading({"label": ["x"]}) == {"label": ["x"]}


def test_refusals(tmp_path: Path) -> None:
    with pytest.raises(EpisodeError, match="a.jpg is no readable image"):
        read_image(tmp_path / "a.jpg", 8)
    (tmp_path / "a.jpg").write_bytes(b"no image")
    with pytest.raises(EpisodeError, match="a.jpg is no readable image"):
        read_image(tmp_path / "a.jpg", 8)
    path = photograph(tmp_path / "b.jpg", 1)
    with pytest.raises(
        EpisodeError, match=r"the box \(30, 2, 40, 9\) of .*b.jpg holds no pixel; the image has 20 x 16"
    ):
        read_image(path, 8, (30, 2, 40, 9))
    with pytest.raises(EpisodeError, match="has no class folders; one folder of images for each class was expected"):
        class_folders(tmp_path)
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty" / "notes.txt").write_text("x")
    with pytest.raises(EpisodeError, match="empty holds no images"):
        class_folders(tmp_path)
    photograph(tmp_path / ".hidden.jpg", 1)
    assert [found.name for found in image_files(tmp_path)] == ["a.jpg", "b.jpg"]
