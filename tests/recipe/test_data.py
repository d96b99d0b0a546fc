"""Checks of hfmeta/recipe/data.py: every source of rows becomes disjoint parts and the right episodes."""

from __future__ import annotations

import json

import datasets
import pyarrow.parquet as pq
import pytest
from datasets import ClassLabel, Dataset, DatasetDict, Features, Value

from hfmeta.episodes import EpisodeError
from hfmeta.recipe.data import VALID_SEED_OFFSET, build_episodes, load_tables
from hfmeta.recipe.schema import DataSection
from tiny import tiny_tokenizer
from tiny_recipes import sentences, write_intents, write_omniglot, write_sentences

TEXT = "sequence-classification"


@pytest.fixture(scope="module")
def tokenizer():
    return tiny_tokenizer()


@pytest.fixture
def users(tmp_path):
    """Rows of ten users with a number and a target."""
    rows = [{"user": f"u{u}", "x": [float(u), float(n)], "y": u + n / 10} for u in range(10) for n in range(8)]
    path = tmp_path / "users.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def test_sinusoid_has_its_own_sizes_in_evaluation():
    data = DataSection(corpus="sinusoid", support=10, query=4, test_support=5, test_query=7, train_tasks=25, seed=3)
    made = build_episodes(data, "regression", None, train_seed=11)
    assert len(made.train) == 25
    assert made.train.seed == 11
    assert made.train[0]["support"]["inputs"].shape == (10, 1)
    assert made.test[0]["support"]["inputs"].shape == (5, 1)
    assert made.test[0]["query"]["inputs"].shape == (7, 1)
    assert made.valid is not None
    assert (made.test.seed, made.valid.seed) == (3, 3 + VALID_SEED_OFFSET)
    assert made.test.sha256 != made.valid.sha256
    assert (made.num_labels, made.split, made.split_sha256) == (None, None, None)
    assert build_episodes(DataSection(corpus="sinusoid", valid_tasks=0), "regression", None, 0).valid is None


def test_function_families_have_noise_and_a_form_of_sinusoid():
    sizes = {"support": 5, "query": 4, "test_support": 3, "valid_tasks": 0, "test_tasks": 8}
    plain, noisy, phase = (
        build_episodes(DataSection(corpus="function_families", **sizes, **more), "regression", None, train_seed=1)
        for more in ({}, {"noise_std": 0.3}, {"sin_form": "phase"})
    )
    assert plain.train[0]["support"]["inputs"].shape == (5, 1)
    assert plain.test[0]["support"]["inputs"].shape == (3, 1)
    assert (plain.valid, plain.num_labels, plain.split) == (None, None, None)
    assert len({made.test.sha256 for made in (plain, noisy, phase)}) == 3


def test_intents_by_published_split(tmp_path, tokenizer):
    root = str(write_intents(tmp_path))
    data = DataSection(
        corpus="clinc150", root=root, split=1, query=2, test_query=4, test_tasks=3, valid_tasks=2, max_length=5
    )
    made = build_episodes(data, TEXT, tokenizer, train_seed=0)
    assert made.num_labels == 5
    assert made.split is not None
    assert {part: tasks[0].split("_")[0] for part, tasks in made.split.items()} == {
        "train": "train",
        "valid": "valid",
        "test": "test",
    }
    episode = made.test[0]
    assert episode["support"]["labels"].shape == (5,)
    assert episode["query"]["labels"].shape == (20,)
    assert episode["query"]["input_ids"].shape[1] <= 5
    assert made.train[0]["query"]["labels"].shape == (10,)
    with pytest.raises(EpisodeError, match="split='09' is unknown"):
        build_episodes(DataSection(corpus="clinc150", root=root, split=9), TEXT, tokenizer, 0)


def test_the_quickstart_intents_ship(tokenizer):
    data = DataSection(corpus="clinc150_quickstart", query=2, test_tasks=2, valid_tasks=2)
    made = build_episodes(data, TEXT, tokenizer, 0)
    assert made.split is not None
    assert not set(made.split["train"]) & set(made.split["test"])


