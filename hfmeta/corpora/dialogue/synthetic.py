"""Synthetic-Persona-Chat (a CSV of personas and generated dialogues) -> rows for both users of every dialogue.

Splitting by persona without leaks is in `splitting.py`.

Source: Jandaghi et al. 2023, Faithful persona-based conversational dataset generation with large language models.
"""

from __future__ import annotations

import csv
import io
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from datasets import Dataset

from hfmeta.corpora.dialogue.personas import group_personas, persona_key
from hfmeta.corpora.dialogue.report import ReadReport
from hfmeta.corpora.dialogue.rows import as_table
from hfmeta.corpora.dialogue.text import Contexts, has_placeholder, mask_placeholders, plain_sentence, words
from hfmeta.corpora.folders import corpus_path
from hfmeta.episodes.errors import EpisodeError, missing_columns, unknown_choice

COLUMNS = ("user 1 personas", "user 2 personas", "Best Generated Conversation")
GROUP_COLUMNS = ("row", "user", "persona_id")
PLACEHOLDERS = ("mask", "drop", "keep")
_TURN = re.compile(r"[\s*_]*User\s*([12])\s*:[\s*_]*(.*?)[\s*_]*", re.DOTALL)
_PLAIN_TURN = re.compile(r"User [12]:")
_ORIGIN = "The files are those of https://github.com/google-research-datasets/Synthetic-Persona-Chat."


@dataclass(frozen=True)
class SyntheticDialogue:
    """One row of the file.

    Args:
        row: its number, from 1, the header not counted.
        personas: sentences of user 1 and of user 2, without full stops.
        turns: `(user, text)`, the user 0 or 1.
        flags: oddities, such as "placeholder" or "other_lines".
    """

    row: int
    personas: tuple[list[str], list[str]]
    turns: list[tuple[int, str]]
    flags: tuple[str, ...]


def read_synthetic_persona_chat(path: str | os.PathLike[str], report: ReadReport) -> list[SyntheticDialogue]:
    """Return the dialogues of a file, with turns as they are written.

    A turn is a line `User 1: ...`, perhaps with stars around the name; other lines (stage directions, say) go to the report.

    Args:
        path: the CSV.
        report: gets counts and bad rows.

    Raises:
        EpisodeError: no such file, no CSV of this kind, no dialogue in it, or a bad row where the report is strict.
    """
    path = Path(path)
    dialogues = []
    for number, row in _csv_rows(path, COLUMNS, report):
        personas = [[text for line in cell.splitlines() if (text := plain_sentence(line))] for cell in row[:2]]
        turns, others = _turns(row[2])
        for line in others:
            report.problem("a line that is no turn (left out)", path, number, line)
        if not turns or not all(personas):
            kind = "a dialogue without turns (left out)" if not turns else "a dialogue without personas (left out)"
            report.problem(kind, path, number, row[2])
            continue
        flags = _flags(row[2], turns, others)
        for flag in flags:
            report.count(f"dialogues with {flag}")
        dialogues.append(SyntheticDialogue(number, (personas[0], personas[1]), turns, flags))
    if not dialogues:
        raise EpisodeError(f"{path} has no dialogue; the third column holds lines such as 'User 1: Hi!'.")
    report.count("dialogues", len(dialogues))
    report.count("turns", sum(len(one.turns) for one in dialogues))
    return dialogues


def _csv_rows(path: Path, columns: Sequence[str], report: ReadReport) -> list[tuple[int, list[str]]]:
    """Return the numbered cells of the named columns; rows with another number of cells go to the report."""
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except (FileNotFoundError, IsADirectoryError) as error:
        raise EpisodeError(f"{path} is no file. {_ORIGIN}") from error
    except UnicodeDecodeError as error:
        line = error.object[: error.start].count(b"\n") + 1
        raise EpisodeError(f"{path}, line {line}, is not UTF-8; save the file as UTF-8.") from error
    try:
        table = list(csv.reader(io.StringIO(text, newline=""), strict=True))
    except csv.Error as error:
        raise EpisodeError(f"{path} cannot be read as CSV: {error}.") from error
    header = table[0] if table else []
    if absent := [name for name in columns if name not in header]:
        raise missing_columns(absent, header, os.fspath(path))
    places = [header.index(name) for name in columns]
    rows = []
    for number, cells in enumerate(table[1:], start=1):
        if len(cells) != len(header):
            report.problem(f"{len(cells)} cells, not {len(header)} (left out)", path, number, " ".join(cells))
        else:
            rows.append((number, [cells[place] for place in places]))
    return rows


def _turns(text: str) -> tuple[list[tuple[int, str]], list[str]]:
    """Return the turns of a dialogue, and its other lines."""
    turns, others = [], []
    for line in text.replace("\r\n", "\n").split("\n"):
        if not line.strip():
            continue
        match = _TURN.fullmatch(line)
        if match is None or not match[2]:
            others.append(line)
        else:
            turns.append((int(match[1]) - 1, match[2]))
    return turns, others


def _flags(text: str, turns: list[tuple[int, str]], others: list[str]) -> tuple[str, ...]:
    """Return the oddities of a dialogue."""
    speakers = [user for user, _ in turns]
    found = {
        "placeholder": any(has_placeholder(said) for _, said in turns),
        "starred_prefix": not any(_PLAIN_TURN.match(line) for line in text.split("\n")),
        "other_lines": bool(others),
        "same_speaker_twice": any(a == b for a, b in zip(speakers, speakers[1:], strict=False)),
        "starts_with_user_2": speakers[0] == 1,
    }
    return tuple(flag for flag, there in found.items() if there)


