"""What one would do without meta-learning, on the test tasks of the recipes in this folder.

    HFMETA_DATA=<folder of the corpora> python recipes/omniglot/ordinary_training.py recipes/omniglot/results

trains the network of four convolutions as an ordinary classifier of all training characters (each quarter turn of one is a class)
and keeps its features. On the tasks of `maml_<setting>.yaml` they meet nearest class mean, logistic regression and ordinary
fine-tuning, whose options are chosen on the validation tasks. It writes `ordinary_training_<setting>.json` for each setting, and the
classifier into --output; one that is there is used as it is. Images are normalised by stored statistics of the training images, so
these rows are not transductive, as MAML's are.
"""

from __future__ import annotations

import argparse
import json
import shlex
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from datasets import Dataset
from torch import Tensor
from transformers import Trainer, TrainingArguments

from hfmeta.corpora import load_omniglot, omniglot_splits
from hfmeta.inner.errors import HfmetaError
from hfmeta.learner.statistics import RunningStatistics, fix_statistics
from hfmeta.models import load_model
from hfmeta.recipe import build, parse_recipe
from hfmeta.recipe.results import baseline_entries, device_name, versions
from hfmeta.recipe.running import run_baselines
from hfmeta.reporting.files import write_json

HERE = Path(__file__).resolve().parent
SETTINGS = ("5way_1shot", "5way_5shot", "20way_1shot")
CONFIG = {"pooling": "max", "readout": "flatten", "norm_scale": True, "head_init_std": 0.02}
BATCH, RATE = 128, 1e-3
BASELINES = (
    "baselines=[{frozen_ncm: {metric: [euclidean, cosine]}}, {frozen_logreg: {C: [0.1, 1.0, 10.0]}}, "
    "{fine_tuning: {steps: [10, 50], lr: [3.0e-4, 1.0e-3, 3.0e-3]}}]"
)
STATISTICS_OF = 2000  # training images


class TurnedDrawings(torch.utils.data.Dataset[dict[str, Any]]):
    """Every drawing in its four quarter turns; the class is character and turn.

    Args:
        rows: drawings, from `omniglot_splits`.
    """

    def __init__(self, rows: Dataset):
        self.pixels = torch.from_numpy(np.array(rows.with_format("numpy")["image"]))
        _, found = np.unique(np.array(rows["character"]), return_inverse=True)
        self.characters = found.tolist()
        self.classes = 4 * (max(self.characters) + 1)

    def __len__(self) -> int:
        return 4 * len(self.pixels)

    def __getitem__(self, index: int) -> dict[str, Any]:
        row, turn = divmod(index, 4)
        pixels = torch.rot90(self.pixels[row].float() / 255, turn)[None]
        return {"pixel_values": pixels, "labels": 4 * self.characters[row] + turn}


