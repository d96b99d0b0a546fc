"""Four fine-grained sets, each task from one of them: birds, textures, aircraft and fungi, as in HSML's multi-dataset experiment.

Here: which classes and images of a set are used, and their division. How the original archives list images, classes and boxes is in
`archives.py`. The authors drew their classes from the order in which their machine listed folders, so that only their own release
(divided folders, images already cropped) repeats their split; from the original archives as many classes are drawn by seed.

Source: Yao, Wei, Huang, Li 2019 (HSML), section 6 and its code. One departure: their code reads the boxes of aircraft as corner and
size, whereas the set lists two corners; here they are two corners.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from datasets import Dataset

from hfmeta.corpora.folders import corpus_path
from hfmeta.corpora.images.archives import Archive, read_aircraft, read_birds, read_class_folders
from hfmeta.corpora.images.folders import divided_pictures
from hfmeta.corpora.images.tables import Picture, image_table
from hfmeta.episodes.errors import EpisodeError, listing, unknown_choice
from hfmeta.episodes.splits import check_disjoint, load_split, split_tasks


@dataclass(frozen=True)
class FineGrainedSet:
    """What HSML takes of one set.

    Args:
        places: where its folder may lie, the usual place first.
        read: reads the original archive: `folder -> {class: pictures}`.
        counts: classes of each part.
        least: images that a class must have to be drawn.
        exactly: whether it must have that many and no more.
        per_class: images kept of each class; None: all.
        origin: where a user gets it.
    """

    places: tuple[str, ...]
    read: Archive
    counts: Mapping[str, int]
    least: int
    exactly: bool
    per_class: int | None
    origin: str


_HUNDRED = {"train": 64, "valid": 16, "test": 20}
FINE_GRAINED = {
    "cub_birds": FineGrainedSet(
        ("CUB_200_2011", "CUB_Bird", "meta-dataset/CUB_Bird"), read_birds, _HUNDRED, 60, True, None, "CUB-200-2011"
    ),
    "dtd_textures": FineGrainedSet(
        ("dtd", "DTD_Texture", "meta-dataset/DTD_Texture"),
        read_class_folders,
        {"train": 30, "valid": 7, "test": 10},
        1,
        False,
        None,
        "the Describable Textures Dataset",
    ),
    "fgvc_aircraft": FineGrainedSet(
        ("fgvc-aircraft-2013b", "FGVC_Aircraft", "meta-dataset/FGVC_Aircraft"),
        read_aircraft,
        _HUNDRED,
        1,
        False,
        None,
        "FGVC-Aircraft 2013b",
    ),
    "fgvcx_fungi": FineGrainedSet(
        ("fungi", "FGVCx_Fungi", "meta-dataset/FGVCx_Fungi"),
        read_class_folders,
        _HUNDRED,
        150,
        False,
        150,
        "the images of training and validation of the FGVCx 2018 fungi competition",
    ),
}
"""Name of a set -> what is taken of it."""


def load_fine_grained(
    root: str | os.PathLike[str] | None = None,
    sets: Sequence[str] = tuple(FINE_GRAINED),
    size: int = 84,
    seed: int = 0,
    split: str | os.PathLike[str] | None = None,
) -> dict[str, Dataset]:
    """Return the parts of one or more fine-grained sets.

    A set's folder is either the original archive, whose images are cropped to their boxes (birds, aircraft) and whose classes are
    drawn by `seed`, or is divided already (`train/`, `val/`, `test/` with class folders, as in HSML's release).

    Args:
        root: folder that holds the folders of the sets; None takes HFMETA_DATA.
        sets: names of `FINE_GRAINED`.
        size: pixels of a side.
        seed: seed of the classes drawn and of their division.
        split: a file of `save_split` with the classes of each part (`<set>/<class>`), which replaces the draw.

    Returns:
        `{"train", "valid", "test"}` of tables with columns `image`, `label` (`<set>/<class>`) and `dataset` (the set).

    Raises:
        EpisodeError: unknown sets, missing folders or files, too few classes with enough images, or a split with classes that are not
            there.
    """
    if not sets:
        raise EpisodeError(f"sets is empty; name at least one of {', '.join(FINE_GRAINED)}.")
    for name in sets:
        if name not in FINE_GRAINED:
            raise unknown_choice("sets", name, FINE_GRAINED)
    listed = None if split is None else load_split(split)
    together: dict[str, list[Picture]] = {}
    for name in dict.fromkeys(sets):
        for part, pictures in _parts(name, root, seed, listed).items():
            together.setdefault(part, []).extend(pictures)
    check_disjoint({part: sorted({p.label for p in found}) for part, found in together.items()})
    return {
        part: image_table(found, size, dataset=[p.label.split("/")[0] for p in found])
        for part, found in together.items()
    }


def _parts(
    name: str, root: str | os.PathLike[str] | None, seed: int, listed: Mapping[str, Sequence[str]] | None
) -> dict[str, list[Picture]]:
    """Return the pictures of each part of one set, labelled `<set>/<class>`."""
    chosen = FINE_GRAINED[name]
    folder = corpus_path(root, chosen.places, name, f"It is {chosen.origin}, unpacked.")
    if (folder / "train").is_dir():
        if listed is not None:
            raise EpisodeError(f"{folder} is divided already; leave split out, or name the original archive.")
        return {
            part: [p._replace(label=f"{name}/{p.label}") for p in found]
            for part, found in divided_pictures(folder).items()
        }
    found = chosen.read(folder)
    classes = _divide(name, found, folder, seed) if listed is None else _from_list(name, found, listed)
    number = list(FINE_GRAINED).index(name)
    parts: dict[str, list[Picture]] = {}
    for part, names in classes.items():
        parts[part] = []
        for label in names:
            pictures = found[label]
            if chosen.per_class is not None and len(pictures) > chosen.per_class:
                rng = np.random.default_rng([seed, number, sorted(found).index(label)])
                kept = np.sort(rng.choice(len(pictures), size=chosen.per_class, replace=False))
                pictures = [pictures[place] for place in kept]
            parts[part] += [p._replace(label=f"{name}/{label}") for p in pictures]
    return parts


def _divide(name: str, found: Mapping[str, list[Picture]], folder: Path, seed: int) -> dict[str, list[str]]:
    """Return the classes of each part, drawn from those with enough images."""
    chosen = FINE_GRAINED[name]
    fitting = [
        label
        for label, pictures in found.items()
        if (len(pictures) == chosen.least if chosen.exactly else len(pictures) >= chosen.least)
    ]
    wanted = sum(chosen.counts.values())
    if len(fitting) < wanted:
        bound = "exactly" if chosen.exactly else "at least"
        raise EpisodeError(
            f"{name} needs {wanted} classes of {bound} {chosen.least} images; {folder} has {len(fitting)} of {len(found)}. "
            "Restore the archive, or name the classes of each part in a split file."
        )
    return split_tasks(fitting, chosen.counts, seed)


def _from_list(
    name: str, found: Mapping[str, list[Picture]], listed: Mapping[str, Sequence[str]]
) -> dict[str, list[str]]:
    """Return the classes of one set that a split file names."""
    classes = {
        part: [text.split("/", 1)[1] for text in names if text.split("/")[0] == name] for part, names in listed.items()
    }
    if absent := [label for names in classes.values() for label in names if label not in found]:
        raise EpisodeError(f"the split names classes of {name} that are not there: {listing(absent)}.")
    if empty := [part for part in ("train", "test") if not classes.get(part)]:
        raise EpisodeError(f"the split names no class of {name} in the part(s) {', '.join(empty)}.")
    return classes
