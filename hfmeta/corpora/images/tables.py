"""A table of image files that are opened when a row is asked for: cropped to a box where there is one, and resized.

Not here: which files there are and whose class they show (`mini_imagenet.py`, `fine_grained.py`, `folders.py`).
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from datasets import Dataset, Features, Image, Value

from hfmeta.episodes.errors import EpisodeError, whole_number

SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp")
Box = tuple[int, int, int, int]
"""Left, upper, right and lower edge in pixels; the right and lower edge are outside."""


class Picture(NamedTuple):
    """One image of a corpus.

    Args:
        path: its file.
        label: its class.
        box: the part of it that shows the class; None: all.
    """

    path: Path
    label: str
    box: Box | None = None


def image_table(pictures: Sequence[Picture], size: int, **columns: Sequence[str]) -> Dataset:
    """Return a table whose images are read when they are asked for.

    Args:
        pictures: one per row.
        size: pixels of a side after resizing.
        columns: further columns of text, one value per row.

    Returns:
        Dataset with the columns `image` (asked for: uint8 `[size, size, 3]`), `label` and the further ones. A row is read whole; for
        labels alone, `table.select_columns("label")` opens no image.

    Raises:
        EpisodeError: a size below 1.
    """
    reading = Reading(
        whole_number("size", size, 1, "pixel"), {os.fspath(p.path): p.box for p in pictures if p.box is not None}
    )
    content: dict[str, Any] = {
        "image": [{"bytes": None, "path": os.fspath(p.path)} for p in pictures],
        "label": [p.label for p in pictures],
        **{name: list(values) for name, values in columns.items()},
    }
    text = dict.fromkeys(("label", *columns), Value("string"))
    return Dataset.from_dict(content, features=Features({"image": Image(decode=False), **text})).with_transform(reading)


class Reading:
    """The transform of `image_table`: files to pixels.

    Args:
        size: pixels of a side.
        boxes: file -> the part of it to keep.
    """

    def __init__(self, size: int, boxes: Mapping[str, Box]):
        self.size, self.boxes = size, dict(boxes)

    def __call__(self, batch: dict[str, Any]) -> dict[str, Any]:
        """Return the batch with its images read."""
        if "image" not in batch:
            return batch
        paths = [cell["path"] for cell in batch["image"]]
        return {**batch, "image": [read_image(path, self.size, self.boxes.get(path)) for path in paths]}


def read_image(path: str | os.PathLike[str], size: int, box: Box | None = None) -> npt.NDArray[np.uint8]:
    """Return a file as RGB pixels `[size, size, 3]`, resized by Lanczos whatever its shape was.

    Args:
        path: the file.
        size: pixels of a side.
        box: the part to keep; what reaches over an edge is cut off.

    Raises:
        EpisodeError: Pillow is missing, no readable image, or a box with nothing in it.
    """
    try:
        from PIL import Image as Pillow
    except ImportError as error:
        raise EpisodeError("reading images needs Pillow: pip install hfmeta[vision].") from error
    try:
        with Pillow.open(path) as opened:
            picture = opened.convert("RGB")
    except OSError as error:  # Pillow's UnidentifiedImageError is one
        raise EpisodeError(f"{os.fspath(path)} is no readable image: {error}.") from error
    if box is not None:
        left, upper, right, lower = box
        kept = (max(left, 0), max(upper, 0), min(right, picture.width), min(lower, picture.height))
        if kept[0] >= kept[2] or kept[1] >= kept[3]:
            raise EpisodeError(
                f"the box {box} of {os.fspath(path)} holds no pixel; the image has {picture.width} x {picture.height}."
            )
        picture = picture.crop(kept)
    return np.asarray(picture.resize((size, size), Pillow.Resampling.LANCZOS))


def image_files(folder: Path) -> list[Path]:
    """Return the images of a folder by name; hidden files and other kinds are passed over.

    Args:
        folder: an existing folder.
    """
    found = (Path(entry.path) for entry in os.scandir(folder) if entry.is_file() and not entry.name.startswith("."))
    return sorted(path for path in found if path.suffix.lower() in SUFFIXES)


def class_folders(folder: Path) -> dict[str, list[Path]]:
    """Return the images of each folder inside a folder, by name.

    Args:
        folder: an existing folder with one folder per class.

    Raises:
        EpisodeError: no class folder in it, or one without images.
    """
    names = sorted(entry.name for entry in os.scandir(folder) if entry.is_dir() and not entry.name.startswith("."))
    if not names:
        raise EpisodeError(f"{folder} has no class folders; one folder of images for each class was expected.")
    files = {name: image_files(folder / name) for name in names}
    if empty := [name for name, found in files.items() if not found]:
        raise EpisodeError(f"{folder / empty[0]} holds no images ({', '.join(SUFFIXES)}).")
    return files
