"""MojiTalk's raw files (pairs of tweets, the reply labelled by an emoji) -> rows with the emoji as task, and its split by emoji.

`{train,dev,test}.ori` has an emoji and the original tweet on each line, `.rep` the reply on the same line; `vocab.ori` has one
token a line.

Source: Zhou, Wang 2018, MojiTalk: generating emotional responses at scale.
"""

from __future__ import annotations

import logging
import os
import unicodedata
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from datasets import Dataset, Features, Value

from hfmeta.corpora.dialogue.report import ReadReport, aligned_lines, text_lines
from hfmeta.corpora.folders import corpus_path
from hfmeta.episodes.errors import EpisodeError, listing, whole_number
from hfmeta.episodes.sampling import GroupIndex

logger = logging.getLogger(__name__)
FILES = ("train", "dev", "test")
COUNTS = {"train": 50, "valid": 6, "test": 8}  # emoji of the paper's split
CAP = 1000  # pairs of a training or validation emoji in the paper
FOLDS = 5
FEWEST_WORDS = {"ori": 3, "rep": 2}  # without the emoji; shorter lines do not occur in the published files
_ORIGIN = "The archive mojitalk_data is linked from https://github.com/claude-zhou/MojiTalk."
_SELECTOR = "\ufe0f"  # asks for a coloured picture; files have it or not
_FOLD_STREAM, _CAP_STREAM = 0xF01D, 0xCA9
_FEATURES = Features(
    {"emoji": Value("string"), "context": Value("string"), "reply": Value("string"), "file": Value("string")}
    | {"line": Value("int32"), "fold": Value("int32")}
)


def emoji_labels(folder: str | os.PathLike[str]) -> list[str]:
    """Return the emoji that label replies.

    They are the lines of `emoji-test.txt` whose description ends in " 64" where the folder has that file, else the emoji among the
    tokens of `vocab.ori` (tokens of symbols alone).

    Args:
        folder: of the raw files.

    Raises:
        EpisodeError: neither file is there, or it has no emoji.
    """
    folder = Path(folder)
    listed, vocabulary = folder / "emoji-test.txt", folder / "vocab.ori"
    path = listed if listed.is_file() else vocabulary
    if not path.is_file():
        raise EpisodeError(
            f"{folder} has neither emoji-test.txt nor vocab.ori, which say what the labels are. {_ORIGIN}"
        )
    found = []
    for _, text in text_lines(path, ReadReport()):
        if path is vocabulary:
            token = text.strip()
            found += [token] if _is_emoji(token) else []
        elif text.rstrip().endswith(" 64") and not text.startswith("#"):
            found.append(text.partition("#")[2].split()[0])
    if not found:
        raise EpisodeError(f"{path} has no emoji; it should name the labels of the replies.")
    return list(dict.fromkeys(one.replace(_SELECTOR, "") for one in found))


def _is_emoji(token: str) -> bool:
    """Return whether a token is an emoji: symbols beyond Latin-1, with or without selector, joiner or skin tone."""
    bare = token.replace(_SELECTOR, "").replace("\u200d", "")
    return bool(bare) and all(ord(c) >= 0x2000 and unicodedata.category(c) in ("So", "Sk") for c in bare)


def load_mojitalk(
    folder: str | os.PathLike[str] | None = None,
    files: Sequence[str] = FILES,
    *,
    labels: Iterable[str] | None = None,
    seed: int = 0,
    strict: bool = False,
    report: ReadReport | None = None,
) -> Dataset:
    """Return the pairs of MojiTalk's raw files, with the emoji of the reply as task; divide them by `split_by_emoji`.

    Args:
        folder: holds `train.ori`, `train.rep` and so on, or `mojitalk_data/` that does; None takes HFMETA_DATA.
        files: which of "train", "dev" and "test" are read. The paper's split by emoji pools all of them.
        labels: the emoji; by default those of `emoji_labels`.
        seed: seed of the folds.
        strict: raise at the first bad line.
        report: filled in place of a fresh one; its own strictness then holds.

    Returns:
        Dataset with the columns `emoji` (without variation selector), `context`, `reply`, `file`, `line`, and `fold`: 0 to 4,
        drawn within each emoji, for leave-one-fold-out tests.

    Raises:
        EpisodeError: missing files, an `.ori` and `.rep` of unequal length, an emoji outside the labels (each names file and line), no
            pairs, bad lines where strict.
    """
    places = [f"{inner}{name}.ori" for inner in ("", "mojitalk_data/", "mojitalk/") for name in files]
    base = corpus_path(folder, places, "MojiTalk", _ORIGIN).parent
    report = ReadReport(strict) if report is None else report
    known = set(emoji_labels(base)) if labels is None else {one.replace(_SELECTOR, "") for one in labels}
    pairs: list[dict[str, Any]] = []
    for name in files:
        pairs += _pairs(base, name, known, report)
    if not pairs:
        raise EpisodeError(f"{base} has no pair that can be used; see the log for what was left out.")
    folds = _folds([pair["emoji"] for pair in pairs], seed)
    report.count("pairs", len(pairs))
    report.count("emoji", len({pair["emoji"] for pair in pairs}))
    report.log(base)
    return Dataset.from_list(
        [{**pair, "fold": fold} for pair, fold in zip(pairs, folds, strict=True)], features=_FEATURES
    )


