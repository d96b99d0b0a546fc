"""Stacking of episodes: right padding of tokens and rows, and what is refused."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from hfmeta.episodes import EpisodeError, collate_episodes


def tokens(rows: int, length: int, labels: torch.Tensor | None = None) -> dict[str, torch.Tensor]:
    ids = torch.arange(1, rows * length + 1).reshape(rows, length)
    return {
        "input_ids": ids,
        "attention_mask": torch.ones_like(ids),
        "labels": torch.arange(rows) if labels is None else labels,
    }


def episode(support: dict[str, Any], query: dict[str, Any] | None = None, task: int = 0) -> dict[str, Any]:
    return {"support": support, "query": support if query is None else query, "task": task}


def test_equal_shapes_are_stacked_as_they_are() -> None:
    plain = {"inputs": torch.rand(3, 2), "labels": torch.rand(3, 1)}
    batch = collate_episodes([episode(plain, task=4), episode(plain, task=7)])
    assert batch["task"].tolist() == [4, 7]
    assert batch["task"].dtype == torch.int64
    assert batch["support"]["inputs"].shape == (2, 3, 2)
    assert torch.equal(batch["query"]["labels"][1], plain["labels"])


def test_tokens_are_padded_on_the_right_and_each_side_apart() -> None:
    batch = collate_episodes([episode(tokens(2, 3), tokens(4, 6)), episode(tokens(2, 5), tokens(4, 2))], pad_token_id=9)
    support = batch["support"]
    assert support["input_ids"].shape == (2, 2, 5)
    assert batch["query"]["input_ids"].shape == (2, 4, 6)
    assert support["input_ids"][0].tolist() == [[1, 2, 3, 9, 9], [4, 5, 6, 9, 9]]
    assert support["attention_mask"][0].tolist() == [[1, 1, 1, 0, 0]] * 2
    assert support["labels"].tolist() == [[0, 1], [0, 1]]


def test_token_labels_are_padded_with_minus_100() -> None:
    short, long = (tokens(2, n, torch.ones(2, n, dtype=torch.int64)) for n in (2, 4))
    assert collate_episodes([episode(short), episode(long)])["query"]["labels"][0].tolist() == [[1, 1, -100, -100]] * 2


def test_ragged_sets_get_rows_that_count_for_nothing_and_attend_one_token() -> None:
    batch = collate_episodes([episode(tokens(1, 2)), episode(tokens(3, 4))], pad_token_id=5)
    side = batch["support"]
    assert side["input_ids"][0].tolist() == [[1, 2, 5, 5], [5, 5, 5, 5], [5, 5, 5, 5]]
    assert side["attention_mask"][0].tolist() == [[1, 1, 0, 0], [1, 0, 0, 0], [1, 0, 0, 0]]
    assert side["labels"][0].tolist() == [0, -100, -100]
    assert torch.equal(side["input_ids"][1], tokens(3, 4)["input_ids"])
    lm = [episode(tokens(n, 2, torch.ones(n, 2, dtype=torch.int64))) for n in (1, 2)]
    assert collate_episodes(lm)["support"]["labels"][0].tolist() == [[1, 1], [-100, -100]]


def test_the_input_is_left_alone() -> None:
    first, second = tokens(1, 2), tokens(3, 4)
    copies = [{k: v.clone() for k, v in side.items()} for side in (first, second)]
    batch = collate_episodes([episode(first), episode(second)])
    batch["support"]["input_ids"].zero_()
    assert all(torch.equal(a[k], b[k]) for a, b in zip((first, second), copies, strict=True) for k in a)


def test_scalars_and_a_missing_task() -> None:
    with_scalar = {"labels": torch.tensor([1, 0]), "temperature": torch.tensor(2.0)}
    batch = collate_episodes([{"support": with_scalar, "query": with_scalar}] * 2)
    assert batch["support"]["temperature"].tolist() == [2.0, 2.0]
    assert batch["task"].tolist() == [-1, -1]


def test_refusals() -> None:
    numbers = [episode({"inputs": torch.rand(n, 1), "labels": torch.rand(n, 1)}) for n in (2, 3)]
    images = [episode({"pixel_values": torch.rand(n, 1, 4, 4), "labels": torch.arange(n)}) for n in (2, 3)]
    with pytest.raises(EpisodeError, match="there are no episodes to collate"):
        collate_episodes([])
    with pytest.raises(EpisodeError, match=r"episode 1 of the batch has no 'query'; it has \['support'\]"):
        collate_episodes([numbers[0], {"support": numbers[0]["support"]}])
    with pytest.raises(EpisodeError, match="support sets of one batch have 2 to 3 rows, and float labels have no -100"):
        collate_episodes(numbers)
    with pytest.raises(EpisodeError, match="a padded image would enter the batch statistics"):
        collate_episodes(images)
    with pytest.raises(
        EpisodeError, match=r"episode 1 has the tensors \['labels'\], the first has \['inputs', 'labels'\]"
    ):
        collate_episodes([numbers[0], episode({"labels": torch.rand(2, 1)})])
    wide = [episode({"inputs": torch.rand(2, n), "labels": torch.rand(2, 1)}) for n in (1, 2)]
    with pytest.raises(EpisodeError, match=r"support\['inputs'\] has shapes that do not stack: \[\(2, 1\), \(2, 2\)\]"):
        collate_episodes(wide)
