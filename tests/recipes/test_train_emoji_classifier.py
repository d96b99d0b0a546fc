"""Runs recipes/moji/train_emoji_classifier.py on small files."""

from __future__ import annotations

import json

import pytest
from datasets import Dataset

from hfmeta.inner.errors import HfmetaError
from hfmeta.metrics import emoji_accuracy
from recipes.scripts import backbone, script

EMOJIS = ["😂", "❤️", "😭"]
recipe = script("moji/train_emoji_classifier.py")


def texts(each=12):
    return [
        {"text": f"{word} number {n}", "label": emoji}
        for word, emoji in zip(("yes", "good", "bad"), EMOJIS, strict=True)
        for n in range(each)
    ]


def test_it_trains_a_stock_model_and_says_how_good_it_is(tmp_path):
    rows, output = tmp_path / "rows.jsonl", tmp_path / "classifier"
    rows.write_text("\n".join(json.dumps(row) for row in texts()), encoding="utf-8")
    arguments = ["--rows", str(rows), "--model", backbone(tmp_path / "base"), "--output", str(output)]
    results = recipe.main([*arguments, "--epochs", "30", "--learning-rate", "5e-3", "--held-out", "0.25"])
    assert results["texts"] == {"train": 27, "test": 9}
    assert results["emojis"] == sorted(["😂", "❤", "😭"])
    assert results["held_out"]["accuracy"] == 1.0
    assert json.loads((output / "results.json").read_text(encoding="utf-8"))["held_out"]["top5"] == 1.0
    found = emoji_accuracy(["yes yes", "bad bad"], ["😂", "😭"], str(output), label_set=EMOJIS)
    assert (found.top1, found.emojis) == (1.0, 3)


def test_mojitalk_files(tmp_path):
    for name in ("train", "dev", "test"):
        (tmp_path / f"{name}.ori").write_text("😂 what a day it was\n❤ i miss you so much\n", encoding="utf-8")
        (tmp_path / f"{name}.rep").write_text("so funny indeed\ncome back soon\n", encoding="utf-8")
    (tmp_path / "vocab.ori").write_text("<unk>\nwhat\n😂\n❤\n", encoding="utf-8")
    rows = recipe.labelled(recipe.from_mojitalk(str(tmp_path)))
    assert rows.features["label"].names == ["❤", "😂"]
    assert len(rows) == 6


def test_every_emoji_is_held_out_alike_and_no_text_is_in_both():
    rows = recipe.labelled(Dataset.from_list(texts(10) + texts(10)))
    train, test = recipe.split_rows(rows, 0.2, seed=3)
    assert [
        test["label"].count(label) if isinstance(test["label"], list) else list(test["label"]).count(label)
        for label in range(3)
    ] == [4, 4, 4]
    assert not set(train["text"]) & set(test["text"])
    again = recipe.split_rows(rows, 0.2, seed=3)[1]
    assert list(again["text"]) == list(test["text"])
    assert list(recipe.split_rows(rows, 0.2, seed=4)[1]["text"]) != list(test["text"])


def test_errors(tmp_path):
    with pytest.raises(HfmetaError, match="expected an existing file ending in .jsonl, .csv, .parquet"):
        recipe.from_file(str(tmp_path / "rows.txt"))
    (tmp_path / "rows.jsonl").write_text('{"text": "a"}', encoding="utf-8")
    with pytest.raises(HfmetaError, match="expected the columns text and label; found text"):
        recipe.from_file(str(tmp_path / "rows.jsonl"))
    with pytest.raises(HfmetaError, match="at least two emojis to choose from: the rows have 1"):
        recipe.labelled(Dataset.from_list([{"text": "a", "label": "❤"}, {"text": "b", "label": "❤️"}]))
    rows = recipe.labelled(Dataset.from_list(texts(2)))
    with pytest.raises(HfmetaError, match="--held-out must lie between 0 and 1: received 1.5"):
        recipe.split_rows(rows, 1.5, 0)
    with pytest.raises(HfmetaError, match="no emoji has enough different texts"):
        recipe.split_rows(rows, 0.1, 0)
