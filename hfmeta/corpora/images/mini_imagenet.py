"""miniImagenet: 100 classes of 600 photographs with the published class split of Ravi and Larochelle as three CSV files.

Source: Vinyals et al. 2016; split of Ravi, Larochelle 2017 (64 / 16 / 20 classes).
"""

from __future__ import annotations

import csv
import os
from pathlib import Path

from datasets import Dataset

from hfmeta.corpora.folders import corpus_path
from hfmeta.corpora.images.tables import Picture, image_table
from hfmeta.episodes.errors import EpisodeError, listing, missing_columns
from hfmeta.episodes.splits import check_disjoint

CSV_FILES = {"train": "train.csv", "valid": "val.csv", "test": "test.csv"}
COLUMNS = ("filename", "label")
_ORIGIN = (
    "The images come from ImageNet, the three CSV files (filename,label) from "
    "https://github.com/twitter-research/meta-learning-lstm, data/miniImagenet."
)


def load_mini_imagenet(root: str | os.PathLike[str] | None = None, size: int = 84) -> dict[str, Dataset]:
    """Return the three parts of miniImagenet.

    Args:
        root: folder that holds `mini_imagenet/` (or `miniImagenet/`, or the files themselves): `train.csv`, `val.csv`, `test.csv`
            and the folder `images/` with the files they name; None takes HFMETA_DATA.
        size: pixels of a side.

    Returns:
        `{"train", "valid", "test"}` of tables with columns `image` and `label`.

    Raises:
        EpisodeError: missing files or columns, images that are named and not there, parts that share classes.
    """
    places = ["mini_imagenet/train.csv", "miniImagenet/train.csv", "train.csv"]
    folder = corpus_path(root, places, "miniImagenet", _ORIGIN).parent
    if not (folder / "images").is_dir():
        raise EpisodeError(f"{folder} has no folder images/ with the files that its CSV files name. {_ORIGIN}")
    present = set(os.listdir(folder / "images"))
    pictures = {part: _listed(folder / name, folder / "images", present) for part, name in CSV_FILES.items()}
    check_disjoint({part: sorted({p.label for p in found}) for part, found in pictures.items()})
    return {part: image_table(found, size) for part, found in pictures.items()}


def _listed(path: Path, images: Path, present: set[str]) -> list[Picture]:
    """Return the images that a CSV file names."""
    if not path.is_file():
        raise EpisodeError(f"{path} is missing; {', '.join(CSV_FILES.values())} were expected. {_ORIGIN}")
    with path.open(encoding="utf-8", newline="") as file:
        reader = csv.DictReader(file)
        if missing := [name for name in COLUMNS if name not in (reader.fieldnames or [])]:
            raise missing_columns(missing, reader.fieldnames or [], os.fspath(path))
        rows = [(row["filename"], row["label"]) for row in reader]
    if not rows:
        raise EpisodeError(f"{path} names no images.")
    if bad := [place for place, row in enumerate(rows, start=2) if not all(row)]:
        raise EpisodeError(f"{path}, line {bad[0]}, has no filename or no label.")
    if absent := [name for name, _ in rows if name not in present]:
        raise EpisodeError(
            f"{len(absent)} of {len(rows)} images named by {path} are not in {images}: {listing(absent, 3)}."
        )
    return [Picture(images / name, label) for name, label in rows]
