"""A recipe's `data` section to the tables of an image corpus, one for each part; episodes are made of them in `data.py`."""

from __future__ import annotations

from typing import Any

from datasets import Dataset

from hfmeta.corpora import LakeRuns, load_omniglot, omniglot_splits, rotate_classes
from hfmeta.corpora.images import FINE_GRAINED, load_fine_grained, load_image_folder, load_mini_imagenet
from hfmeta.episodes import EpisodeDataset, EpisodeError
from hfmeta.recipe.schema import DataSection

OMNIGLOT_SIZE, PHOTO_SIZE = 28, 84  # pixels of a side
OMNIGLOT_COLUMNS = {"label_column": "character", "input_column": "image"}
PHOTO_COLUMNS = {"label_column": "label", "input_column": "image"}


def load_images(data: DataSection, parts: list[str]) -> dict[str, Dataset]:
    """The rows of each part of an image corpus; no part has a class of another.

    Args:
        data: a checked section whose corpus is of images.
        parts: the parts that are wanted.

    Raises:
        HfmetaError: missing files, or no validation part where one is wanted.
    """
    size = data.image_size or (OMNIGLOT_SIZE if data.corpus == "omniglot" else PHOTO_SIZE)
    if data.corpus == "omniglot":
        scheme = str(data.split or "maml")
        tables = omniglot_splits(load_omniglot(data.root, size), scheme, data.split_seed, data.valid_alphabets)
        missing = f"the split {scheme} of Omniglot has no validation part; set valid_alphabets above 0"
    elif data.corpus == "fine_grained":
        split = None if data.split is None else str(data.split)
        tables = load_fine_grained(data.root, data.sets or tuple(FINE_GRAINED), size, data.split_seed, split)
        missing = "the split has no validation part; name its classes"
    else:
        tables = (load_mini_imagenet if data.corpus == "mini_imagenet" else load_image_folder)(data.root, size)
        missing = "the folder has no validation part; add val/"
    if "valid" in parts and "valid" not in tables:
        raise EpisodeError(f"data: {missing}, or valid_tasks to 0.")
    return {part: tables[part] for part in parts}


def image_episode_options(data: DataSection, train: bool) -> tuple[dict[str, Any], dict[str, Any]]:
    """Columns of an image corpus, and what else `EpisodeDataset.n_way` is told of it.

    Args:
        data: a checked section whose corpus is of images.
        train: whether training episodes are made.
    """
    if data.corpus != "omniglot":
        # The classes of an episode are of one set.
        return PHOTO_COLUMNS, {"group_column": "dataset" if data.corpus == "fine_grained" else None}
    rotate = data.rotations if train or data.test_rotations is None else data.test_rotations
    # Lake's one-shot task takes the classes of a trial from one alphabet.
    group = "alphabet" if str(data.split or "maml").startswith("lake") else None
    return OMNIGLOT_COLUMNS, {"transform": rotate_classes if rotate else None, "group_column": group}


def official_runs(data: DataSection) -> EpisodeDataset:
    """Lake's trials as test episodes, as many as there are runs.

    Args:
        data: a checked section with `official_runs`.

    Raises:
        EpisodeError: runs of another number of classes than the section's, or that cannot be read.
    """
    runs = LakeRuns(str(data.official_runs), data.image_size or OMNIGLOT_SIZE)
    if runs.n_way != data.n_way:
        raise EpisodeError(f"data.official_runs: its runs are {runs.n_way}-way, but data.n_way is {data.n_way}.")
    return EpisodeDataset(runs, length=len(runs))
