"""Make the small part of CLINC150 that ships in `hfmeta/corpora/data/clinc150`, from the published class split 01.

    HFMETA_DATA=<folder that holds intent/OOS> python scripts/make_clinc150_subset.py

Selection (seed 0): all 50 training classes with 30 sentences each, 20 of the 50 validation classes with 25, all 50 test classes
with 40. Sentences that occur more than once in the three parts (ignoring case and white space) are left out first.
"""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import numpy as np

from hfmeta.corpora.intents import load_intents

OUT = Path(__file__).parents[1] / "hfmeta" / "corpora" / "data" / "clinc150"
CHOSEN = {"train": (50, 30), "valid": (20, 25), "test": (50, 40)}  # part -> classes, sentences per class
SEED = 0


def key(sentence: str) -> str:
    """Return a sentence without case and spacing."""
    return " ".join(sentence.casefold().split())


def main() -> None:
    """Write train.jsonl, valid.jsonl and test.jsonl, sorted by label and number."""
    parts = {part: load_intents("clinc150", split="01", part=part).to_list() for part in CHOSEN}
    times = Counter(key(row["sentence"]) for rows in parts.values() for row in rows)
    for number, (part, (classes, sentences)) in enumerate(CHOSEN.items()):
        rng = np.random.default_rng([SEED, number])
        by_label: dict[str, list[dict[str, object]]] = {}
        for row in sorted(parts[part], key=lambda row: row["global_ix"]):
            if times[key(row["sentence"])] == 1:
                by_label.setdefault(row["label"], []).append(row)
        labels = sorted(by_label)
        lines = []
        for c in sorted(rng.permutation(len(labels))[:classes].tolist()):
            rows = by_label[labels[c]]
            for r in sorted(rng.permutation(len(rows))[:sentences].tolist()):
                row = {name: rows[r][name] for name in ("sentence", "label", "global_ix")}
                lines.append(json.dumps(row, ensure_ascii=False) + "\n")
        (OUT / f"{part}.jsonl").write_text("".join(lines), encoding="utf-8")
        print(f"{part}: {classes} classes, {len(lines)} sentences")


if __name__ == "__main__":
    main()