def test_omniglot_by_scheme_and_with_rotations(tmp_path, monkeypatch):
    monkeypatch.setenv("HFMETA_CACHE", str(tmp_path / "cache"))
    root = str(write_omniglot(tmp_path, drawers=2))
    data = DataSection(corpus="omniglot", root=root, n_way=4, query=1, image_size=12, test_rotations=False)
    made = build_episodes(data, "image-classification", None, 0)
    assert made.split is not None
    assert {part: len(tasks) for part, tasks in made.split.items()} == {"train": 1100, "valid": 100, "test": 423}
    assert made.train.source.transform is not None
    assert made.test.dataset.source.transform is None
    turned = DataSection(corpus="omniglot", root=root, query=1, image_size=12)
    assert build_episodes(turned, "image-classification", None, 0).test.dataset.source.transform is not None
    with pytest.raises(EpisodeError, match="no validation part; set valid_alphabets above 0, or valid_tasks to 0"):
        load_tables(DataSection(corpus="omniglot", root=root, split="lake", image_size=12), "image-classification")
    lake = DataSection(corpus="omniglot", root=root, split="lake", valid_tasks=0, image_size=12, query=1)
    episodes = build_episodes(lake, "image-classification", None, 0)
    draw = next(episodes.test.draws())
    number = {name: int(str(name).split("_")[1]) // 40 for name in draw.names}
    assert len(set(number.values())) == 1, "a trial of Lake's task stays within one alphabet"


@pytest.mark.parametrize("suffix", ["jsonl", "csv", "parquet"])
def test_one_file_is_split_by_class(tmp_path, tokenizer, suffix):
    path = write_sentences(tmp_path / "rows.jsonl")
    if suffix != "jsonl":
        rows = Dataset.from_list([json.loads(line) for line in path.read_text().splitlines()])
        path = tmp_path / f"rows.{suffix}"
        if suffix == "csv":
            rows.to_pandas().to_csv(path, index=False)
        else:
            pq.write_table(rows.data.table, path)
    data = DataSection(
        path=str(path), input_column="sentence", label_column="label", n_way=2, query=2,
        shares={"train": 0.5, "valid": 0.2, "test": 0.3}, test_tasks=2, valid_tasks=2,
    )  # fmt: skip
    made = build_episodes(data, TEXT, tokenizer, 0)
    assert made.split is not None
    assert {part: len(tasks) for part, tasks in made.split.items()} == {"train": 5, "valid": 2, "test": 3}
    other = build_episodes(DataSection(**{**vars(data), "split_seed": 1}), TEXT, tokenizer, 0)
    assert other.split_sha256 != made.split_sha256
    without = build_episodes(DataSection(**{**vars(data), "valid_tasks": 0}), TEXT, tokenizer, 0)
    assert without.valid is None
    assert without.split is not None
    assert sorted(without.split) == ["test", "train"]


def test_a_csv_of_digits_stays_text(tmp_path, tokenizer):
    path = tmp_path / "rows.csv"
    path.write_text(
        "text,label\n" + "".join(f"{10 * k + n},{k}\n" for k in range(8) for n in range(4)), encoding="utf-8"
    )
    data = DataSection(path=str(path), input_column="text", label_column="label", n_way=2, query=2, valid_tasks=0,
                       shares={"train": 0.5, "test": 0.5})  # fmt: skip
    assert build_episodes(data, TEXT, tokenizer, 0).train[0]["support"]["input_ids"].shape[0] == 2


def test_tasks_of_users(users):
    data = DataSection(path=str(users), task_column="user", input_column="x", target_column="y", support=3, query=2,
                       test_support=2, test_query=4, valid_tasks=1, test_tasks=1)  # fmt: skip
    made = build_episodes(data, "regression", None, 0)
    assert len(made.train) == 8
    assert made.train[0]["support"]["inputs"].shape == (3, 2)
    assert made.test[0]["query"]["inputs"].shape == (4, 2)
    assert made.num_labels is None


def test_classes_of_all_parts_get_an_output(tmp_path, tokenizer):
    rows = [
        {"user": u, "text": text, "mood": f"mood_{u}" if n else "calm"}
        for u in range(6)
        for n, text in enumerate(sentences(u, 6))
    ]
    path = tmp_path / "rows.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    data = DataSection(path=str(path), task_column="user", input_column="text", target_column="mood", support=3, query=3,
                       valid_tasks=0, test_tasks=1, shares={"train": 0.5, "test": 0.5})  # fmt: skip
    made = build_episodes(data, TEXT, tokenizer, 0)
    assert made.num_labels == 7
    assert made.train.encoder.to_dict()["label_names"] == ["calm", *(f"mood_{u}" for u in range(6))]


