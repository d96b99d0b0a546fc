"""EpisodeDataset: purity, laziness, both constructors, loaders, and every refusal."""

from __future__ import annotations

import pickle
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
import torch
from datasets import ClassLabel, Dataset, DatasetDict, Features, Value
from torch.utils.data import DataLoader
from transformers import PreTrainedTokenizerFast

from hfmeta.episodes import EpisodeDataset, EpisodeError, EpisodeSampler, collate_episodes

Make = Callable[..., Dataset]


def numbers(rows: Dataset, **options: Any) -> EpisodeDataset:
    columns = {"task_column": "user", "input_column": "x", "target_column": "y", "support": 2, "query": 3}
    return EpisodeDataset(rows, **(columns | options))


def same(a: Any, b: Any) -> bool:
    sides = ("support", "query")
    return a["task"] == b["task"] and all(
        a[s].keys() == b[s].keys() and all(torch.equal(a[s][n], b[s][n]) for n in a[s]) for s in sides
    )


def test_an_episode_by_task(number_rows: Make) -> None:
    rows = number_rows({"anna": 9, "bob": 6, "cleo": 5})
    episodes = numbers(rows)
    assert len(episodes) == 3
    assert episodes.task_type == "regression"
    assert sorted(episodes[i]["task"] for i in range(3)) == [0, 1, 2]
    for episode in episodes:
        assert episode["support"]["inputs"].shape == (2, 1)
        assert episode["query"]["labels"].shape == (3, 2)
        x = torch.cat([episode["support"]["inputs"], episode["query"]["inputs"]])[:, 0].long().tolist()
        assert len(set(x)) == 5
        assert {rows["user"][i] for i in x} == {episodes.task_names[episode["task"]]}


def test_an_item_is_a_function_of_seed_epoch_and_index(number_rows: Make) -> None:
    rows = number_rows({"a": 30, "b": 30, "c": 30})
    one, two = numbers(rows, length=20), numbers(rows, length=20)
    expected = {(e, i): one[(e, i)] for e in range(2) for i in range(20)}
    for key in np.random.default_rng(0).permutation(list(expected)):  # any order, any batch
        assert same(two[tuple(key.tolist())], expected[tuple(key.tolist())])
    batch = two.__getitems__([(1, 4), 3, -1])
    assert all(same(a, b) for a, b in zip(batch, [expected[1, 4], expected[0, 3], expected[0, 19]], strict=True))
    assert not any(same(expected[0, i], expected[1, i]) for i in range(20))
    assert not any(same(expected[0, i], numbers(rows, length=20, seed=1)[i]) for i in range(20))
    two.set_epoch(1)
    assert same(two[7], expected[1, 7])


def test_the_global_generators_are_left_alone(number_rows: Make) -> None:
    np.random.seed(3)
    before = torch.get_rng_state(), np.random.get_state()[1].tolist()
    list(numbers(number_rows({"a": 9, "b": 9})))
    assert torch.equal(torch.get_rng_state(), before[0])
    assert np.random.get_state()[1].tolist() == before[1]


def test_out_of_range(number_rows: Make) -> None:
    episodes = numbers(number_rows({"a": 9, "b": 9}))
    for key in (2, -3, (0, 2), (-1, 0)):
        with pytest.raises(IndexError, match="out of range: an epoch has 2 episodes"):
            episodes[key]
    assert len(list(episodes)) == 2
    assert same(episodes[np.int64(1)], episodes[1])


def test_n_way_text(text_rows: Make, tokenizer: PreTrainedTokenizerFast) -> None:
    rows = text_rows()
    options = {
        "label_column": "label",
        "input_column": "text",
        "processing_class": tokenizer,
        "n_way": 3,
        "k_shot": 2,
        "query": 2,
    }
    episodes = EpisodeDataset.n_way(rows, **options)
    assert episodes.task_type == "sequence-classification"
    assert len(episodes) == 1000
    episode = episodes[(2, 5)]
    assert episode["task"] == 5
    support, query = episode["support"], episode["query"]
    assert support["labels"].shape == (6,)
    assert query["input_ids"].shape == query["attention_mask"].shape
    assert query["labels"].tolist() == [0, 1, 2, 0, 1, 2]
    words = tokenizer.batch_decode(support["input_ids"], skip_special_tokens=True)
    names = episodes.draw((2, 5)).names
    for text, label in zip(words, support["labels"].tolist(), strict=True):
        assert f"class {names[label][1:]} " in text
    assert same(EpisodeDataset.n_way(rows, **options)[(2, 5)], episode)


