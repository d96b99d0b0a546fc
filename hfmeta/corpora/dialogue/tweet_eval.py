"""TweetEval's emoji files -> tweets with one of 20 emoji, to train an emoji classifier on or to make N-way episodes of.

`mapping.txt` has `id<TAB>emoji<TAB>_name_` on each line; `{train,val,test}_text.txt` and `_labels.txt` are aligned line by line.

Source: Barbieri et al. 2020, TweetEval; Barbieri et al. 2018, SemEval task 2.
"""

from __future__ import annotations

import os
from pathlib import Path

from datasets import ClassLabel, Dataset, Features, Value

from hfmeta.corpora.dialogue.report import ReadReport, aligned_lines, text_lines
from hfmeta.corpora.folders import corpus_path
from hfmeta.episodes.errors import EpisodeError, unknown_choice

PARTS = {"train": "train", "valid": "val", "test": "test"}
_ORIGIN = "The files are those of https://github.com/cardiffnlp/tweeteval, datasets/emoji."


def load_tweet_eval_emoji(
    folder: str | os.PathLike[str] | None = None,
    part: str = "train",
    *,
    strict: bool = False,
    report: ReadReport | None = None,
) -> Dataset:
    """Return the tweets of one part with their emoji.

    Args:
        folder: holds `mapping.txt` and the text and label files, or `datasets/emoji`, `tweeteval/datasets/emoji` or `tweet_eval_emoji`
            that does; None takes HFMETA_DATA.
        part: "train", "valid" or "test".
        strict: raise at the first bad line.
        report: filled in place of a fresh one; its own strictness then holds.

    Returns:
        Dataset with the columns `text` and `label` (a ClassLabel whose names are the emoji, in the order of their ids).

    Raises:
        EpisodeError: unknown part, missing files, text and labels of unequal length, a label outside the mapping (each names file and
            line), a mapping that does not count from 0, bad lines where strict.
    """
    if part not in PARTS:
        raise unknown_choice("part", part, PARTS)
    inner = ("", "tweet_eval_emoji/", "datasets/emoji/", "tweeteval/datasets/emoji/")
    base = corpus_path(folder, [f"{name}mapping.txt" for name in inner], "TweetEval's emoji part", _ORIGIN).parent
    report = ReadReport(strict) if report is None else report
    names = _mapping(base / "mapping.txt")
    paths = {kind: base / f"{PARTS[part]}_{kind}.txt" for kind in ("text", "labels")}
    rows: dict[str, list[object]] = {"text": [], "label": []}
    for number, (text, label) in aligned_lines(list(paths.values()), report):
        if not label.strip().isdecimal() or int(label) >= len(names):
            raise EpisodeError(f"{paths['labels']}, line {number}, is {label!r}; the labels are 0 to {len(names) - 1}.")
        if not text.strip():
            report.problem("an empty tweet (left out)", paths["text"], number, text)
            continue
        rows["text"].append(text.strip())
        rows["label"].append(int(label))
    if not rows["text"]:
        raise EpisodeError(f"{paths['text']} has no tweet.")
    report.count("tweets", len(rows["text"]))
    report.log(paths["text"])
    return Dataset.from_dict(rows, features=Features({"text": Value("string"), "label": ClassLabel(names=names)}))


def _mapping(path: Path) -> list[str]:
    """Return the emoji in the order of their ids."""
    names: list[str] = []
    for number, text in text_lines(path, ReadReport(strict=True)):
        fields = text.split("\t")
        if len(fields) < 2 or fields[0].strip() != str(len(names)) or not fields[1].strip():
            raise EpisodeError(
                f"{path}, line {number}, is {text!r}; '{len(names)}<TAB>emoji<TAB>_name_' was expected, counting from 0."
            )
        names.append(fields[1].strip())
    if not names:
        raise EpisodeError(f"{path} is empty; it should name the emoji.")
    return names
