"""A recipe's `data` section to the tables of a dialogue corpus, one for each part; episodes are made of them in `data.py`."""

from __future__ import annotations

from datasets import Dataset, concatenate_datasets

from hfmeta.corpora import (
    Contexts,
    limit_dialogues,
    load_mojitalk,
    load_persona_chat,
    load_synthetic_persona_chat,
    load_tweet_eval_emoji,
    select_users,
    split_by_emoji,
    split_by_persona,
)
from hfmeta.episodes import EpisodeError, split_rows, split_tasks
from hfmeta.recipe.schema import PARTS, DataSection

_PERSONA_COLUMNS = {
    "task_column": "persona",
    "input_column": "context",
    "target_column": "reply",
    "dialogue_column": "dialogue",
}
DIALOGUE_COLUMNS: dict[str, dict[str, str | None]] = {
    "persona_chat": {**_PERSONA_COLUMNS},
    "synthetic_persona_chat": {**_PERSONA_COLUMNS},
    "mojitalk": {**_PERSONA_COLUMNS, "task_column": "emoji", "dialogue_column": "fold"},
}
"""Corpus -> the columns of its tables by their key in `data`."""


def load_dialogues(data: DataSection, parts: list[str]) -> dict[str, Dataset]:
    """The rows of each part of a dialogue corpus; no part has a task, nor a dialogue of one, of another.

    Args:
        data: a checked section whose corpus is one of DIALOGUE_COLUMNS.
        parts: train, valid (where a run has validation tasks) and test.

    Raises:
        HfmetaError: missing or malformed files, or sizes that cannot be.
    """
    if data.corpus == "mojitalk":
        rows = load_mojitalk(data.root, seed=data.split_seed, strict=data.strict)
        counts = None
        if data.emoji_counts is not None:
            counts = {part: data.emoji_counts[part] for part in PARTS if part in data.emoji_counts}
        tables = split_by_emoji(rows, counts, data.split_seed, data.max_pairs)
        return {part: tables[part] for part in parts}
    if data.corpus == "persona_chat":
        tables = {part: _persona_chat(data, part) for part in parts}
    else:
        if not isinstance(data.grouping, str):
            raise EpisodeError(
                f"data.grouping: {data.corpus} is one file; give the path of one CSV, or shared, not {data.grouping}."
            )
        rows = load_synthetic_persona_chat(
            data.root,
            groups=data.grouping,
            placeholders=data.placeholders,
            tokenise=data.tokenise,
            contexts=_contexts(data),
            strict=data.strict,
        )
        tables = split_by_persona(rows, part_sizes(data, parts), data.split_seed)
    if data.max_dialogues_per_user is not None:
        most = data.max_dialogues_per_user
        tables = {part: limit_dialogues(rows, most, data.split_seed) for part, rows in tables.items()}
    if data.test_users == "validation":
        if "valid" not in tables:
            raise EpisodeError("data.test_users=validation needs validation users: set data.valid_tasks to at least 1.")
        tables["test"] = tables["valid"]
    elif data.test_users != "all":
        tables["test"] = select_users(tables["test"], data.test_users, data.test_users_count)
    return tables


def _persona_chat(data: DataSection, part: str) -> Dataset:
    """One part of Persona-Chat or ConvAI2."""
    files = data.parts or {name: name for name in PARTS}
    grouping = data.grouping if isinstance(data.grouping, str) else data.grouping.get(part)
    if grouping is None:
        raise EpisodeError(f"data.grouping: there is no persona map for the {part} part; it names {data.grouping}.")
    return load_persona_chat(
        data.root,
        files[part],
        personas=data.personas,
        wording=data.wording,
        grouping=grouping,
        min_dialogues=data.min_dialogues,
        contexts=_contexts(data),
        strict=data.strict,
    )


def _contexts(data: DataSection) -> Contexts:
    """How contexts are written."""
    return Contexts(
        max_tokens=data.max_context_tokens,
        max_turns=data.max_context_turns,
        min_turns=data.min_context_turns,
        separator=data.separator,
        with_persona=data.with_persona,
    )


def load_emoji_tweets(data: DataSection, parts: list[str]) -> dict[str, Dataset]:
    """TweetEval's tweets of all published parts, divided by emoji: the classes of an N-way test are not trained on.

    Args:
        data: a checked section.
        parts: train, valid (where a run has validation tasks) and test.

    Raises:
        HfmetaError: missing or malformed files.
    """
    rows = concatenate_datasets([load_tweet_eval_emoji(data.root, part, strict=data.strict) for part in PARTS])
    names = rows.features["label"].names
    emoji = [names[number] for number in rows.unique("label")]
    return split_rows(rows, "label", split_tasks(emoji, part_sizes(data, parts), data.split_seed))


def part_sizes(data: DataSection, parts: list[str]) -> dict[str, float]:
    """The share of the tasks that each part gets; without validation tasks their share goes to the others.

    Args:
        data: a checked section.
        parts: the parts of the run.
    """
    shares = {part: float(data.shares[part]) for part in parts if part in data.shares}
    return {part: share / sum(shares.values()) for part, share in shares.items()}
