"""Memory of CMAML at the paper's size: 1,200 training users of 120 utterances each, with their structures, in joint training.

    python -m benchmarks.memory --json benchmarks/results/memory.json

The model has the paper's widths and 18,000 words, the users' rows are made up, of 100 words with replies of 15, and their structures
are random: what is measured is the peak of the resident memory, which depends on none of this. After rows, model and structures are in
memory come two outer steps of two users each, one user a pass, with Adam. Pruning more users or taking more steps holds no more: masks
are kept as bits in one array and a pass frees what it took.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path

import numpy as np
import torch
from datasets import Dataset
from transformers import AutoConfig, AutoModelForSeq2SeqLM

from benchmarks.common import header, peak_mb, write_report
from hfmeta import Cmaml, EpisodeDataset, MetaLearner
from hfmeta.models.word_tokenizer import word_tokenizer

USERS, UTTERANCES, DIALOGUE, CONTEXT, REPLY, VOCABULARY = 1200, 120, 15, 100, 15, 18_000
"""Users, rows of each, rows of a dialogue (the query), words of a context and of a reply, words known."""


def rows() -> Dataset:
    """A table of USERS x UTTERANCES rows."""

    dice = np.random.default_rng(0)
    known = np.array([f"w{w}" for w in range(VOCABULARY)])
    made = []
    for number in range(USERS * UTTERANCES):
        words = known[dice.integers(VOCABULARY, size=CONTEXT + REPLY)]
        row = {"user": f"user {number // UTTERANCES}", "dialogue": f"{number // DIALOGUE}"}
        made.append({**row, "context": " ".join(words[:CONTEXT]), "reply": " ".join(words[CONTEXT:])})
    return Dataset.from_list(made)


def learner_of(table: Dataset) -> tuple[MetaLearner, EpisodeDataset]:
    """The paper's model, and episodes of one dialogue against the others."""
    tokenizer = word_tokenizer([" ".join(f"w{w}" for w in range(VOCABULARY))])
    config = AutoConfig.for_model("hfmeta-seq2spg", vocab_size=len(tokenizer), dropout=0.0)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = AutoModelForSeq2SeqLM.from_config(config)
    episodes = EpisodeDataset(
        table,
        task_column="user",
        input_column="context",
        target_column="reply",
        group_column="dialogue",
        query=1,
        processing_class=tokenizer,
        task_type="seq2seq-lm",
    )
    return MetaLearner(model, Cmaml(tasks_per_pass=1, inner_lr=0.1)), episodes


def give_masks(learner: MetaLearner, names: list[str]) -> None:
    """Random structures for all users, as pruning would leave them."""
    private = learner.private
    assert private is not None
    private.begin(names)
    dice = torch.Generator().manual_seed(0)
    for number in range(len(names)):
        masks = {name: torch.rand(1, *shape, generator=dice) < 0.3 for name, shape in private.shapes.items()}
        private.keep([number], masks)
    private.finish()


def main() -> None:
    """Measure, write the results, and show them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, help="where the results go")
    options = parser.parse_args()
    torch.set_num_threads(1)
    peaks = {"python and libraries": peak_mb()}
    learner, episodes = learner_of(rows())
    peaks["rows and model"] = peak_mb()
    names = [str(name) for name in episodes.task_names]
    give_masks(learner, names)
    peaks["structures"] = peak_mb()
    optimizer = torch.optim.Adam(learner.parameters(), lr=3e-4)
    learner.train()
    seconds = []
    for step in range(2):
        started = time.process_time()
        batch = episodes.collate(episodes.episodes([(0, 2 * step), (0, 2 * step + 1)]))
        # One user's graph at a time, as gradient accumulation has it.
        for t in range(2):
            part = {side: {k: v[t : t + 1] for k, v in batch[side].items()} for side in ("support", "query")}
            (learner(**part, task=batch["task"][t : t + 1])["loss"] / 2).backward()
        optimizer.step()
        optimizer.zero_grad()
        seconds.append(time.process_time() - started)
    peaks["joint training"] = peak_mb()
    private = learner.private
    assert private is not None
    report = {
        **header("python -m benchmarks.memory --json benchmarks/results/memory.json"),
        "users": len(names),
        "rows": USERS * UTTERANCES,
        "weights": sum(value.numel() for value in learner.model.parameters()),
        "mask_bytes_per_user": private.store.bytes_per_task,
        "mask_mb": round(private.store.bytes_per_task * len(names) / 1e6, 1),
        "peak_mb": {name: round(value) for name, value in peaks.items()},
        "processor_seconds_per_user_and_step": round(seconds[-1] / 2, 1),
    }
    write_report(report, options.json)
    print(json.dumps(report, indent=2))


if __name__ == "__main__":
    main()
