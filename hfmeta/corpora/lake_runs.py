"""Lake's official one-shot trials on Omniglot: 20 runs of 20 test drawings, each to be matched with one of 20 training drawings.

A run takes its characters from one alphabet of the evaluation part, its test and training drawings from different people; the score
is the mean error over the runs. The corpus itself, and within-alphabet episodes drawn at random, are in `omniglot.py`.

Source: Lake, Salakhutdinov, Tenenbaum 2015; https://github.com/brendenlake/omniglot, python/one-shot-classification/all_runs.zip.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from hfmeta.corpora.omniglot import drawing_pixels
from hfmeta.episodes.errors import EpisodeError, listing, whole_number
from hfmeta.episodes.generators import Episode

OFFICIAL_RUNS = 20


class LakeRuns:
    """The official trials as a family of episodes: `EpisodeDataset(LakeRuns(folder))` has one episode per run.

    Args:
        folder: see `load_lake_runs`.
        size: pixels of a side.
        runs: how many there must be.

    Raises:
        EpisodeError: see `load_lake_runs`.
    """

    def __init__(self, folder: str | os.PathLike[str], size: int = 28, runs: int = OFFICIAL_RUNS):
        self.episodes = load_lake_runs(folder, size, runs)

    def __len__(self) -> int:
        return len(self.episodes)

    @property
    def n_way(self) -> int:
        """Classes of every run."""
        return len(self.episodes[0]["support"]["labels"])

    def task(self, seed: int, epoch: int, index: int) -> dict[str, Any]:
        """Run `index`, whatever seed and epoch are; after the last one the first comes again."""
        return dict(self.episodes[index % len(self.episodes)])


def load_lake_runs(folder: str | os.PathLike[str], size: int = 28, runs: int = OFFICIAL_RUNS) -> list[Episode]:
    """Return the official one-shot trials as episodes: 20-way, 1 support drawing and 1 query of each class.

    Args:
        folder: the unpacked `all_runs`: `run01` to `run20`, each with `class_labels.txt`, `training/` and `test/`. Each line of
            class_labels.txt names a test file and the training file of its class, both relative to `folder`.
        size: pixels of a side; the originals have 105.
        runs: how many there must be, from run01 on.

    Returns:
        One episode per run, in order of its number: `pixel_values` float32 `[20, 1, size, size]` (ink 1, paper 0), `labels [20]`,
        task = run number. Classes are in order of their training files, queries in order of the lines.

    Raises:
        EpisodeError: missing runs or files, a malformed line, a file named twice, files that no line names, or runs of
            different size.
    """
    whole_number("size", size, 1, "pixel")
    base, wanted = Path(folder), range(1, whole_number("runs", runs, 1) + 1)
    absent = [name for number in wanted if not (base / (name := f"run{number:02d}")).is_dir()]
    if absent:
        which = f"no folders run01 to run{runs:02d}" if len(absent) == runs else f"no folder {listing(absent)}"
        raise EpisodeError(
            f"{os.fspath(folder)!r} has {which}; unpack all_runs.zip of python/one-shot-classification in "
            "https://github.com/brendenlake/omniglot."
        )
    listed = {number: _pairs(base / f"run{number:02d}" / "class_labels.txt") for number in wanted}
    for number, pairs in listed.items():
        if len(pairs) != len(listed[1]):
            raise EpisodeError(
                f"run{number:02d} has {len(pairs)} pairs and run01 has {len(listed[1])}; every run must have as many."
            )
        _check_folders(base, f"run{number:02d}", pairs)
    return [_episode(base, number, pairs, size) for number, pairs in listed.items()]


def _pairs(path: Path) -> list[tuple[str, str]]:
    """Return the (test file, training file) pairs of a run."""
    if not path.is_file():
        raise EpisodeError(f"{path} is missing; every run has one.")
    lines = [line.split() for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
    if not lines:
        raise EpisodeError(f"{path} is empty; lines with a test file and a training file were expected.")
    if bad := [" ".join(words) for words in lines if len(words) != 2]:
        raise EpisodeError(f"{path} has the line {bad[0]!r}; a test file and a training file were expected.")
    for column, what in ((0, "test"), (1, "training")):
        name, times = Counter(words[column] for words in lines).most_common(1)[0]
        if times > 1:
            raise EpisodeError(
                f"{path} names the {what} file {name} {times} times; every class has one test and one training file."
            )
    return [(test, training) for test, training in lines]


def _check_folders(base: Path, run: str, pairs: Sequence[tuple[str, str]]) -> None:
    """Refuse pairs that name a missing file, and folders with drawings that no pair names."""
    for column, what in ((0, "test"), (1, "training")):
        named = {base / pair[column] for pair in pairs}
        if missing := sorted(path for path in named if not path.is_file()):
            raise EpisodeError(f"{missing[0]}, named by class_labels.txt, is missing.")
        found = set((base / run / what).glob("*.png"))
        if excess := sorted(path.name for path in found - named):
            raise EpisodeError(
                f"{base / run / what} has {len(found)} drawings, but class_labels.txt names {len(named)} {what} files; "
                f"not named: {listing(excess)}."
            )


def _episode(base: Path, number: int, pairs: Sequence[tuple[str, str]], size: int) -> Episode:
    """Return one trial."""
    classes = sorted(training for _, training in pairs)
    label = {training: place for place, training in enumerate(classes)}

    def images(names: Iterable[str]) -> Tensor:
        stacked = np.stack([_pixels(base / name, size) for name in names])
        return torch.from_numpy(stacked.astype(np.float32) / 255).unsqueeze(1)

    return {
        "support": {"pixel_values": images(classes), "labels": torch.arange(len(classes))},
        "query": {
            "pixel_values": images(test for test, _ in pairs),
            "labels": torch.tensor([label[training] for _, training in pairs]),
        },
        "task": number,
    }


def _pixels(path: Path, size: int) -> np.ndarray:
    """Return a drawing, or raise the error that names a file which is none."""
    try:
        return drawing_pixels(path.read_bytes(), size)
    except OSError as error:  # Pillow's UnidentifiedImageError is one
        raise EpisodeError(f"{path} is no readable image: {error}.") from error