def train_classifier(rows: Dataset, steps: int, seed: int, output: Path) -> dict[str, Any]:
    """Train the network on all training characters and save it with fixed statistics; returns what is to be told of the run.

    Args:
        rows: training part of the split.
        steps: steps of 128 images.
        seed: of the weights and of the order of images.
        output: folder of the model and of `training.json`.
    """
    drawings = TurnedDrawings(rows)
    config = {**CONFIG, "statistics": "task", "statistics_momentum": 1.0}  # one pass tells all
    model = load_model(
        "hfmeta-conv4", "image-classification", num_labels=drawings.classes, config_overrides=config, seed=seed
    )
    arguments = TrainingArguments(
        output_dir=str(output),
        max_steps=steps,
        per_device_train_batch_size=BATCH,
        learning_rate=RATE,
        lr_scheduler_type="cosine",
        save_strategy="no",
        logging_steps=max(1, steps // 20),
        report_to=[],
        seed=seed,
        disable_tqdm=True,
        dataloader_pin_memory=False,
    )
    started = time.perf_counter()
    trainer = Trainer(model=model, args=arguments, train_dataset=drawings)
    trainer.train()
    model.cpu().eval()
    chosen = np.random.default_rng(seed).choice(len(drawings), size=min(STATISTICS_OF, len(drawings)), replace=False)
    images = torch.stack([drawings[int(index)]["pixel_values"] for index in chosen])
    fix_statistics(model, statistics_of(model, images))
    model.save_pretrained(output)
    told = {
        "classes": drawings.classes,
        "steps": steps,
        "images_per_step": BATCH,
        "learning_rate": RATE,
        "seed": seed,
        "last_training_loss": next((log["loss"] for log in reversed(trainer.state.log_history) if "loss" in log), None),
        "seconds": round(time.perf_counter() - started, 1),
    }
    write_json(output / "training.json", told)
    return told


def statistics_of(model: Any, images: Tensor) -> dict[str, Tensor]:
    """Mean and variance of every channel over the images [B, c, h, w], by the names of the model's buffers."""
    found = RunningStatistics(model, tasks=1)
    values = {name: value.detach()[None] for name, value in model.named_parameters()}
    found.see(values, {"pixel_values": images[None]}, None)
    return {name: value[0] for name, value in found.values.items()}


def score(setting: str, classifier: Path, told: dict[str, Any], words: Sequence[str]) -> dict[str, Any]:
    """Results of the baselines on the test tasks of a setting.

    Args:
        setting: such as "5way_1shot".
        classifier: folder of the trained network.
        told: what `train_classifier` told.
        words: overrides of the recipe.
    """
    section = f"model={{name: {classifier.resolve()}, task: image-classification}}"
    built = build(parse_recipe(str(HERE / f"maml_{setting}.yaml"), [section, BASELINES, *words]))
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    scores = run_baselines(built, device)
    entries, paired = baseline_entries(scores, scores["fine_tuning"].final, "accuracy")
    episodes = built.episodes.test
    return {
        "training": told,
        "versions": versions(),
        "device": device_name(device),
        "episodes": {"count": len(episodes), "sha256": episodes.sha256, "seed": episodes.seed},
        "baselines": entries,
        "fine_tuning_minus": {name: entry for name, entry in paired.items() if name != "fine_tuning"},
    }


def main(arguments: list[str] | None = None) -> list[Path]:
    """Train where needed, score every setting, write; returns the files written."""
    words = sys.argv[1:] if arguments is None else arguments
    options = _parser().parse_args(words)
    output: Path = options.output
    if (output / "training.json").is_file():
        told = json.loads((output / "training.json").read_text(encoding="utf-8"))
    else:
        rows = omniglot_splits(load_omniglot(options.data))["train"]
        told = train_classifier(rows, options.steps, options.seed, output)
    root = [] if options.data is None else [f"data.root={options.data}"]
    written = []
    options.target.mkdir(parents=True, exist_ok=True)
    for setting in options.settings:
        path = options.target / f"ordinary_training_{setting}.json"
        command = shlex.join(["python", "recipes/omniglot/ordinary_training.py", *words])
        write_json(path, {"command": command, **score(setting, output, told, [*root, *options.set])})
        written.append(path)
    return written


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])  # type: ignore[union-attr]
    parser.add_argument("target", type=Path, help="folder of the results")
    parser.add_argument("--output", type=Path, default=Path("out/omniglot/classifier"), help="folder of the classifier")
    parser.add_argument("--data", help="folder that holds omniglot/omniglot.parquet (default: HFMETA_DATA)")
    parser.add_argument("--steps", type=int, default=4000, help=f"training steps of {BATCH} images")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--settings", nargs="+", default=list(SETTINGS), choices=SETTINGS)
    parser.add_argument("--set", nargs="*", default=[], metavar="WORD", help="overrides of the recipes")
    return parser


if __name__ == "__main__":
    try:
        print(*main(), sep="\n")
    except HfmetaError as error:
        sys.exit(f"error: {error}")
