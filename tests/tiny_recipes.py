"""Small recipes, and small data in the layouts that recipes read, for the tests of recipe room, command line and recipe files.

What a recipe means is checked in tests/recipe; here are only files. Everything is written where the caller says.
"""

from __future__ import annotations

import copy
import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import yaml
from PIL import Image

from hfmeta.corpora.omniglot import MINIMAL
from tiny import WORDS, tiny_bert, tiny_t5, tiny_tokenizer

SINUSOID: dict[str, Any] = {
    "model": {"name": "hfmeta-mlp", "task": "regression", "config": {"hidden_sizes": [8, 8], "init_std": 0.3}},
    "algorithm": {"name": "maml", "inner_steps": 2, "inner_lr": 0.02},
    "data": {"corpus": "sinusoid", "support": 5, "query": 5, "train_tasks": 16, "valid_tasks": 4, "test_tasks": 8},
    "training": {
        **{"output_dir": "out", "max_steps": 4, "per_device_train_batch_size": 4, "learning_rate": 0.01},
        **{"save_strategy": "no", "report_to": "none", "disable_tqdm": True},
    },
    "metrics": ["mse"],
}
"""A recipe that trains in a second."""


def write_recipe(folder: Path, sections: dict[str, Any] = SINUSOID, name: str = "recipe.yaml", **changes: Any) -> Path:
    """Write a recipe whose `training.output_dir` lies beside it.

    Args:
        changes: section -> keys to set over those of `sections` (a list or None replaces the section).
    """
    tree = copy.deepcopy(sections)
    for section, values in changes.items():
        tree[section] = {**tree.get(section, {}), **values} if isinstance(values, dict) else values
    if tree.get("training", {}).get("output_dir") == "out":
        tree["training"]["output_dir"] = str(folder / "out")
    path = folder / name
    path.write_text(yaml.safe_dump(tree, sort_keys=False), encoding="utf-8")
    return path


def text_recipe(model: Path, data: Path) -> dict[str, Any]:
    """Sections of an N-way recipe on a file of sentences; every task makes its own head."""
    return {
        "model": {"name": str(model), "task": "sequence-classification"},
        "algorithm": {"name": "maml", "inner_steps": 1, "inner_lr": 0.1, "head": "prototype", "adapt": "head"},
        "data": {
            **{"path": str(data), "input_column": "sentence", "label_column": "label", "n_way": 3, "k_shot": 2},
            **{"query": 2, "train_tasks": 8, "valid_tasks": 3, "test_tasks": 4},
            "shares": {"train": 0.4, "valid": 0.3, "test": 0.3},
        },
        "training": {**SINUSOID["training"], "max_steps": 2, "per_device_train_batch_size": 2, "learning_rate": 1e-3},
        "metrics": ["accuracy", "loss"],
    }


def save_tiny_bert(folder: Path) -> Path:
    """A tiny BERT with its tokenizer, as a stock folder."""
    tiny_bert(num_labels=3).save_pretrained(folder)
    tiny_tokenizer().save_pretrained(folder)
    return folder


def save_tiny_t5(folder: Path) -> Path:
    """A tiny T5 with its tokenizer, as a stock folder."""
    tiny_t5(num_layers=1, num_decoder_layers=1).save_pretrained(folder)
    tiny_tokenizer().save_pretrained(folder)
    return folder


def sentences(label: int, count: int) -> list[str]:
    """Sentences of a class: its own two words among others."""
    rng = np.random.default_rng([label, count])
    own = [WORDS[label % len(WORDS)], WORDS[(7 * label + 3) % len(WORDS)]]
    return [" ".join([*own, *rng.choice(WORDS, size=3), str(number % 10)]) for number in range(count)]


def write_sentences(path: Path, classes: int = 10, each: int = 6) -> Path:
    """A .jsonl of sentences with labels `intent_0`, `intent_1`, ..."""
    rows = [{"sentence": text, "label": f"intent_{k}"} for k in range(classes) for text in sentences(k, each)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def write_intents(root: Path, classes: int = 14, each: int = 12) -> Path:
    """Both intent corpora in their published layout, split 01 alone: `classes` classes a part."""
    for corpus in ("BANKING77", "OOS"):
        folder = root / "intent" / corpus / "few_shot" / "01"
        folder.mkdir(parents=True)
        for number, part in enumerate(("train", "valid", "test")):
            labels = [f"{part}_{k}" for k in range(classes)]
            rows = [
                {"sentence": f"{text} {label[-1]}", "label": label}
                for k, label in enumerate(labels)
                for text in sentences(number * classes + k, each)
            ]
            (folder / f"labels.{part}.txt").write_text("\n".join(labels) + "\n", encoding="utf-8")
            (folder / f"{part}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return root


def write_omniglot(root: Path, characters: int = 1623, drawers: int = 2) -> Path:
    """`omniglot/omniglot.parquet` with as many characters as the real one, few drawings each, 12 x 12 pixels, alphabets of 40."""
    names = dict(enumerate(sorted({name for alphabets in MINIMAL.values() for name in alphabets})))
    rng = np.random.default_rng(0)
    drawings = []
    for _ in range(50):
        buffer = io.BytesIO()
        Image.fromarray(rng.integers(0, 2, size=(12, 12)).astype(bool)).save(buffer, format="PNG")
        drawings.append(buffer.getvalue())
    rows = [
        {
            "image": {"bytes": drawings[(character + drawer) % len(drawings)], "path": "drawing.png"},
            "alphabet": names.get(character // 40, f"alphabet_{character // 40}_{character < 964}"),
            "character": f"character_{character}",
            "drawer": drawer + 1,
            "part": "background" if character < 964 else "evaluation",
        }
        for character in range(characters)
        for drawer in range(drawers)
    ]
    folder = root / "omniglot"
    folder.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.Table.from_pylist(rows), folder / "omniglot.parquet")
    return root