def _pairs(base: Path, name: str, known: set[str], report: ReadReport) -> list[dict[str, Any]]:
    """Return the pairs of `<name>.ori` and `<name>.rep`."""
    paths = {end: base / f"{name}.{end}" for end in FEWEST_WORDS}
    pairs = []
    for number, (original, reply) in aligned_lines(list(paths.values()), report):
        emoji, _, tweet = original.strip().partition(" ")
        emoji, texts = emoji.replace(_SELECTOR, ""), {"ori": tweet.strip(), "rep": reply.strip()}
        if emoji not in known:
            raise EpisodeError(
                f"{paths['ori']}, line {number}, begins with {emoji!r}, which is none of the {len(known)} labels "
                f"({listing(sorted(known), 5)}); pass labels=... where the corpus has others."
            )
        short_sides = [end for end, text in texts.items() if len(text.split()) < FEWEST_WORDS[end]]
        for end in short_sides[:1]:
            kind = f"fewer than {FEWEST_WORDS[end]} words in a .{end} (left out)"
            report.problem(kind, paths[end], number, texts[end])
        if not short_sides:
            pairs.append({"emoji": emoji, "context": texts["ori"], "reply": texts["rep"], "file": name, "line": number})
    return pairs


def _folds(emoji: Sequence[str], seed: int) -> list[int]:
    """Return the fold of each pair: within an emoji, sizes differ by at most one."""
    order = np.random.default_rng([seed, _FOLD_STREAM]).permutation(len(emoji)).tolist()
    met: Counter[str] = Counter()
    folds = [0] * len(emoji)
    for place in order:
        folds[place] = met[emoji[place]] % FOLDS
        met[emoji[place]] += 1
    return folds


def split_by_emoji(
    rows: Dataset, counts: Mapping[str, int] | None = None, seed: int = 0, cap: int | None = CAP
) -> dict[str, Dataset]:
    """Return the parts of a split by emoji: the emoji in order of frequency, shuffled, and cut.

    Args:
        rows: the column `emoji`.
        counts: number of emoji of each part, the part for tests last; by default 50, 6 and 8, the paper's numbers. Which emoji the
            paper took is not published.
        seed: seed of the shuffle and of the pairs kept.
        cap: pairs kept of each emoji, but for the last part; None keeps all.

    Returns:
        `{part: rows}`.

    Raises:
        EpisodeError: more emoji asked for than there are, an empty part, or a cap below 1.
    """
    counts = COUNTS if counts is None else counts
    if cap is not None:
        whole_number("cap", cap, 1, "pair")
    index = GroupIndex(rows, "emoji")
    if min(counts.values(), default=0) < 1 or sum(counts.values()) > len(index):
        raise EpisodeError(
            f"counts={dict(counts)} asks for {sum(counts.values())} emoji, at least one a part; the rows have {len(index)}."
        )
    by_frequency = sorted(range(len(index)), key=lambda group: (-int(index.sizes[group]), index.names[group]))
    order = [by_frequency[place] for place in np.random.default_rng([seed]).permutation(len(index))]
    tables = {}
    for part, count in counts.items():
        chosen, order = order[:count], order[count:]
        limit = None if part == list(counts)[-1] else cap
        kept = [_capped(index.rows(group), str(index.names[group]), limit, seed) for group in chosen]
        tables[part] = rows.select(np.sort(np.concatenate(kept)))
        logger.info("%s: %d emoji, %d pairs", part, count, len(tables[part]))
    return tables


def _capped(members: Any, name: str, cap: int | None, seed: int) -> Any:
    """Return at most `cap` rows of an emoji; its draw depends on the seed and the emoji alone."""
    if cap is None or len(members) <= cap:
        return members
    rng = np.random.default_rng([seed, _CAP_STREAM, *map(ord, name)])
    return rng.choice(members, size=cap, replace=False)
