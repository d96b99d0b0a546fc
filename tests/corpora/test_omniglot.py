"""Omniglot: a made parquet file in the packed layout, both splits, rotations; the full corpus where it is at hand."""

from __future__ import annotations

import io
import os
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from PIL import Image

from hfmeta.corpora import load_omniglot, omniglot_splits, rotate_classes
from hfmeta.corpora import omniglot as module
from hfmeta.episodes import EpisodeDataset, EpisodeError, FixedEpisodes, check_disjoint

ALPHABETS = {
    "background": [
        "Balinese",
        "Early_Aramaic",
        "Greek",
        "Japanese_(katakana)",
        "Korean",
        "Latin",
        "Sanskrit",
        "Tagalog",
    ],
    "evaluation": ["Angelic", "Tibetan"],
}


def drawing(seed: int, side: int = 105) -> bytes:
    """Return a 1-bit PNG, ink 0, paper 1: some strokes in the upper left, so that a turn can be seen."""
    rng = np.random.default_rng(seed)
    paper = np.ones((side, side), bool)
    for row in rng.integers(5, side // 2, 4):
        paper[row : row + 3, 5 : side // 2] = False
    buffer = io.BytesIO()
    Image.fromarray(paper).save(buffer, "png")
    return buffer.getvalue()


def table(characters: int = 3, drawers: int = 4) -> pa.Table:
    rows = [
        {
            "image": {"bytes": drawing(n), "path": f"{n}.png"},
            "alphabet": alphabet,
            "character": f"{alphabet}/character{c:02d}",
            "drawer": d,
            "part": part,
        }
        for part, alphabets in ALPHABETS.items()
        for a, alphabet in enumerate(alphabets)
        for c in range(characters)
        for d in range(drawers)
        for n in [len(part) * 10_000 + a * 1000 + c * 100 + d]
    ]
    return pa.Table.from_pylist(rows)


@pytest.fixture(scope="module")
def packed() -> pa.Table:
    return table()


@pytest.fixture
def root(tmp_path: Path, packed: pa.Table, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "omniglot").mkdir()
    pq.write_table(packed, tmp_path / "omniglot" / "omniglot.parquet")
    monkeypatch.setenv("HFMETA_CACHE", str(tmp_path / "cache"))
    return tmp_path


def test_drawings_are_inverted_and_resized_by_lanczos(root: Path, packed: pa.Table) -> None:
    rows = load_omniglot(root)
    assert rows.column_names == ["image", "alphabet", "character", "drawer", "part"]
    assert len(rows) == 120
    image = rows.with_format("numpy")[7]["image"]
    assert image.shape == (28, 28)
    ink = 1.0 - np.asarray(Image.open(io.BytesIO(packed["image"][7].as_py()["bytes"])), dtype=np.float64)
    fine = np.asarray(Image.fromarray((ink * 255).astype(np.uint8)).resize((28, 28), Image.Resampling.LANCZOS))
    assert (image == fine).all()
    assert len(np.unique(image)) > 2  # grey levels: not the nearest pixel, which Pillow takes on 1-bit images
    assert abs(image.mean() / 255 - ink.mean()) < 0.01
    assert image[:14, :14].mean() > image[14:, 14:].mean() == 0


def test_encoded_pixels_are_0_to_1_with_ink_1(root: Path) -> None:
    episodes = EpisodeDataset.n_way(
        load_omniglot(root), label_column="character", input_column="image", n_way=5, query=3
    )
    pixels = episodes[0]["query"]["pixel_values"]
    assert pixels.shape == (15, 1, 28, 28)
    assert pixels.min() == 0
    assert 0.9 < pixels.max() <= 1
    assert episodes[0]["support"]["labels"].sort().values.tolist() == [0, 1, 2, 3, 4]


def test_other_sizes(root: Path) -> None:
    assert load_omniglot(root, size=105).features["image"].shape == (105, 105)
    assert load_omniglot(root, size=14).with_format("numpy")[0]["image"].shape == (14, 14)
    with pytest.raises(EpisodeError, match="size must be a whole number of at least 1 pixel, got 0"):
        load_omniglot(root, size=0)


def test_the_resized_array_is_kept_and_bound_to_its_file(
    root: Path, packed: pa.Table, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[int] = []
    monkeypatch.setattr(
        module, "drawing_pixels", lambda data, size, inner=module.drawing_pixels: made.append(size) or inner(data, size)
    )
    first = load_omniglot(root).to_dict()
    assert len(made) == 120
    assert load_omniglot(root).to_dict() == first
    assert len(made) == 120
    (cached,) = (root / "cache").iterdir()
    assert cached.name.startswith("omniglot-28-")
    for broken in (b"", b"no array", cached.read_bytes()[:-9]):
        cached.write_bytes(broken)
        assert load_omniglot(root).to_dict() == first
    assert len(made) == 480
    pq.write_table(packed.slice(0, 60), root / "omniglot" / "omniglot.parquet")
    assert len(load_omniglot(root)) == 60
    assert len(list((root / "cache").iterdir())) == 2


def test_pickled_arrays_are_not_read(root: Path) -> None:
    load_omniglot(root)
    (cached,) = (root / "cache").iterdir()
    np.save(cached, np.array([{"x": 1}], dtype=object), allow_pickle=True)
    assert len(load_omniglot(root)) == 120


def test_a_cache_folder_that_cannot_be_written_is_no_error(root: Path) -> None:
    (root / "file").write_text("")
    assert len(load_omniglot(root, cache_dir=root / "file" / "cache")) == 120


def test_cache_folder_by_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("HFMETA_CACHE", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert module._cache_folder(None) == tmp_path / "hfmeta"
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert module._cache_folder(None) == Path.home() / ".cache" / "hfmeta"
    assert module._cache_folder(tmp_path) == tmp_path


def test_refusals_of_files(root: Path, packed: pa.Table, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HFMETA_DATA", raising=False)
    with pytest.raises(
        EpisodeError, match="Omniglot is read from a local folder: pass root=.* data.root=.*, or set HFMETA_DATA"
    ):
        load_omniglot()
    with pytest.raises(EpisodeError, match=r"expected there: omniglot/omniglot.parquet or omniglot.parquet"):
        load_omniglot(root / "cache" if (root / "cache").mkdir() else root / "cache")
    pq.write_table(packed.drop_columns(["drawer"]), root / "omniglot" / "omniglot.parquet")
    with pytest.raises(EpisodeError, match="omniglot.parquet have no column 'drawer'; the columns found are"):
        load_omniglot(root)


def test_the_split_of_the_maml_paper(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = load_omniglot(root)
    assert module.MAML_COUNTS == {"train": 1100, "valid": 100, "test": 423}
    with pytest.raises(EpisodeError, match="asks for 1623 tasks; there are 30"):
        omniglot_splits(rows, "maml")
    monkeypatch.setattr(module, "MAML_COUNTS", {"train": 20, "valid": 4, "test": 6})
    parts = omniglot_splits(rows, "maml", seed=1)
    assert {part: len(r) for part, r in parts.items()} == {"train": 80, "valid": 16, "test": 24}
    check_disjoint(parts, "character")
    again, other = omniglot_splits(rows, "maml", seed=1), omniglot_splits(rows, "maml", seed=2)
    assert again["test"]["character"][:] == parts["test"]["character"][:] != other["test"]["character"][:]
    with pytest.raises(EpisodeError, match="valid_alphabets belongs to Lake's splits"):
        omniglot_splits(rows, "maml", valid_alphabets=2)


def test_the_splits_of_lake(root: Path) -> None:
    rows = load_omniglot(root)
    lake = omniglot_splits(rows, "lake")
    assert set(lake["train"]["part"]) == {"background"}
    assert set(lake["test"]["part"]) == {"evaluation"}
    assert (len(lake["train"]), len(lake["test"])) == (96, 24)
    first, second = omniglot_splits(rows, "lake-minimal-1"), omniglot_splits(rows, "lake-minimal-2")
    assert set(first["train"]["alphabet"]) == {"Balinese", "Early_Aramaic", "Greek", "Korean", "Latin"}
    assert set(second["train"]["alphabet"]) == {"Greek", "Japanese_(katakana)", "Latin", "Sanskrit", "Tagalog"}
    held = omniglot_splits(rows, "lake", seed=3, valid_alphabets=2)
    assert len(set(held["valid"]["alphabet"])) == 2
    check_disjoint(held, "alphabet")
    with pytest.raises(
        EpisodeError, match="scheme='laek' is unknown; choose one of 'maml', 'lake'.*Did you mean 'lake'"
    ):
        omniglot_splits(rows, "laek")
    with pytest.raises(EpisodeError, match="the background part lacks the alphabets Balinese"):
        omniglot_splits(rows.filter(lambda row: row["alphabet"] != "Balinese"), "lake-minimal-1")


def test_episodes_within_one_alphabet(root: Path) -> None:
    episodes = EpisodeDataset.n_way(
        load_omniglot(root), label_column="character", input_column="image", n_way=3, query=1, group_column="alphabet"
    )
    for i in range(10):
        assert len({name.split("/")[0] for name in episodes.draw((0, i)).names}) == 1


def test_rotations_turn_each_class_as_one(root: Path) -> None:
    options: dict[str, Any] = {"label_column": "character", "input_column": "image", "n_way": 5, "query": 2}
    plain = EpisodeDataset.n_way(load_omniglot(root), **options)
    turned = EpisodeDataset.n_way(load_omniglot(root), transform=rotate_classes, **options)
    seen = set()
    for i in range(20):
        turns: dict[int, set[int]] = {}
        for side in ("support", "query"):
            before, after = plain[i][side], turned[i][side]
            assert torch.equal(before["labels"], after["labels"])
            for x, z, label in zip(
                before["pixel_values"], after["pixel_values"], before["labels"].tolist(), strict=True
            ):
                (turn,) = [t for t in range(4) if torch.equal(torch.rot90(x, t, (-2, -1)), z)]
                turns.setdefault(label, set()).add(turn)
        assert all(len(each) == 1 for each in turns.values())
        seen |= {(label, *each) for label, each in turns.items()}
    assert seen == {(label, turn) for label in range(5) for turn in range(4)}
    assert torch.equal(turned[3]["query"]["pixel_values"], turned[3]["query"]["pixel_values"])


@pytest.mark.skipif("HFMETA_DATA" not in os.environ, reason="the full corpus is not at hand")
def test_the_full_corpus(tmp_path_factory: pytest.TempPathFactory) -> None:
    rows = load_omniglot(cache_dir=os.environ.get("HFMETA_CACHE") or tmp_path_factory.mktemp("cache"))
    assert len(rows) == 32_460
    parts = omniglot_splits(rows)
    assert {part: len(set(r["character"])) for part, r in parts.items()} == module.MAML_COUNTS
    assert {part: len(r) for part, r in omniglot_splits(rows, "lake").items()} == {"train": 19_280, "test": 13_180}
    assert [len(set(omniglot_splits(rows, s)["train"]["alphabet"])) for s in module.MINIMAL] == [5, 5]
    episodes = EpisodeDataset.n_way(
        parts["test"], label_column="character", input_column="image", n_way=20, query=1, transform=rotate_classes
    )
    assert FixedEpisodes(episodes, 3)[0]["support"]["pixel_values"].shape == (20, 1, 28, 28)
