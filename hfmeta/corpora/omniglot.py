"""Omniglot: 1,623 handwritten characters of 20 drawings each, its standard splits and rotations.

Lake's official 20 runs are in `lake_runs.py`.

Source: Lake, Salakhutdinov, Tenenbaum 2015, Human-level concept learning through probabilistic program induction.
"""

from __future__ import annotations

import hashlib
import io
import os
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from datasets import Array2D, Dataset, Features, Value
from torch import Tensor

from hfmeta.corpora.folders import corpus_path
from hfmeta.episodes.errors import EpisodeError, listing, missing_columns, unknown_choice, whole_number
from hfmeta.episodes.splits import split_rows, split_tasks

Pixels = npt.NDArray[np.uint8]
MAML_COUNTS = {"train": 1100, "valid": 100, "test": 423}
MINIMAL = {
    "lake-minimal-1": ("Balinese", "Early_Aramaic", "Greek", "Korean", "Latin"),
    "lake-minimal-2": ("Greek", "Japanese_(katakana)", "Latin", "Sanskrit", "Tagalog"),
}
SCHEMES = ("maml", "lake", *MINIMAL)
_COLUMNS = ("image", "alphabet", "character", "drawer", "part")
_ORIGIN = (
    "The drawings are those of https://github.com/brendenlake/omniglot, packed in one parquet file with the columns "
    + (", ".join(_COLUMNS) + ".")
)


def load_omniglot(
    root: str | os.PathLike[str] | None = None, size: int = 28, cache_dir: str | os.PathLike[str] | None = None
) -> Dataset:
    """Return all drawings, resized once by Lanczos to size x size and inverted: 255 is ink, 0 is paper.

    Encoded, the pixels are divided by 255, so ink is 1 (as in the MAML code). The resized array is kept under the user's cache
    folder, named by the hash of the file it was made from.

    Args:
        root: folder that holds `omniglot/omniglot.parquet` (or the file itself); None takes HFMETA_DATA.
        size: pixels of a side; the originals have 105.
        cache_dir: where the resized array is kept; by default HFMETA_CACHE, else `~/.cache/hfmeta`.

    Returns:
        Dataset with columns `image` (uint8 `[size, size]`), `alphabet`, `character`, `drawer` and `part`.

    Raises:
        EpisodeError: the file is missing (says what is expected where) or lacks columns; a size below 1.
    """
    whole_number("size", size, 1, "pixel")
    path = corpus_path(root, ["omniglot/omniglot.parquet", "omniglot.parquet"], "Omniglot", _ORIGIN)
    found = pq.read_schema(path).names
    if missing := [name for name in _COLUMNS if name not in found]:
        raise missing_columns(missing, found, os.fspath(path))
    data = path.read_bytes()
    table = pq.read_table(io.BytesIO(data), columns=list(_COLUMNS))
    cached = _cache_folder(cache_dir) / f"omniglot-{size}-{hashlib.sha256(data).hexdigest()[:16]}.npy"
    pixels = _read_cache(cached, (table.num_rows, size, size))
    if pixels is None:
        pixels = np.stack([drawing_pixels(cell["bytes"], size) for cell in table["image"].to_pylist()])
        _write_cache(cached, pixels)
    return _as_dataset(pixels, table)


def _as_dataset(pixels: Pixels, table: pa.Table) -> Dataset:
    """Return the drawings and their other columns as one Dataset."""
    columns: dict[str, Any] = {"image": pixels}
    columns |= {name: table[name].to_pylist() for name in _COLUMNS[1:]}
    features = Features(
        {"image": Array2D(shape=pixels.shape[1:], dtype="uint8")}
        | {name: Value("int32" if name == "drawer" else "string") for name in _COLUMNS[1:]}
    )
    return Dataset.from_dict(columns, features=features)