def load_synthetic_persona_chat(
    path: str | os.PathLike[str] | None = None,
    *,
    groups: str | os.PathLike[str] = "shared",
    min_shared: int = 2,
    placeholders: str = "mask",
    tokenise: bool = False,
    contexts: Contexts | None = None,
    strict: bool = False,
    report: ReadReport | None = None,
) -> Dataset:
    """Return the turns of all users, one row each: every dialogue gives rows for both of its users.

    Split the table with `split_by_persona`, which keeps dialogues of validation and test personas out of training.

    Args:
        path: the CSV, or a folder that holds it (`Synthetic-Persona-Chat_valid.csv`, or `synthetic_persona_chat/` with that);
            None takes HFMETA_DATA.
        groups: "shared": descriptions that share at least `min_shared` sentences are one persona; or the path of a CSV with the
            columns row, user and persona_id.
        min_shared: see `groups`.
        placeholders: turns with stand-ins such as `[user 1's name]`: "mask" them by one word (`MASK`), "drop" the turn (from contexts
            too), or "keep" them.
        tokenise: lower-case, and put spaces between words and punctuation, as Persona-Chat is written (for models of words).
        contexts: how contexts are written; by default all turns, joined by spaces.
        strict: raise at the first bad row.
        report: filled in place of a fresh one; its own strictness then holds.

    Returns:
        Dataset with the columns `persona` (its number as text), `persona_sentences` (as this dialogue has them), `dialogue` (the
        number of the row), `turn` (its place in the dialogue, from 0), `context`, `reply` and `partner` (the other user's persona).

    Raises:
        EpisodeError: missing files, a file of another kind, a row that the groups do not know, bad rows where strict.
    """
    if placeholders not in PLACEHOLDERS:
        raise unknown_choice("placeholders", placeholders, PLACEHOLDERS)
    report = ReadReport(strict, where="row") if report is None else report
    file = Path(path) if path is not None and Path(path).is_file() else _file(path)
    dialogues = read_synthetic_persona_chat(file, report)
    if groups == "shared":
        keys = [tuple(persona_key(map(str.casefold, side)) for side in one.personas) for one in dialogues]
        numbers = group_personas((key for pair in keys for key in pair), min_shared)
        users = [(str(numbers[a]), str(numbers[b])) for a, b in keys]
    else:
        known = read_persona_groups(groups)
        users = [_known(known, one, groups) for one in dialogues]
    report.count("personas", len({user for pair in users for user in pair}))
    contexts = contexts or Contexts()
    rows: list[dict[str, Any]] = []
    for one, pair in zip(dialogues, users, strict=True):
        turns = _written(one.turns, placeholders, tokenise, report)
        rows += _rows(one, pair, turns, contexts, tokenise)
    report.count("rows", len(rows))
    report.log(file)
    return as_table(rows, file)


def _file(root: str | os.PathLike[str] | None) -> Path:
    """Return the CSV in a folder."""
    name = "Synthetic-Persona-Chat_valid.csv"
    return corpus_path(root, [f"synthetic_persona_chat/{name}", name], "Synthetic-Persona-Chat", _ORIGIN)


def _written(
    turns: Sequence[tuple[int, str]], placeholders: str, tokenise: bool, report: ReadReport
) -> list[tuple[int, int, str]]:
    """Return `(place, user, text)` of the turns that are used."""
    used = []
    for place, (user, text) in enumerate(turns):
        if has_placeholder(text) and placeholders != "keep":
            report.count("turns with placeholders, " + ("masked" if placeholders == "mask" else "left out"))
            if placeholders == "drop":
                continue
            text = mask_placeholders(text)
        used.append((place, user, words(text) if tokenise else text))
    return used


def _rows(
    one: SyntheticDialogue, pair: tuple[str, str], turns: list[tuple[int, int, str]], contexts: Contexts, tokenise: bool
) -> list[dict[str, Any]]:
    """Return the rows of one dialogue."""
    personas = [[words(text) if tokenise else text for text in side] for side in one.personas]
    said = [text for _, _, text in turns]
    return [
        {
            "persona": pair[user],
            "persona_sentences": personas[user],
            "dialogue": str(one.row),
            "turn": place,
            "context": contexts.write(said[:before], personas[user]),
            "reply": text,
            "partner": pair[1 - user],
        }
        for before, (place, user, text) in enumerate(turns)
        if before >= contexts.min_turns
    ]


def read_persona_groups(path: str | os.PathLike[str]) -> dict[tuple[int, int], str]:
    """Return `{(row, user): persona}` of a CSV with the columns row (from 1), user (1 or 2) and persona_id.

    Args:
        path: the file.

    Raises:
        EpisodeError: no such file, missing columns, or cells that are no numbers (names the row).
    """
    path = Path(path)
    known = {}
    for number, (row, user, persona) in _csv_rows(path, GROUP_COLUMNS, ReadReport(strict=True, where="row")):
        if not row.isdecimal() or user not in ("1", "2") or not persona:
            raise EpisodeError(
                f"{path}, row {number}: row={row!r}, user={user!r}, persona_id={persona!r}; a number, 1 or 2, "
                "and a name were expected."
            )
        known[int(row), int(user)] = persona
    return known


def _known(groups: dict[tuple[int, int], str], one: SyntheticDialogue, path: str | os.PathLike[str]) -> tuple[str, str]:
    """Return the personas of a dialogue's users."""
    if (one.row, 1) not in groups or (one.row, 2) not in groups:
        raise EpisodeError(f"{os.fspath(path)!r} has no persona for row {one.row}; it belongs to another file.")
    return groups[one.row, 1], groups[one.row, 2]