def test_files_by_part_must_not_share_tasks(tmp_path, tokenizer):
    first, second = write_sentences(tmp_path / "a.jsonl", classes=4), write_sentences(tmp_path / "b.jsonl", classes=8)
    rows = [line for line in second.read_text().splitlines() if int(json.loads(line)["label"].split("_")[1]) >= 4]
    second.write_text("\n".join(rows) + "\n", encoding="utf-8")
    options = {
        "input_column": "sentence",
        "label_column": "label",
        "n_way": 2,
        "query": 1,
        "valid_tasks": 0,
        "test_tasks": 1,
    }
    made = build_episodes(DataSection(path={"train": str(first), "test": str(second)}, **options), TEXT, tokenizer, 0)
    assert made.split is not None
    assert made.split["test"] == [f"intent_{k}" for k in range(4, 8)]
    with pytest.raises(EpisodeError, match="'train' and 'test' share 4"):
        build_episodes(DataSection(path={"train": str(first), "test": str(first)}, **options), TEXT, tokenizer, 0)


class TestDatasets:
    """`data.dataset`: a folder that datasets.load_dataset reads, or a hub id."""

    @pytest.fixture
    def folder(self, tmp_path):
        for part, first in (("train", 0), ("validation", 4), ("test", 8)):
            rows = [
                {"sentence": text, "label": f"intent_{k}"} for k in range(first, first + 4) for text in sentences(k, 5)
            ]
            Dataset.from_list(rows).to_parquet(tmp_path / "set" / f"{part}.parquet")
        return str(tmp_path / "set")

    def section(self, folder, **changes) -> DataSection:
        options = {"input_column": "sentence", "label_column": "label", "n_way": 2, "query": 1, "valid_tasks": 1}
        return DataSection(**{"dataset": folder, "test_tasks": 1, **options, **changes})

    def test_splits_by_name(self, folder, tokenizer):
        parts = {"train": "train", "valid": "validation", "test": "test"}
        made = build_episodes(self.section(folder, parts=parts), TEXT, tokenizer, 0)
        assert made.split is not None
        assert made.split["valid"] == [f"intent_{k}" for k in range(4, 8)]
        shares = {"train": 0.5, "valid": 0.25, "test": 0.25}
        with pytest.raises(EpisodeError, match="classes"):
            build_episodes(self.section(folder, shares=shares), TEXT, tokenizer, 0)
        made = build_episodes(
            self.section(folder, shares={"train": 0.5, "test": 0.5}, valid_tasks=0), TEXT, tokenizer, 0
        )
        assert made.split is not None
        assert sorted(made.split["train"] + made.split["test"]) == [f"intent_{k}" for k in range(4)]

    def test_unknown_splits_and_columns(self, folder):
        with pytest.raises(EpisodeError, match=r"data\.parts: .* has no split validaton \(did you mean validation\?\)"):
            load_tables(self.section(folder, parts={"train": "train", "valid": "validaton", "test": "test"}), TEXT)
        with pytest.raises(EpisodeError, match=r"data\.label_column: no column intent \(known: label, sentence\)"):
            load_tables(self.section(folder, label_column="intent"), TEXT)

    def test_what_cannot_be_loaded(self, tmp_path):
        with pytest.raises(EpisodeError, match=r"data\.dataset: nobody/nothing could not be loaded"):
            load_tables(self.section("nobody/nothing"), TEXT)

    def test_class_labels_keep_their_names(self, tokenizer, monkeypatch):
        features = Features(
            {"user": Value("int64"), "text": Value("string"), "mood": ClassLabel(names=["bad", "good"])}
        )
        rows = [{"user": u, "text": text, "mood": u % 2} for u in range(4) for text in sentences(u, 4)]
        found = DatasetDict({"only": Dataset.from_list(rows, features=features)})
        monkeypatch.setattr(datasets, "load_dataset", lambda *_, **__: found)
        data = DataSection(dataset="x", task_column="user", input_column="text", target_column="mood", support=2, query=2,
                           shares={"train": 0.5, "test": 0.5}, valid_tasks=0)  # fmt: skip
        made = build_episodes(data, TEXT, tokenizer, 0)
        assert made.num_labels == 2
        assert made.train.encoder.to_dict()["label_names"] == ["bad", "good"]
