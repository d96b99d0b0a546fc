"""Images in every accepted form, plain and through an image processor."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from datasets import Dataset, Image
from PIL import Image as Pil
from transformers import ViTImageProcessor

from hfmeta.episodes import EpisodeError, ImageClassificationEncoder, encoder_from_dict

GREY = np.arange(30, dtype=np.uint8).reshape(5, 6) * 8
COLOUR = np.stack([GREY, GREY // 2, GREY // 3], axis=-1)


def png(array: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    Pil.fromarray(array).save(buffer, "png")
    return buffer.getvalue()


def encode(image: Any) -> torch.Tensor:
    return ImageClassificationEncoder("image", "label").encode([{"image": image, "label": "a"}])["pixel_values"][0]


@pytest.mark.parametrize("form", ["pil", "bytes", "dict", "array", "list", "integers", "chw", "path"])
def test_every_form_of_a_grey_image(form: str, tmp_path: Path) -> None:
    (tmp_path / "i.png").write_bytes(png(GREY))
    image = {
        "pil": Pil.fromarray(GREY),
        "bytes": png(GREY),
        "dict": {"bytes": png(GREY), "path": None},
        "array": GREY,
        "list": GREY.tolist(),
        "integers": GREY.astype(np.int64),
        "chw": GREY[None],
        "path": str(tmp_path / "i.png"),
    }[form]
    pixels = encode(image)
    assert pixels.dtype == torch.float32
    assert torch.allclose(pixels, torch.from_numpy(GREY / 255.0).float()[None])


def test_colour_images_have_channels_first() -> None:
    expected = torch.from_numpy(COLOUR.transpose(2, 0, 1) / 255.0).float()
    for image in (Pil.fromarray(COLOUR), png(COLOUR), COLOUR, COLOUR.transpose(2, 0, 1)):
        assert torch.allclose(encode(image), expected)
    palette = Pil.fromarray(COLOUR).quantize(16)
    assert encode(palette).shape == (3, 5, 6)
    small = np.zeros((4, 4, 3), np.uint8)
    assert encode(Pil.fromarray(small)).shape == (3, 4, 4)  # an array of this shape would leave it open


def test_fractions_and_booleans_are_taken_as_they_are() -> None:
    assert torch.equal(encode(GREY / 1000), torch.from_numpy(GREY / 1000).float()[None])
    assert torch.equal(encode(GREY > 50), torch.from_numpy(GREY > 50).float()[None])
    assert encode(Pil.fromarray(GREY > 50)).unique().tolist() == [0, 1]


def test_a_column_of_images() -> None:
    rows = Dataset.from_dict({"image": [Pil.fromarray(GREY), Pil.fromarray(GREY)], "label": ["b", "a"]}).cast_column(
        "image", Image()
    )
    encoder = ImageClassificationEncoder("image", "label")
    encoded = encoder.encode(rows)
    assert encoded["pixel_values"].shape == (2, 1, 5, 6)
    assert encoded["labels"].tolist() == [1, 0]
    assert encoder.classes(rows) == ["a", "b"]
    assert encoder.encode(rows, [4, 5])["labels"].tolist() == [4, 5]


@pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::UserWarning")
def test_an_image_processor_gets_rgb() -> None:
    processor = ViTImageProcessor(size={"height": 8, "width": 8}, image_mean=[0.5] * 3, image_std=[0.5] * 3)
    encoder = ImageClassificationEncoder("image", "label", processor)
    rows = [{"image": i, "label": 0} for i in (GREY, Pil.fromarray(GREY), png(COLOUR), COLOUR)]
    pixels = encoder.encode(rows)["pixel_values"]
    assert pixels.shape == (4, 3, 8, 8)
    assert torch.allclose(pixels[0], pixels[1])
    expected = processor(images=[Pil.fromarray(COLOUR)], return_tensors="pt")["pixel_values"][0]
    assert torch.allclose(pixels[2], expected)
    assert torch.allclose(pixels[3], expected)
    with pytest.raises(
        EpisodeError, match="row 0 of column 'image' holds fractions; an image processor takes whole numbers"
    ):
        encoder.encode([{"image": GREY / 255, "label": 0}])


def test_a_stored_encoder_encodes_alike() -> None:
    encoder = ImageClassificationEncoder("image", "label", label_names=["x", "y"])
    again = encoder_from_dict(json.loads(json.dumps(encoder.to_dict())))
    rows = [{"image": GREY, "label": "y"}]
    assert torch.equal(encoder.encode(rows)["pixel_values"], again.encode(rows)["pixel_values"])
    assert again.encode(rows)["labels"].tolist() == [1]


@pytest.mark.parametrize(
    ("image", "message"),
    [
        (b"no image", "row 0 of column 'image' holds no readable image file"),
        ("/no/such/file.png", "holds no readable image file"),
        (3, r"holds int of shape \(\); an image, bytes, a path or an array"),
        ([[1, 2], [3]], "an image, bytes, a path or an array"),
        (np.zeros((5, 5, 5)), r"of shape \(5, 5, 5\)"),
        ([[300, 0], [0, 0]], "whole numbers from 0 to 300; 0 to 255 was expected"),
        (np.zeros((4, 9, 3)), r"an array of shape \(4, 9, 3\); which end has the channels is open: pass a PIL image"),
        ([["a"]], "an image, bytes, a path or an array"),
    ],
)
def test_refusals_of_images(image: Any, message: str) -> None:
    with pytest.raises(EpisodeError, match=message):
        encode(image)


def test_refusals() -> None:
    with pytest.raises(EpisodeError, match=r"differ in shape: \[\(1, 5, 6\), \(1, 6, 5\)\]; pass an image processor"):
        ImageClassificationEncoder("image", "label").encode([{"image": i, "label": 0} for i in (GREY, GREY.T)])
    with pytest.raises(
        EpisodeError, match="images need an image processor as processing_class, or None for plain scaling; got str"
    ):
        ImageClassificationEncoder("image", "label", "vit")


def test_without_pillow_the_message_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "PIL", None)
    with pytest.raises(EpisodeError, match=r"needs Pillow: pip install hfmeta\[vision\]"):
        encode(b"x")
    assert encode(GREY).shape == (1, 5, 6)