def omniglot_splits(
    dataset: Dataset, scheme: str = "maml", seed: int = 0, valid_alphabets: int = 0
) -> dict[str, Dataset]:
    """Return the parts of a standard split by character.

    Args:
        dataset: all drawings, from `load_omniglot`.
        scheme: "maml" (1,100 / 100 / 423 random characters, whatever their alphabet), "lake" (train on the 30 background
            alphabets, test on the 20 of evaluation), "lake-minimal-1" or "-2" (train on one of the two sets of 5 alphabets).
        seed: seed of the random choices.
        valid_alphabets: alphabets taken from the training part for validation (Lake's splits have no validation part).

    Returns:
        `{"train", "valid", "test"}`; "valid" is absent from Lake's splits unless `valid_alphabets` is above 0.

    Raises:
        EpisodeError: unknown scheme, too few characters or alphabets.
    """
    if scheme not in SCHEMES:
        raise unknown_choice("scheme", scheme, SCHEMES)
    if scheme == "maml":
        if valid_alphabets:
            raise EpisodeError(
                "valid_alphabets belongs to Lake's splits; the split of the MAML paper has its own validation part."
            )
        return split_rows(dataset, "character", split_tasks(dataset["character"], MAML_COUNTS, seed))
    parts = np.array(dataset["part"])
    alphabets = np.array(dataset["alphabet"])
    background = sorted(set(alphabets[parts == "background"].tolist()))
    train = list(MINIMAL.get(scheme, background))
    if absent := [name for name in train if name not in background]:
        raise EpisodeError(f"the background part lacks the alphabets {listing(absent)} of {scheme!r}.")
    split: dict[str, list[Any]] = {"train": train}
    if valid_alphabets:
        split = split_tasks(train, {"train": len(train) - valid_alphabets, "valid": valid_alphabets}, seed)
    split["test"] = sorted(set(alphabets[parts == "evaluation"].tolist()))
    return split_rows(dataset, "alphabet", split)


def rotate_classes(support: dict[str, Tensor], query: dict[str, Tensor], rng: np.random.Generator) -> None:
    """Turn every class of an episode by 0, 90, 180 or 270 degrees, all its drawings alike: a transform of `EpisodeDataset.n_way`.

    Args:
        support: `pixel_values [S, c, h, w]` and `labels [S]`, changed in place.
        query: the same with Q rows.
        rng: draws one quarter turn per class.

    Source: the MAML paper's code, which does so at training and at test.
    """
    classes = int(max(support["labels"].max(), query["labels"].max())) + 1
    turns = torch.from_numpy(rng.integers(4, size=classes))
    for side in (support, query):
        pixels, each = side["pixel_values"], turns[side["labels"]]
        for turn in (1, 2, 3):
            chosen = each == turn
            pixels[chosen] = torch.rot90(pixels[chosen], turn, dims=(-2, -1))


def drawing_pixels(data: bytes, size: int) -> Pixels:
    """Return a drawing (a 1-bit image file, ink 0) as uint8 `[size, size]` with ink 255.

    Args:
        data: the file's content.
        size: pixels of a side.

    Raises:
        EpisodeError: Pillow is not installed.
        OSError: no image file.
    """
    try:
        from PIL import Image, ImageOps
    except ImportError as error:
        raise EpisodeError("reading drawings needs Pillow: pip install hfmeta[vision].") from error
    with Image.open(io.BytesIO(data)) as image:
        # Grey before resizing: on 1-bit images Pillow silently takes the nearest pixel.
        grey = ImageOps.invert(image.convert("L"))
    return np.asarray(grey.resize((size, size), Image.Resampling.LANCZOS) if grey.size != (size, size) else grey)


def _cache_folder(given: str | os.PathLike[str] | None) -> Path:
    """Return the folder of cached arrays."""
    if given is None:
        given = os.environ.get("HFMETA_CACHE") or os.path.join(
            os.environ.get("XDG_CACHE_HOME") or os.path.join("~", ".cache"), "hfmeta"
        )
    return Path(given).expanduser()


def _read_cache(path: Path, shape: tuple[int, ...]) -> Pixels | None:
    """Return the cached array, or None where there is none that fits."""
    try:
        array = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError):
        return None
    return array if isinstance(array, np.ndarray) and array.shape == shape and array.dtype == np.uint8 else None


def _write_cache(path: Path, array: Pixels) -> None:
    """Write the array under a temporary name and rename it; a folder that cannot be written is no error."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    except OSError:
        return
    try:
        with open(handle, "wb") as file:
            np.save(file, array, allow_pickle=False)
        os.replace(temporary, path)
    except OSError:
        Path(temporary).unlink(missing_ok=True)
