"""Encoder of images: pixel values through an image processor, or plainly scaled to [0, 1]."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from hfmeta.episodes.encoding.base import Encoder, Item, Rows, as_columns
from hfmeta.episodes.encoding.labels import Labels
from hfmeta.episodes.errors import EpisodeError

_CHANNELS = (1, 3, 4)


class ImageClassificationEncoder(Encoder):
    """An image and a class: `pixel_values` float32 `[S, c, h, w]` and `labels` int64 `[S]`.

    Images may be PIL images, encoded bytes, `{"bytes", "path"}`, paths, or arrays `[h, w]`, `[h, w, c]`, `[c, h, w]`. Whole
    numbers mean 0..255 and are divided by 255; fractions and booleans are taken as they are.

    Args:
        input_column: column of images.
        target_column: column of class labels.
        processing_class: an image processor (images go to it as RGB); None scales plainly and keeps size and channels.
        label_names: classes in id order; None maps the distinct labels of each set, sorted, to 0..C-1.
    """

    task_type: ClassVar[str] = "image-classification"
    classifies: ClassVar[bool] = True

    def __init__(
        self,
        input_column: str,
        target_column: str,
        processing_class: Any = None,
        label_names: Sequence[Any] | None = None,
    ):
        super().__init__(input_column, target_column)
        processor = getattr(processing_class, "image_processor", processing_class)
        if processor is not None and not hasattr(processor, "preprocess"):
            raise EpisodeError(
                f"images need an image processor as processing_class, or None for plain scaling; got {type(processor).__name__}."
            )
        self.processor, self.labels = processor, Labels(label_names)

    @property
    def processing_class(self) -> Any:
        """The image processor, or None."""
        return self.processor

    def options(self) -> dict[str, Any]:
        """Return the stored options."""
        return {"label_names": self.labels.names}

    def prepare(self, columns: Mapping[str, Sequence[Any]], numbers: Sequence[int]) -> list[Item]:
        """Return pixels and the raw label (where the column is given) of each row."""
        images = columns[self.input_column]
        if self.processor is None:
            pixels = [_pixels(image, n, self.input_column) for n, image in zip(numbers, images, strict=True)]
        else:
            rgb = [_rgb(image, n, self.input_column) for n, image in zip(numbers, images, strict=True)]
            pixels = [p.numpy() for p in self.processor(images=rgb, return_tensors="pt")["pixel_values"]]
        targets = columns.get(self.target_column, [None] * len(pixels))
        return [{"pixel_values": p, "target": t} for p, t in zip(pixels, targets, strict=True)]

    def assemble(self, items: Sequence[Item], label_ids: Sequence[int] | None = None) -> dict[str, Tensor]:
        """Return the stacked tensors of one set."""
        if len(shapes := {item["pixel_values"].shape for item in items}) > 1:
            raise EpisodeError(
                f"the images of one set differ in shape: {sorted(shapes)}; pass an image processor that resizes them."
            )
        stacked = np.stack([item["pixel_values"] for item in items])
        # The 8-bit form is what is kept in memory; the division happens here, on one set.
        scaled = stacked.astype(np.float32) / 255 if stacked.dtype == np.uint8 else stacked
        labels = self.labels.tensor([item["target"] for item in items], self.target_column, label_ids)
        return {"pixel_values": torch.from_numpy(scaled), "labels": labels}

    def classes(self, rows: Rows) -> list[str] | None:
        """Return the class names in the order of the ids."""
        values = as_columns(rows, [self.target_column])[self.target_column]
        return [str(name) for name in self.labels.classes(values, self.target_column)]


def _opened(image: Any, where: str) -> Any:
    """Return a PIL image or an array from any accepted form of an image."""
    if isinstance(image, Mapping):
        image = image.get("bytes") or image.get("path")
    if isinstance(image, bytes | str):
        try:
            from PIL import Image, UnidentifiedImageError
        except ImportError as error:
            raise EpisodeError(
                f"{where} holds an image file; reading it needs Pillow: pip install hfmeta[vision]."
            ) from error
        try:
            with Image.open(io.BytesIO(image) if isinstance(image, bytes) else image) as opened:
                opened.load()
                return opened
        except (OSError, UnidentifiedImageError) as error:
            raise EpisodeError(f"{where} holds no readable image file: {error}.") from error
    return image


def _pixels(image: Any, number: int, column: str) -> np.ndarray:
    """Return an image as `[c, h, w]`: uint8 for whole numbers, float32 otherwise."""
    where = f"row {number} of column {column!r}"
    opened = _opened(image, where)
    mode = getattr(opened, "mode", None)  # PIL images have one
    try:
        array = np.asarray(opened.convert("RGB") if mode in ("P", "PA") else opened)
    except ValueError:
        array = np.empty(0)
    if array.ndim == 2:
        array = array[None]
    elif array.ndim == 3 and array.shape[-1] in _CHANNELS and (mode is not None or array.shape[0] not in _CHANNELS):
        array = array.transpose(2, 0, 1)
    elif array.ndim == 3 and array.shape[0] in _CHANNELS and array.shape[-1] in _CHANNELS and array.shape[0] != 1:
        raise EpisodeError(
            f"{where} holds an array of shape {array.shape}; which end has the channels is open: pass a PIL image."
        )
    if array.ndim != 3 or array.dtype.kind not in "biuf" or array.shape[0] not in _CHANNELS:
        raise EpisodeError(
            f"{where} holds {type(image).__name__} of shape {array.shape}; an image, bytes, a path or an array [h, w], [h, w, c] or "
            "[c, h, w] was expected."
        )
    if array.dtype.kind in "bf":
        return np.ascontiguousarray(array, dtype=np.float32)
    if array.min() < 0 or array.max() > 255:
        raise EpisodeError(f"{where} holds whole numbers from {array.min()} to {array.max()}; 0 to 255 was expected.")
    return np.ascontiguousarray(array, dtype=np.uint8)


def _rgb(image: Any, number: int, column: str) -> Any:
    """Return an image as an RGB PIL image for an image processor."""
    from PIL import Image

    opened = _opened(image, f"row {number} of column {column!r}")
    if isinstance(opened, Image.Image):
        return opened.convert("RGB")
    array = _pixels(opened, number, column)
    if array.dtype != np.uint8:
        raise EpisodeError(
            f"row {number} of column {column!r} holds fractions; an image processor takes whole numbers 0 to 255 or image files."
        )
    hwc = array.transpose(1, 2, 0)
    return Image.fromarray(hwc[..., 0] if hwc.shape[-1] == 1 else hwc).convert("RGB")