def test_classification_by_task_fixes_the_classes_of_the_whole_column(tokenizer: PreTrainedTokenizerFast) -> None:
    rows = Dataset.from_dict(
        {"user": ["a"] * 4 + ["b"] * 4, "text": ["hello"] * 8, "mood": ["sad", "glad", "so", "sad"] * 2}
    )
    options = {"task_column": "user", "input_column": "text", "target_column": "mood", "support": 2, "query": 2}
    episodes = EpisodeDataset(rows, processing_class=tokenizer, task_type="sequence-classification", **options)
    assert episodes.encoder.to_dict()["label_names"] == ["glad", "sad", "so"]
    given = EpisodeDataset(rows, processing_class=tokenizer, label_names=["so", "sad", "glad"], **options)
    assert given.task_type == "sequence-classification"
    assert given.encoder.to_dict()["label_names"] == ["so", "sad", "glad"]
    for i in range(2):
        for side in ("support", "query"):
            assert torch.equal(2 - episodes[i][side]["labels"], given[i][side]["labels"])


def test_class_label_names_are_kept(tokenizer: PreTrainedTokenizerFast) -> None:
    features = Features({"user": Value("string"), "text": Value("string"), "mood": ClassLabel(names=["z", "a", "m"])})
    rows = Dataset.from_dict({"user": ["u"] * 4, "text": ["hello"] * 4, "mood": [0, 2, 2, 0]}, features=features)
    episodes = EpisodeDataset(
        rows,
        task_column="user",
        input_column="text",
        target_column="mood",
        support=2,
        query=2,
        processing_class=tokenizer,
    )
    assert episodes.encoder.to_dict()["label_names"] == ["z", "a", "m"]
    assert sorted(torch.cat([episodes[0][s]["labels"] for s in ("support", "query")]).tolist()) == [0, 0, 2, 2]


def test_an_open_task_type_can_be_said_later(tokenizer: PreTrainedTokenizerFast) -> None:
    rows = Dataset.from_dict({"user": ["a"] * 4, "context": ["hello"] * 4, "reply": ["yes", "no"] * 2})
    options = {"task_column": "user", "input_column": "context", "target_column": "reply", "support": 2, "query": 2}
    episodes = EpisodeDataset(rows, processing_class=tokenizer, **options)
    assert episodes.task_type is None
    with pytest.raises(EpisodeError, match="pass task_type, one of 'sequence-classification', .*'seq2seq-lm'"):
        episodes[0]
    episodes.set_task_type("seq2seq-lm")
    assert episodes[0]["support"]["labels"].shape[0] == 2
    episodes.set_task_type("causal-lm")
    assert episodes.task_type == "seq2seq-lm"  # the first word stands
    with pytest.raises(EpisodeError, match="task_type='seq2seq' is unknown.*Did you mean 'seq2seq-lm'"):
        episodes.set_task_type("seq2seq")


class Family:
    """An endless family of rows: y = index x."""

    def task(self, seed: int, epoch: int, index: int) -> dict[str, Any]:
        rows = [{"x": x, "y": index * x} for x in np.random.default_rng([seed, epoch, index]).random(4).tolist()]
        return {
            "support": rows[:2],
            "query": {"x": [r["x"] for r in rows[2:]], "y": [r["y"] for r in rows[2:]]},
            "task": index,
        }


def test_a_generator_of_rows() -> None:
    episodes = EpisodeDataset(Family(), input_column="x", target_column="y", task_type="regression", length=7)
    assert len(episodes) == 7
    assert episodes[3]["task"] == 3
    assert torch.allclose(episodes[3]["query"]["labels"], 3 * episodes[3]["query"]["inputs"])
    assert same(episodes[(1, 2)], episodes.__getitems__([(1, 3), (1, 2)])[1])
    assert episodes.task_names == []
    assert episodes.draw((0, 0)) is None


def test_a_generator_makes_batches_at_once_where_it_can() -> None:
    calls = []

    class Many(Family):
        def tasks(self, seed: int, keys: list[tuple[int, int]]) -> list[dict[str, Any]]:
            calls.append(list(keys))
            return [self.task(seed, *key) for key in keys]

    options = {"input_column": "x", "target_column": "y", "task_type": "regression"}
    many, single = EpisodeDataset(Many(), **options), EpisodeDataset(Family(), **options)
    keys = [(0, 1), (2, 5)]
    assert all(same(a, b) for a, b in zip(many.__getitems__(keys), single.__getitems__(keys), strict=True))
    assert calls == [keys]


