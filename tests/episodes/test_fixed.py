"""Fixed evaluation episodes and their hash."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from datasets import Array2D, Dataset, Features, Image, Value
from torch.utils.data import DataLoader
from transformers import PreTrainedTokenizerFast

from hfmeta.corpora import Sinusoid
from hfmeta.episodes import EpisodeDataset, EpisodeError, FixedEpisodes


def n_way(rows: Dataset, tokenizer: Any, **options: Any) -> EpisodeDataset:
    defaults = {"label_column": "label", "input_column": "text", "n_way": 3, "query": 2, "processing_class": tokenizer}
    return EpisodeDataset.n_way(rows, **(defaults | options))


def test_the_list_is_fixed(text_rows: Callable[..., Dataset], tokenizer: PreTrainedTokenizerFast) -> None:
    rows = text_rows()
    fixed = FixedEpisodes(n_way(rows, tokenizer, length=3), 20, seed=4)
    other = FixedEpisodes(n_way(rows, tokenizer, seed=9), 20, seed=4)  # the seed of training plays no part
    assert len(fixed) == len(list(fixed)) == 20
    assert [e["task"] for e in fixed] == list(range(20))
    for i in (3, 19, 0):
        assert torch.equal(fixed[i]["query"]["input_ids"], other[i]["query"]["input_ids"])
    assert torch.equal(fixed[-1]["query"]["input_ids"], fixed[19]["query"]["input_ids"])
    assert fixed.sha256 == other.sha256 == FixedEpisodes(n_way(rows, tokenizer), 20, seed=4).sha256
    batches = list(DataLoader(fixed, batch_size=8, collate_fn=fixed.collate))
    assert [len(b["task"]) for b in batches] == [8, 8, 4]
    assert fixed.encoder is fixed.dataset.encoder
    fixed.set_task_type("causal-lm")
    assert fixed.task_type == "sequence-classification"  # known already


def test_the_hash_sees_seed_count_sizes_and_contents(
    text_rows: Callable[..., Dataset], tokenizer: PreTrainedTokenizerFast
) -> None:
    rows = text_rows()
    edited = rows.map(lambda row: {"text": row["text"].replace("row 1", "row one")}, load_from_cache_file=False)
    renamed = rows.map(lambda row: {"label": "x" + row["label"]}, load_from_cache_file=False)
    variants = [
        FixedEpisodes(n_way(rows, tokenizer), 10),
        FixedEpisodes(n_way(rows, tokenizer), 11),
        FixedEpisodes(n_way(rows, tokenizer), 10, seed=1),
        FixedEpisodes(n_way(rows, tokenizer, query=1), 10),
        FixedEpisodes(n_way(rows, tokenizer, k_shot=2), 10),
        FixedEpisodes(n_way(edited, tokenizer), 10),
        FixedEpisodes(n_way(renamed, tokenizer), 10),
    ]
    assert len({v.sha256 for v in variants}) == len(variants)


def test_the_hash_ignores_the_tokenizer_and_other_columns(
    text_rows: Callable[..., Dataset], tokenizer: PreTrainedTokenizerFast, byte_tokenizer: PreTrainedTokenizerFast
) -> None:
    rows = text_rows()
    expected = FixedEpisodes(n_way(rows, tokenizer), 10).sha256
    assert FixedEpisodes(n_way(rows, byte_tokenizer), 10).sha256 == expected
    wider = rows.add_column("number", list(range(len(rows)))).with_format("torch")
    assert FixedEpisodes(n_way(wider, tokenizer), 10).sha256 == expected


def test_known_hashes(number_rows: Callable[..., Dataset]) -> None:
    """The same on every machine; a change here means that published evaluation episodes have changed."""
    by_task = EpisodeDataset(
        number_rows({"a": 9, "b": 9}), task_column="user", input_column="x", target_column="y", support=2, query=2
    )
    assert FixedEpisodes(by_task, 5).sha256 == "c1abff0e722c597cdf6629be4396f50fe0dd1aa9f40391fd209304fe60e5c338"
    assert (
        FixedEpisodes(EpisodeDataset(Sinusoid(5, 5)), 5).sha256
        == "8041c854655b6ffc88284406004fba51d9ebc5523061383f1673270b414cd2d1"
    )


def test_above_the_number_of_tasks_they_come_again_with_other_rows(number_rows: Callable[..., Dataset]) -> None:
    by_task = EpisodeDataset(
        number_rows({"a": 30, "b": 30}), task_column="user", input_column="x", target_column="y", support=2, query=2
    )
    fixed = FixedEpisodes(by_task, 6)
    assert sorted(e["task"] for e in fixed) == [0, 0, 0, 1, 1, 1]
    assert len({tuple(e["support"]["inputs"].flatten().tolist()) for e in fixed}) == 6


def test_the_hash_of_generators_covers_the_tensors() -> None:
    hashes = {
        FixedEpisodes(EpisodeDataset(Sinusoid(*sizes)), count, seed=seed).sha256
        for sizes, count, seed in (((5, 5), 4, 0), ((5, 6), 4, 0), ((6, 5), 4, 0), ((5, 5), 5, 0), ((5, 5), 4, 1))
    }
    assert len(hashes) == 5
    assert FixedEpisodes(EpisodeDataset(Sinusoid(5, 5), seed=8), 4).sha256 in hashes


def test_the_hash_of_images_covers_their_bytes(tmp_path: Any) -> None:
    from PIL import Image as Pil

    def hashed(values: list[int], kind: str) -> str:
        pixels = [np.full((4, 4), v, np.uint8) for v in values]
        if kind == "array":
            features = Features({"image": Array2D((4, 4), "uint8"), "label": Value("string")})
            rows = Dataset.from_dict({"image": np.stack(pixels), "label": list("aabb")}, features=features)
        else:
            paths = [str(tmp_path / f"{kind}{n}-{v}.png") for n, v in enumerate(values)]
            for path, array in zip(paths, pixels, strict=True):
                Pil.fromarray(array).save(path)
            rows = Dataset.from_dict({"image": paths, "label": list("aabb")}).cast_column("image", Image())
        episodes = EpisodeDataset.n_way(rows, label_column="label", input_column="image", n_way=2, query=1)
        return FixedEpisodes(episodes, 3).sha256

    for kind in ("array", "file"):
        assert hashed([1, 2, 3, 4], kind) == hashed([1, 2, 3, 4], kind) != hashed([1, 2, 3, 5], kind)


def test_refusals(number_rows: Callable[..., Dataset]) -> None:
    dataset = EpisodeDataset(Sinusoid())
    with pytest.raises(EpisodeError, match="count must be a whole number of at least 1 episodes, got 0"):
        FixedEpisodes(dataset, 0)
    with pytest.raises(EpisodeError, match="seed must be a whole number of at least 0, got -2"):
        FixedEpisodes(dataset, 1, seed=-2)
    with pytest.raises(IndexError, match="episode 3 is out of range: the list has 3 episodes"):
        FixedEpisodes(dataset, 3)[3]
