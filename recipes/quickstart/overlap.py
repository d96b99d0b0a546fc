"""Do similar users get similar structures? On the people of users.py, where tastes alone decide what is said.

    python recipes/quickstart/overlap.py --output out/quickstart/overlap

A learner is trained as in the quickstart; sixty strangers prune on fourteen of their rows each, and the overlap of every two
structures is set against the share of replies that the two have in common. It writes overlap.json (Spearman's correlation with its
95 % interval over users, for several ways to fine-tune before pruning) and overlap.png. One minute on one core.
"""

from __future__ import annotations

import argparse
import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import torch
import users
from datasets import Dataset

from hfmeta import EpisodeDataset, MetaLearner
from hfmeta.comparison.similarity import Resemblance, draw, resemblance
from hfmeta.learner.trajectory import Trajectory
from hfmeta.metrics import pairwise_overlap
from hfmeta.reporting.files import write_json

WAYS: dict[str, dict[str, Any]] = {
    "Adam, 2 passes": {"prune_lr": 0.003, "prune_steps": 2},
    "Adam, 8 passes": {"prune_lr": 0.003, "prune_steps": 8},
    "plain steps, 10 passes": {"prune_lr": None, "prune_steps": 10},
}
"""How users fine-tune before they prune: options of CMAML."""


def structures(
    learner: MetaLearner, strangers: EpisodeDataset, options: dict[str, Any]
) -> dict[str, dict[str, torch.Tensor]]:
    """User -> the masks of what they keep of the thinnable layers, after fine-tuning on their support rows.

    Args:
        learner: with private networks; its options are put back afterwards.
        strangers: one episode of each user.
        options: of the pruning, in place of the learner's.
    """
    private = learner.private
    assert private is not None
    before, found = private.algorithm, {}
    private.algorithm = dataclasses.replace(before, **options)
    try:
        with torch.no_grad():
            for index in range(len(strangers.task_names)):
                draw_of = strangers.draw((0, index))
                assert draw_of is not None
                batch = strangers.collate(strangers.episodes([(0, index)]))
                _, masks = Trajectory(learner, batch["support"], None).carve(private.algorithm.prune_steps)
                found[str(draw_of.names[0])] = {name: masks[name][0] for name in private.thinnable}
    finally:
        private.algorithm = before
    return found


def compare(learner: MetaLearner, count: int = 60, seed: int = 2) -> dict[str, Resemblance]:
    """Overlap against likeness, for each of `WAYS`.

    Args:
        learner: that `users.train` made.
        count: strangers.
        seed: who they are.
    """
    rows = users.people(count, seed)
    said: dict[str, list[str]] = {}
    for row in rows:
        if row["reply"] not in said.setdefault(row["user"], []):
            said[row["user"]].append(row["reply"])
    columns: dict[str, Any] = {"task_column": "user", "input_column": "said", "target_column": "reply"}
    columns |= {"task_type": "seq2seq-lm", "processing_class": learner.processing_class}
    strangers = EpisodeDataset(Dataset.from_list(rows), support=14, query=1, **columns)
    found = {}
    for way, options in WAYS.items():
        masks = structures(learner, strangers, options)
        overlap = pairwise_overlap(list(masks.values()))
        found[way] = resemblance(said, list(masks), overlap, unit="sentence")
    return found


def main(words: list[str] | None = None) -> dict[str, Any]:
    """Train, prune sixty strangers, write figure and plot; returns what overlap.json holds."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, default=Path("out/quickstart/overlap"))
    parser.add_argument("--steps", type=int, default=users.STEPS, help="outer steps of the training")
    parser.add_argument("--strangers", type=int, default=60)
    options = parser.parse_args(words)
    learner, scores = users.train(options.output / "learner", options.steps)
    found = compare(learner.eval(), options.strangers)
    options.output.mkdir(parents=True, exist_ok=True)
    results = {
        "command": f"python recipes/quickstart/overlap.py --steps {options.steps} --strangers {options.strangers}",
        "seed": 0,
        "loss": {"before": scores["eval_query_loss_before"], "after": scores["eval_query_loss"], "tasks": 20},
        "ways": {way: WAYS[way] | one.as_dict() | {"overlap": float(one.overlap.mean())} for way, one in found.items()},
    }
    write_json(options.output / "overlap.json", results)
    shown = {way: one for way, one in found.items() if np.isfinite(one.correlation.rho)}
    draw(shown, options.output / "overlap.png", "replies")
    for way, one in found.items():
        rho = one.correlation
        print(
            f"{way}: rank correlation {rho.rho:.2f} [{rho.low:.2f}, {rho.high:.2f}] over {rho.pairs} pairs of strangers"
        )
    return results


if __name__ == "__main__":
    main()
