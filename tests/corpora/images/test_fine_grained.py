"""The four fine-grained sets on small made archives in their layouts: boxes, the draw of classes, divided folders, lists, refusals."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from hfmeta.corpora.images import FINE_GRAINED, fine_grained, load_fine_grained
from hfmeta.corpora.images.tables import read_image
from hfmeta.episodes import EpisodeError, check_disjoint, save_split
from photographs import photograph, write_aircraft, write_birds, write_class_folders, write_divided

SMALL = {"train": 3, "valid": 1, "test": 2}


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """All four archives, with 7 classes of 4 images, and sizes to fit."""
    assert {name: (dict(one.counts), one.least, one.exactly, one.per_class) for name, one in FINE_GRAINED.items()} == {
        "cub_birds": ({"train": 64, "valid": 16, "test": 20}, 60, True, None),
        "dtd_textures": ({"train": 30, "valid": 7, "test": 10}, 1, False, None),
        "fgvc_aircraft": ({"train": 64, "valid": 16, "test": 20}, 1, False, None),
        "fgvcx_fungi": ({"train": 64, "valid": 16, "test": 20}, 150, False, 150),
    }
    sizes = {"cub_birds": {"least": 4}, "fgvcx_fungi": {"least": 3, "per_class": 3}}
    for name, one in FINE_GRAINED.items():
        changed = dataclasses.replace(one, counts=SMALL, **sizes.get(name, {}))
        monkeypatch.setitem(fine_grained.FINE_GRAINED, name, changed)
    write_birds(tmp_path, 7, 4)
    write_aircraft(tmp_path, 7, 4)
    write_class_folders(tmp_path / "dtd", 7, 4)
    write_class_folders(tmp_path / "fungi", 7, 4)
    return tmp_path


def test_all_four_sets_together(root: Path) -> None:
    parts = load_fine_grained(root, size=8)
    check_disjoint(parts, "label")
    for part, rows in parts.items():
        assert set(rows["dataset"]) == set(FINE_GRAINED)
        for name in FINE_GRAINED:
            labels = [label for label in rows["label"] if label.startswith(name + "/")]
            assert len(set(labels)) == SMALL[part]
            assert len(labels) == SMALL[part] * (3 if name == "fgvcx_fungi" else 4), (
                "150 of each fungus, all of the others"
            )
    again, other = load_fine_grained(root, size=8), load_fine_grained(root, size=8, seed=1)
    assert again["test"]["label"][:] == parts["test"]["label"][:] != other["test"]["label"][:]
    alone = load_fine_grained(root, ["dtd_textures"], size=8)["test"]
    assert set(alone["label"]) == {label for label in parts["test"]["label"] if label.startswith("dtd")}


def test_birds_and_aircraft_are_cropped_to_their_boxes(root: Path) -> None:
    for name, path, box in (
        ("cub_birds", "CUB_200_2011/images/003.Bird_2/Bird_2_0001.jpg", (2, 1, 12, 9)),
        ("fgvc_aircraft", "fgvc-aircraft-2013b/data/images/0000202.jpg", (2, 1, 12, 9)),
    ):
        wanted = read_image(root / path, 8, box)
        seeds = (load_fine_grained(root, [name], size=8, seed=seed) for seed in range(5))
        rows = [row for parts in seeds for table in parts.values() for row in table]
        assert any((row["image"] == wanted).all() for row in rows)
        assert not any(np.array_equal(row["image"], read_image(root / path, 8)) for row in rows)
    labels = set(load_fine_grained(root, ["fgvc_aircraft"], size=8)["train"]["label"])
    assert all(label.startswith("fgvc_aircraft/F_A-") and label.endswith(" Super Plane") for label in labels)


def test_only_fitting_classes_are_drawn(root: Path) -> None:
    photograph(root / "CUB_200_2011" / "images" / "001.Bird_0" / "more.jpg", 3)
    with (root / "CUB_200_2011" / "images.txt").open("a") as images:
        images.write("29 001.Bird_0/more.jpg\n")
    with (root / "CUB_200_2011" / "bounding_boxes.txt").open("a") as boxes:
        boxes.write("29 1 1 5 5\n")
    for seed in range(5):
        parts = load_fine_grained(root, ["cub_birds"], size=8, seed=seed)
        assert not any("001.Bird_0" in label for rows in parts.values() for label in rows["label"])
    for number in range(2):
        (root / "fungi" / "images" / "kind_00" / f"kind_00_{number:04d}.jpg").unlink()
        (root / "fungi" / "images" / "kind_01" / f"kind_01_{number:04d}.jpg").unlink()
    with pytest.raises(EpisodeError, match="fgvcx_fungi needs 6 classes of at least 3 images; .* has 5 of 7. Restore"):
        load_fine_grained(root, ["fgvcx_fungi"])


def test_divided_folders_are_taken_as_they_are(tmp_path: Path) -> None:
    write_divided(tmp_path / "meta-dataset" / "CUB_Bird")
    write_divided(tmp_path / "meta-dataset" / "DTD_Texture")
    parts = load_fine_grained(tmp_path, ["cub_birds", "dtd_textures"], size=8)
    assert set(parts["valid"]["label"]) == {f"{s}/val_{c}" for s in ("cub_birds", "dtd_textures") for c in range(3)}
    save_split({"train": ["cub_birds/a"]}, tmp_path / "split.json")
    with pytest.raises(
        EpisodeError, match="CUB_Bird is divided already; leave split out, or name the original archive"
    ):
        load_fine_grained(tmp_path, ["cub_birds"], split=tmp_path / "split.json")


def test_classes_by_list(root: Path) -> None:
    listed = {"train": ["dtd_textures/kind_05", "dtd_textures/kind_01"], "test": ["dtd_textures/kind_00"]}
    save_split(listed, root / "split.json")
    parts = load_fine_grained(root, ["dtd_textures"], size=8, split=root / "split.json")
    assert {part: sorted(set(rows["label"])) for part, rows in parts.items()} == {
        k: sorted(v) for k, v in listed.items()
    }
    with pytest.raises(EpisodeError, match=r"the split names no class of fgvcx_fungi in the part\(s\) train, test"):
        load_fine_grained(root, ["fgvcx_fungi"], split=root / "split.json")
    save_split({**listed, "valid": ["dtd_textures/kindly"]}, root / "split.json")
    with pytest.raises(EpisodeError, match="the split names classes of dtd_textures that are not there: kindly"):
        load_fine_grained(root, ["dtd_textures"], split=root / "split.json")


def refused(root: Path, name: str, match: str) -> None:
    with pytest.raises(EpisodeError, match=match):
        load_fine_grained(root, [name])


def test_unknown_and_missing_sets(root: Path, tmp_path: Path) -> None:
    refused(root, "cub_bird", "sets='cub_bird' is unknown; choose one of .*Did you mean 'cub_birds'")
    with pytest.raises(EpisodeError, match="sets is empty; name at least one of cub_birds, dtd_textures"):
        load_fine_grained(root, [])
    (root / "dtd").rename(root / "elsewhere")
    refused(
        root, "dtd_textures", "dtd_textures is not in .*; expected there: dtd or DTD_Texture or .* Textures Dataset"
    )


def test_damaged_archives(root: Path) -> None:
    birds, aircraft = root / "CUB_200_2011", root / "fgvc-aircraft-2013b" / "data"
    boxes = (birds / "bounding_boxes.txt").read_text()
    (birds / "bounding_boxes.txt").write_text(boxes.replace("3 3.0 2.0 10.0 8.0\n", "3 3.0 2.0 10.0\n", 1))
    refused(root, "cub_birds", "bounding_boxes.txt has the line '3 3.0 2.0 10.0'; 5 words were expected")
    (birds / "bounding_boxes.txt").write_text(boxes.replace("1 3.0 2.0 10.0 8.0\n", "1 3.0 2.0 ten 8.0\n", 1))
    refused(root, "cub_birds", "bounding_boxes.txt has the box '3.0 2.0 ten 8.0'; four numbers were expected")
    (birds / "bounding_boxes.txt").write_text(boxes.split("\n", 1)[1])
    refused(root, "cub_birds", "bounding_boxes.txt has no box for 001.Bird_0/Bird_0_0000.jpg")
    (birds / "bounding_boxes.txt").write_text(boxes)
    (birds / "images" / "001.Bird_0" / "Bird_0_0000.jpg").unlink()
    refused(root, "cub_birds", "Bird_0_0000.jpg is listed and missing; restore the archive")
    (birds / "images.txt").unlink()
    refused(root, "cub_birds", "images.txt is missing; restore the archive")
    (aircraft / "images_box.txt").write_text("0000001 3 2 12 9\n")
    refused(root, "fgvc_aircraft", "images_box.txt has no box for 0000002")
    (root / "fungi" / "images").rename(root / "fungi" / "pictures")
    refused(root, "fgvcx_fungi", "fungi has no folder images/ with a folder of images for each class")
