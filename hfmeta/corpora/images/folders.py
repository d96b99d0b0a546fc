"""Images that are divided already: `<root>/train`, `val` (or `valid`) and `test`, in each a folder of images for every class."""

from __future__ import annotations

import os
from pathlib import Path

from datasets import Dataset

from hfmeta.corpora.folders import corpus_path
from hfmeta.corpora.images.tables import Picture, class_folders, image_table
from hfmeta.episodes.errors import EpisodeError
from hfmeta.episodes.splits import check_disjoint

PART_FOLDERS = {"train": ("train",), "valid": ("val", "valid"), "test": ("test",)}
"""Part -> the names its folder may have."""


def load_image_folder(root: str | os.PathLike[str] | None = None, size: int = 84) -> dict[str, Dataset]:
    """Return the parts of a folder of images.

    Args:
        root: folder that holds `train`, `val` or `valid` (may be left out) and `test`; None takes HFMETA_DATA.
        size: pixels of a side, images being resized whatever their shape.

    Returns:
        `{"train", "valid", "test"}` of tables with columns `image` and `label` (the name of the class folder).

    Raises:
        EpisodeError: missing parts, parts without classes or that share some, classes without images.
    """
    folder = corpus_path(
        root, ["."], "a folder of images", "It has train/<class>/, val/<class>/ and test/<class>/ inside."
    )
    pictures = divided_pictures(folder)
    check_disjoint({part: sorted({p.label for p in found}) for part, found in pictures.items()})
    return {part: image_table(found, size) for part, found in pictures.items()}


def divided_pictures(folder: Path) -> dict[str, list[Picture]]:
    """Return the images of each part.

    Args:
        folder: see `load_image_folder`.

    Raises:
        EpisodeError: missing parts, parts without classes, classes without images.
    """
    parts = {}
    for part, names in PART_FOLDERS.items():
        place = next((folder / name for name in names if (folder / name).is_dir()), None)
        if place is None and part != "valid":
            raise EpisodeError(
                f"{folder} has no folder {part!r}; train/, val/ and test/ with class folders were expected."
            )
        if place is not None:
            parts[part] = [Picture(path, name) for name, files in class_folders(place).items() for path in files]
    return parts