def test_refusals_of_generators() -> None:
    class Bare:
        def __init__(self, made: dict[str, Any]):
            self.made = made

        def task(self, seed: int, epoch: int, index: int) -> dict[str, Any]:
            return self.made

    tensor = {"inputs": torch.ones(2, 1), "labels": torch.ones(2, 1)}
    with pytest.raises(
        EpisodeError, match="Family gives rows, not tensors: pass input_column, target_column and task_type"
    ):
        EpisodeDataset(Family())[0]
    with pytest.raises(EpisodeError, match=r"Bare.task returned \['support'\]; query, task is missing"):
        EpisodeDataset(Bare({"support": tensor}))[0]
    with pytest.raises(EpisodeError, match=r"the query set of Bare has no 'labels'; it has \['inputs'\]"):
        EpisodeDataset(Bare({"support": tensor, "query": {"inputs": torch.ones(2, 1)}, "task": 0}))[0]
    with pytest.raises(
        EpisodeError, match="Family makes its own tasks: task_column, support, too_small belong to tables"
    ):
        EpisodeDataset(Family(), task_column="user", support=2, too_small="drop")
    with pytest.raises(EpisodeError, match="got the class Family, not an instance"):
        EpisodeDataset(Family)
    with pytest.raises(EpisodeError, match="task_type encode rows; pass input_column and target_column too"):
        EpisodeDataset(Family(), task_type="regression")


def test_transform_changes_tensors_and_stays_pure(number_rows: Make) -> None:
    def jitter(support: dict, query: dict, rng: np.random.Generator) -> None:
        support["inputs"] += float(rng.random())
        query["inputs"] *= 0

    rows = number_rows({"a": 9, "b": 9})
    plain, changed, again = numbers(rows), numbers(rows, transform=jitter), numbers(rows, transform=jitter)
    shift = changed[0]["support"]["inputs"] - plain[0]["support"]["inputs"]
    assert 0 < shift[0] < 1
    assert torch.allclose(shift, shift[0])
    assert changed[0]["query"]["inputs"].eq(0).all()
    assert all(same(changed[i], again[i]) for i in (1, 0, 1))  # prepared rows are not written to


def test_refusals_of_columns(number_rows: Make, text_rows: Make) -> None:
    rows = number_rows({"a": 9})
    for option in ("task_column", "input_column", "target_column"):
        with pytest.raises(
            EpisodeError,
            match=rf"{option}='usr': the rows have no column 'usr'; .* found are \['user', 'x', 'y'\]",
        ):
            numbers(rows, **{option: "usr"})
        with pytest.raises(EpisodeError, match=rf"{option} must be given; the columns found are"):
            numbers(rows, **{option: None})
    with pytest.raises(EpisodeError, match=r"label_column='lable': .*Did you mean 'label' for 'lable'"):
        EpisodeDataset.n_way(text_rows(), label_column="lable", input_column="text")
    with pytest.raises(EpisodeError, match="input_column='sentence': the rows have no column 'sentence'"):
        EpisodeDataset.n_way(text_rows(), label_column="label", input_column="sentence")
    with pytest.raises(EpisodeError, match="group_column='alphabet'"):
        EpisodeDataset.n_way(text_rows(), label_column="label", input_column="text", group_column="alphabet")


def test_refusals_of_rows(number_rows: Make) -> None:
    rows = number_rows({"a": 9})
    with pytest.raises(
        EpisodeError, match=r"a DatasetDict with the parts \['train'\]; pass one of them, such as rows\['train'\]"
    ):
        numbers(DatasetDict(train=rows))
    with pytest.raises(EpisodeError, match="an IterableDataset, which cannot be indexed"):
        numbers(rows.to_iterable_dataset())
    with pytest.raises(EpisodeError, match="got list. Dataset.from_list makes one"):
        numbers(rows.to_list())
    with pytest.raises(EpisodeError, match="rows is empty"):
        numbers(rows.select([]))


