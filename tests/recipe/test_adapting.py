"""Checks of hfmeta/recipe/adapting.py."""

from __future__ import annotations

import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoModelForSequenceClassification

from hfmeta.inner.errors import HfmetaError
from hfmeta.recipe import run_recipe
from hfmeta.recipe.adapting import adapt_checkpoint
from tiny_recipes import save_tiny_bert, sentences, text_recipe, write_recipe, write_sentences

ROWS = [{"sentence": text, "label": label} for k, label in enumerate(("yes", "no")) for text in sentences(k, 3)]


@pytest.fixture(scope="module")
def learner(tmp_path_factory):
    room = tmp_path_factory.mktemp("learner")
    sections = text_recipe(save_tiny_bert(room / "bert"), write_sentences(room / "rows.jsonl"))
    run_recipe(write_recipe(room, sections))
    return str(room / "out")


def write_support(path, rows=ROWS):
    if path.suffix == ".jsonl":
        path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    elif path.suffix == ".csv":
        lines = [",".join(rows[0]), *(",".join(row.values()) for row in rows)]
        path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    else:
        pq.write_table(pa.Table.from_pylist(rows), path)
    return path


def test_three_formats_give_the_same_stock_model(learner, tmp_path):
    weights = []
    for suffix in ("jsonl", "csv", "parquet"):
        support = write_support(tmp_path / f"support.{suffix}")
        done = adapt_checkpoint(learner, support, tmp_path / suffix)
        assert done["rows"] == 6
        assert done["steps"] == 1
        assert done["classes"] == ["no", "yes"]
        assert done["open"] == f"AutoModelForSequenceClassification.from_pretrained('{tmp_path / suffix}')"
        weights.append(load_file(tmp_path / suffix / "model.safetensors"))
    assert all(torch.equal(weights[0][name], other[name]) for other in weights[1:] for name in other)
    model = AutoModelForSequenceClassification.from_pretrained(tmp_path / "csv")
    assert model.config.id2label == {0: "no", 1: "yes"}
    assert not any(name.startswith("hfmeta") for name in map(str, (tmp_path / "csv").iterdir()))


def test_steps_change_the_result(learner, tmp_path):
    support = write_support(tmp_path / "support.jsonl")
    results = []
    for steps in (0, 5):
        assert adapt_checkpoint(learner, support, tmp_path / f"{steps}", steps=steps)["steps"] == steps
        results.append(load_file(tmp_path / f"{steps}" / "model.safetensors")["classifier.weight"])
    assert not torch.equal(*results)


@pytest.mark.parametrize(
    ("name", "rows", "message"),
    [
        ("support.jsonl", [{"text": "a", "label": "b"}], "no column 'sentence'"),
        ("support.jsonl", [{"sentence": "a"}], "no column 'label'"),
        ("support.jsonl", [], "has no rows"),
        ("support.jsonl", [{"sentence": 3, "label": "b"}], "sentence"),
        ("support.jsonl", [{"sentence": None, "label": "b"}], "no value in column 'sentence'"),
        ("support.txt", None, "ends in .jsonl, .csv, .parquet"),
        ("support.csv", None, "no such file"),
    ],
)
def test_refused_rows_leave_no_folder(learner, tmp_path, name, rows, message):
    if rows is not None:
        write_support(tmp_path / name, rows)
    before = sorted(tmp_path.iterdir())
    with pytest.raises(HfmetaError, match=message):
        adapt_checkpoint(learner, tmp_path / name, tmp_path / "adapted")
    assert sorted(tmp_path.iterdir()) == before


def test_an_output_folder_in_use_is_refused(learner, tmp_path):
    support = write_support(tmp_path / "support.jsonl")
    (tmp_path / "used").mkdir()
    (tmp_path / "used" / "notes.txt").write_text("mine", encoding="utf-8")
    (tmp_path / "file").write_text("mine", encoding="utf-8")
    for name in ("used", "file"):
        with pytest.raises(HfmetaError, match="exists and is not an empty folder"):
            adapt_checkpoint(learner, support, tmp_path / name)
    assert [p.name for p in (tmp_path / "used").iterdir()] == ["notes.txt"]
    (tmp_path / "empty").mkdir()
    adapt_checkpoint(learner, support, tmp_path / "empty")
    assert (tmp_path / "empty" / "config.json").is_file()


def test_regression_reads_numbers(tmp_path):
    run_recipe(write_recipe(tmp_path))
    (tmp_path / "points.csv").write_text("x,y\n0.5,1\n-2,0.25\n", encoding="utf-8")
    done = adapt_checkpoint(str(tmp_path / "out"), tmp_path / "points.csv", tmp_path / "adapted")
    assert done["classes"] is None
    assert done["open"] == f"AutoModel.from_pretrained('{tmp_path / 'adapted'}'), after import hfmeta"
    (tmp_path / "other.csv").write_text("a,b\n1,2\n", encoding="utf-8")
    with pytest.raises(HfmetaError, match="no columns 'x', 'y'"):
        adapt_checkpoint(str(tmp_path / "out"), tmp_path / "other.csv", tmp_path / "again")


def test_an_adapter_is_saved_as_one(tmp_path):
    model = save_tiny_bert(tmp_path / "bert")
    sections = text_recipe(model, write_sentences(tmp_path / "rows.jsonl"))
    sections |= {
        "adapter": {"type": "lora", "r": 2, "target_modules": ["query"]},
        "algorithm": {"name": "maml", "inner_lr": 0.1, "order": 1},
    }
    run_recipe(write_recipe(tmp_path, sections))
    rows = [{"sentence": text, "label": f"{k}"} for k in range(3) for text in sentences(k, 2)]
    done = adapt_checkpoint(str(tmp_path / "out"), write_support(tmp_path / "s.jsonl", rows), tmp_path / "adapted")
    assert done["open"].startswith("peft.PeftModel.from_pretrained(<base model>, ")
    assert (tmp_path / "adapted" / "adapter_config.json").is_file()
