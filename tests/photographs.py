"""Writes small photographs in the layouts of miniImagenet, of the four fine-grained archives, and of a divided folder."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from PIL import Image

DIVIDED = {"train": 4, "val": 3, "test": 3}


def photograph(path: Path, seed: int, size: tuple[int, int] = (20, 16), mode: str = "RGB") -> Path:
    """An image of noise whose mean colour depends on the seed; PNG, whatever its suffix, so that pixels are kept."""
    path.parent.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(seed)
    tint = np.random.default_rng([seed // 100, 7]).integers(40, 200, 3)
    pixels = (tint + rng.integers(-40, 40, (size[1], size[0], 3))).astype(np.uint8)
    Image.fromarray(pixels).convert(mode).save(path, "png")
    return path


def write_mini_imagenet(root: Path, each: int = 4, classes: Mapping[str, int] = DIVIDED) -> Path:
    """`mini_imagenet/{train,val,test}.csv` and `images/`."""
    folder, number = root / "mini_imagenet", 0
    for part, count in classes.items():
        lines = ["filename,label"]
        for _ in range(count):
            number += 1
            for i in range(each):
                name = f"n{number:08d}{i:08d}.jpg"
                photograph(folder / "images" / name, 100 * number + i)
                lines.append(f"{name},n{number:08d}")
        (folder / f"{part}.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return folder


def write_divided(folder: Path, each: int = 4, classes: Mapping[str, int] = DIVIDED) -> Path:
    """`train/<class>/<file>` and so on."""
    for p, (part, count) in enumerate(classes.items()):
        for c in range(count):
            for i in range(each):
                photograph(folder / part / f"{part}_{c}" / f"{i}.jpg", 10_000 * (p + 1) + 100 * c + i)
    return folder


def write_class_folders(folder: Path, classes: int, each: int) -> Path:
    """`images/<class>/<file>`: textures (`dtd`) and fungi (`fungi`)."""
    for c in range(classes):
        for i in range(each):
            photograph(folder / "images" / f"kind_{c:02d}" / f"kind_{c:02d}_{i:04d}.jpg", 100 * c + i)
    return folder


def write_birds(root: Path, classes: int, each: int) -> Path:
    """`CUB_200_2011`: numbered lists of images and boxes; pixels are counted from 1."""
    folder, images, boxes = root / "CUB_200_2011", [], []
    for c in range(classes):
        for i in range(each):
            name = f"{c + 1:03d}.Bird_{c}/Bird_{c}_{i:04d}.jpg"
            photograph(folder / "images" / name, 100 * c + i)
            images.append(f"{len(images) + 1} {name}")
            boxes.append(f"{len(boxes) + 1} 3.0 2.0 10.0 8.0")
    (folder / "images.txt").write_text("\n".join(images) + "\n", encoding="utf-8")
    (folder / "bounding_boxes.txt").write_text("\n".join(boxes) + "\n", encoding="utf-8")
    return folder


def write_aircraft(root: Path, classes: int, each: int) -> Path:
    """`fgvc-aircraft-2013b/data`: variants by part, boxes as two corners; a variant may have spaces and a slash."""
    data = root / "fgvc-aircraft-2013b" / "data"
    lists: dict[str, list[str]] = {"trainval": [], "test": []}
    boxes = []
    for c in range(classes):
        for i in range(each):
            number = f"{100 * c + i + 1:07d}"
            photograph(data / "images" / f"{number}.jpg", 100 * c + i)
            lists["test" if i % 3 == 0 else "trainval"].append(f"{number} F/A-{c} Super Plane")
            boxes.append(f"{number} 3 2 12 9")
    for part, lines in lists.items():
        (data / f"images_variant_{part}.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
    (data / "images_box.txt").write_text("\n".join(boxes) + "\n", encoding="utf-8")
    return data.parent
