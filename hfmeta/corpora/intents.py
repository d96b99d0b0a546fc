"""Intent corpora in their published few-shot form: BANKING77 and CLINC150 with five class splits, and a small CLINC150 that ships.

The layout is that of the ProtAugment repository (Dopierre, Gravier, Logerais 2021): `<corpus>/few_shot/<split>/<part>.jsonl` and
`labels.<part>.txt`. Sentences and label spelling are left as they are.
"""

from __future__ import annotations

import json
import os
from importlib import resources
from pathlib import Path
from typing import Any

from datasets import Dataset

from hfmeta.corpora.folders import corpus_path
from hfmeta.episodes.errors import EpisodeError, missing_columns, unknown_choice
from hfmeta.episodes.splits import check_disjoint

INTENT_CORPORA = {"banking77": "BANKING77", "clinc150": "OOS"}
SPLITS = ("01", "02", "03", "04", "05")
PARTS = ("train", "valid", "test")
_ORIGIN = "It is the folder data/ of https://github.com/tdopierre/ProtAugment."


def load_intents(
    corpus: str,
    root: str | os.PathLike[str] | None = None,
    split: str = "01",
    part: str = "train",
) -> Dataset:
    """Return the sentences of one part of one class split.

    Args:
        corpus: "banking77" or "clinc150".
        root: folder that holds `intent/BANKING77` and `intent/OOS` (or these two themselves); None takes HFMETA_DATA.
        split: "01" to "05", the published class splits.
        part: "train", "valid" or "test"; "train.10samples" has 10 sentences of each training class.

    Returns:
        Dataset with columns `sentence`, `label`, and `global_ix` where the corpus has it.

    Raises:
        EpisodeError: unknown corpus, split or part; missing files (says what is expected where); parts that share classes.

    Source: Casanueva et al. 2020 (BANKING77); Larson et al. 2019 (CLINC150); Dopierre et al. 2021 (splits).
    """
    if corpus not in INTENT_CORPORA:
        raise unknown_choice("corpus", corpus, INTENT_CORPORA)
    if split not in SPLITS:
        raise unknown_choice("split", split, SPLITS)
    if part not in (*PARTS, "train.10samples"):
        raise unknown_choice("part", part, (*PARTS, "train.10samples"))
    name = INTENT_CORPORA[corpus]
    tail = f"few_shot/{split}"
    folder = corpus_path(root, [f"intent/{name}/{tail}", f"{name}/{tail}", tail], f"{corpus}, split {split}", _ORIGIN)
    classes = {p: _labels(folder / f"labels.{p}.txt") for p in PARTS}
    check_disjoint(classes)
    rows = _json_lines(folder / f"{part}.jsonl")
    found = {str(row["label"]) for row in rows}
    expected = set(classes[part.split(".")[0]])
    if found != expected:
        raise EpisodeError(
            f"the classes of {folder / part}.jsonl differ from labels.{part.split('.')[0]}.txt: only in the rows "
            f"{sorted(found - expected)}, only in the list {sorted(expected - found)}."
        )
    return Dataset.from_list(rows)


def load_quickstart_intents(part: str = "train") -> Dataset:
    """Return the part of CLINC150 that ships with hfmeta (CC BY 3.0, see `data/clinc150/ATTRIBUTION.md`).

    The classes are those of split 01: 50 for training with 30 sentences each, 20 for validation with 25, 50 for test with 40.

    Args:
        part: "train", "valid" or "test".

    Returns:
        Dataset with columns `sentence`, `label`, `global_ix`.

    Raises:
        EpisodeError: unknown part.
    """
    if part not in PARTS:
        raise unknown_choice("part", part, PARTS)
    with resources.as_file(resources.files("hfmeta.corpora") / "data" / "clinc150" / f"{part}.jsonl") as path:
        return Dataset.from_list(_json_lines(path))


def _labels(path: Path) -> list[str]:
    """Return the classes of a part, one a line."""
    return [line for line in _read(path).split("\n") if line.strip()]


def _json_lines(path: Path) -> list[dict[str, Any]]:
    """Return the rows of a JSON lines file, each with a sentence and a label."""
    rows = []
    for number, line in enumerate(_read(path).split("\n"), start=1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except json.JSONDecodeError as error:
            raise EpisodeError(f"{path}, line {number}, is no JSON: {error}.") from error
        if absent := [key for key in ("sentence", "label") if key not in row]:
            raise missing_columns(absent, list(row), f"the fields of {path}, line {number},")
        rows.append(row)
    if not rows:
        raise EpisodeError(f"{path} has no rows.")
    return rows


def _read(path: Path) -> str:
    """Return the text of a file."""
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError as error:
        raise EpisodeError(f"{path} is missing. {_ORIGIN}") from error