def test_refusals_of_options(number_rows: Make, text_rows: Make, tokenizer: PreTrainedTokenizerFast) -> None:
    rows = number_rows({"a": 9, "b": 4})
    with pytest.raises(EpisodeError, match=r"1 of 2 tasks in column 'user' have fewer than the 5 rows .*'b' \(4\)"):
        numbers(rows)
    assert len(numbers(rows, too_small="drop")) == 1
    with pytest.raises(EpisodeError, match="support=0 leaves the support set empty"):
        numbers(rows, support=0)
    with pytest.raises(EpisodeError, match="query=0 leaves the query set empty"):
        numbers(rows, query=0)
    with pytest.raises(
        EpisodeError, match="task_type='regresion' is unknown; choose one of .* Did you mean 'regression'"
    ):
        numbers(rows, task_type="regresion", too_small="drop")
    with pytest.raises(EpisodeError, match="length must be a whole number of at least 1 episodes, got 0"):
        numbers(rows, length=0, too_small="drop")
    with pytest.raises(EpisodeError, match="seed must be a whole number of at least 0, got -1"):
        numbers(rows, seed=-1, too_small="drop")
    with pytest.raises(EpisodeError, match="n_way=9 is above the number of classes: column 'label' has 6"):
        EpisodeDataset.n_way(
            text_rows(), label_column="label", input_column="text", n_way=9, query=2, processing_class=tokenizer
        )
    with pytest.raises(EpisodeError, match="N-way episodes are classification; task_type='causal-lm' is not"):
        EpisodeDataset.n_way(text_rows(), label_column="label", input_column="text", query=2, task_type="causal-lm")
    with pytest.raises(EpisodeError, match="column 'x' holds .*float64.*; causal-lm needs text there"):
        numbers(rows, task_type="causal-lm", processing_class=tokenizer, too_small="drop")


def test_an_empty_cell_is_named_by_its_row() -> None:
    rows = Dataset.from_dict({"user": ["a", "a"], "x": [0.5, None], "y": [1.0, 2.0]})
    with pytest.raises(EpisodeError, match="row 1 has no value in column 'x'"):
        numbers(rows, support=1, query=1)[0]


def test_shrunk_tasks_make_ragged_batches(text_rows: Make, tokenizer: PreTrainedTokenizerFast) -> None:
    rows = Dataset.from_dict(
        {"user": ["a"] * 8 + ["b"] * 3, "text": ["hello you"] * 11, "mood": [i % 2 for i in range(11)]}
    )
    episodes = EpisodeDataset(
        rows, task_column="user", input_column="text", target_column="mood", support=4, query=4,
        processing_class=tokenizer, too_small="shrink",
    )  # fmt: skip
    batch = episodes.collate([episodes[0], episodes[1]])
    assert batch["support"]["labels"].shape == (2, 4)
    small = batch["task"].tolist().index(1)
    assert batch["support"]["labels"][small].tolist()[2:] == [-100] * 2
    assert batch["query"]["labels"][small].tolist()[1:] == [-100] * 3


def test_through_a_data_loader(text_rows: Make, tokenizer: PreTrainedTokenizerFast) -> None:
    episodes = EpisodeDataset.n_way(
        text_rows(), label_column="label", input_column="text", n_way=3, query=2, processing_class=tokenizer, length=6
    )
    sampler = EpisodeSampler(episodes)
    sampler.set_epoch(3)

    def batches(workers: int) -> Iterator[dict]:
        return iter(
            DataLoader(episodes, batch_size=4, sampler=sampler, collate_fn=episodes.collate, num_workers=workers)
        )

    first, second = batches(0)
    assert first["task"].tolist() == [0, 1, 2, 3]
    assert second["task"].tolist() == [4, 5]
    expected = collate_episodes([episodes[(3, i)] for i in range(4)], pad_token_id=tokenizer.pad_token_id)
    for batch in (first, next(batches(2))):
        for side in ("support", "query"):
            for name, tensor in expected[side].items():
                assert torch.equal(batch[side][name], tensor)


def test_pickled_dataset_gives_the_same_episodes(number_rows: Make) -> None:
    episodes = numbers(number_rows({"a": 9, "b": 9}))
    expected = episodes[0]
    assert same(pickle.loads(pickle.dumps(episodes))[0], expected)


def test_formats_of_the_caller_are_respected(number_rows: Make) -> None:
    rows = number_rows({"a": 9, "b": 9})
    expected = numbers(rows)[0]
    for kind in ("numpy", "torch", "arrow"):
        assert same(numbers(rows.with_format(kind))[0], expected)
    doubled = rows.with_transform(lambda batch: {**batch, "x": [2 * x for x in batch["x"]]} if "x" in batch else batch)
    assert torch.equal(numbers(doubled)[0]["support"]["inputs"], 2 * expected["support"]["inputs"])
