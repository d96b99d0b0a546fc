"""How the original archives of the fine-grained sets list their images, classes and boxes. Which are used is in `fine_grained.py`."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

from hfmeta.corpora.images.tables import Box, Picture, class_folders
from hfmeta.episodes.errors import EpisodeError

Archive = Callable[[Path], dict[str, list[Picture]]]


def read_class_folders(folder: Path) -> dict[str, list[Picture]]:
    """Return the pictures of an archive with `images/<class>/<file>`: textures and fungi.

    Args:
        folder: the unpacked archive.

    Raises:
        EpisodeError: no `images`, no classes in it, or a class without images.
    """
    if not (folder / "images").is_dir():
        raise EpisodeError(f"{folder} has no folder images/ with a folder of images for each class.")
    return {name: [Picture(path, name) for path in files] for name, files in class_folders(folder / "images").items()}


def read_birds(folder: Path) -> dict[str, list[Picture]]:
    """Return the pictures of CUB-200-2011, each with the box around its bird.

    Args:
        folder: holds `images.txt` (number, `<class>/<file>`), `bounding_boxes.txt` (number, left, upper, width, height; pixels
            counted from 1) and `images/`.

    Raises:
        EpisodeError: missing files, malformed lines, or an image without a box.

    Source: Wah et al. 2011.
    """
    files = {number: path for number, path in _lines(folder / "images.txt", 2)}
    boxes = {}
    for number, *edges in _lines(folder / "bounding_boxes.txt", 5):
        left, upper, width, height = _numbers(edges, folder / "bounding_boxes.txt")
        boxes[number] = (left - 1, upper - 1, left - 1 + width, upper - 1 + height)
    if without := [path for number, path in files.items() if number not in boxes]:
        raise EpisodeError(f"{folder / 'bounding_boxes.txt'} has no box for {without[0]}.")
    return _grouped(
        Picture(folder / "images" / path, path.split("/")[0], boxes[number]) for number, path in files.items()
    )


def read_aircraft(folder: Path) -> dict[str, list[Picture]]:
    """Return the pictures of FGVC-Aircraft by variant, each with the box around its aircraft.

    Args:
        folder: holds `data/` (or is it): `images_variant_trainval.txt` and `images_variant_test.txt` (number, variant; a variant may
            have spaces), `images_box.txt` (number, left, upper, right, lower; pixels counted from 1, both corners inside) and
            `images/<number>.jpg`.

    Raises:
        EpisodeError: missing files, malformed lines, or an image without a box.

    Source: Maji et al. 2013.
    """
    data = folder / "data" if (folder / "data").is_dir() else folder
    boxes: dict[str, Box] = {}
    for number, *edges in _lines(data / "images_box.txt", 5):
        left, upper, right, lower = _numbers(edges, data / "images_box.txt")
        boxes[number] = (left - 1, upper - 1, right, lower)
    listed = [
        (number, variant)
        for part in ("trainval", "test")
        for number, variant in _lines(data / f"images_variant_{part}.txt", 2)
    ]
    if without := [number for number, _ in listed if number not in boxes]:
        raise EpisodeError(f"{data / 'images_box.txt'} has no box for {without[0]}.")
    # F/A-18 and its like: a class is named in one piece.
    return _grouped(
        Picture(data / "images" / f"{number}.jpg", variant.replace("/", "_"), boxes[number])
        for number, variant in listed
    )


def _lines(path: Path, words: int) -> list[list[str]]:
    """Return the lines of a file divided into `words` words, the last of which may have spaces."""
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError as error:
        raise EpisodeError(f"{path} is missing; restore the archive.") from error
    lines = [line.split(maxsplit=words - 1) for line in text.splitlines() if line.strip()]
    if bad := [" ".join(line) for line in lines if len(line) != words]:
        raise EpisodeError(f"{path} has the line {bad[0]!r}; {words} words were expected.")
    return lines


def _numbers(words: list[str], path: Path) -> tuple[int, int, int, int]:
    """Return the four numbers of a box, rounded to pixels."""
    try:
        left, upper, third, fourth = (round(float(word)) for word in words)
    except (ValueError, OverflowError) as error:
        raise EpisodeError(f"{path} has the box {' '.join(words)!r}; four numbers were expected.") from error
    return left, upper, third, fourth


def _grouped(pictures: Iterable[Picture]) -> dict[str, list[Picture]]:
    """Return pictures by class, the classes sorted; refuses files that are not there."""
    by_class: dict[str, list[Picture]] = {}
    for picture in pictures:
        if not picture.path.is_file():
            raise EpisodeError(f"{picture.path} is listed and missing; restore the archive.")
        by_class.setdefault(picture.label, []).append(picture)
    return dict(sorted(by_class.items()))
