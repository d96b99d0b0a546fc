"""Persona-Chat and ConvAI2 in their raw file format -> dialogues -> rows; grouping into users is in `personas.py`.

A file has numbered lines; the number restarts at 1 with each dialogue. Persona lines come first, `N your persona: ...` and
`N partner's persona: ...`; a turn is `N <partner's utterance><TAB><reply>`, with candidates `<TAB><TAB>a|b|...` in two more fields.
"""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from datasets import Dataset

from hfmeta.corpora.dialogue.persona_maps import read_persona_map
from hfmeta.corpora.dialogue.personas import group_personas, map_lookup, persona_key, reference_sentence
from hfmeta.corpora.dialogue.report import ReadReport, text_lines
from hfmeta.corpora.dialogue.rows import as_table
from hfmeta.corpora.dialogue.text import Contexts, plain_sentence
from hfmeta.corpora.folders import corpus_path
from hfmeta.episodes.errors import EpisodeError, unknown_choice, whole_number

PERSONAS = ("self", "both", "other", "none")
WORDINGS = ("original", "revised")
SILENCE = "__SILENCE__"  # stands for the partner's utterance where the user speaks first
_LINE = re.compile(r"(\d+) (.*)", re.DOTALL)
_OWN, _PARTNER = "your persona:", "partner's persona:"
_ORIGIN = "Persona-Chat and ConvAI2 come with ParlAI (tasks personachat and convai2)."


@dataclass
class PersonaDialogue:
    """One dialogue from one side.

    Args:
        line: its first line in the file.
        own: persona sentences of who replies, as the file has them.
        partner: persona sentences of the other.
        exchanges: `(partner's utterance, reply)` in order.
        candidates: candidates of each exchange; empty lists where the file has none.
    """

    line: int
    own: list[str] = field(default_factory=list)
    partner: list[str] = field(default_factory=list)
    exchanges: list[tuple[str, str]] = field(default_factory=list)
    candidates: list[list[str]] = field(default_factory=list)


def read_persona_chat(path: str | os.PathLike[str], report: ReadReport) -> list[PersonaDialogue]:
    """Return the dialogues of one raw file, the last one included.

    Args:
        path: a file of any variant.
        report: gets counts and bad lines.

    Raises:
        EpisodeError: no such file, no dialogue in it, or a bad line where the report is strict.
    """
    path = Path(path)
    dialogues: list[PersonaDialogue] = []
    last = 0
    for number, text in text_lines(path, report):
        match = _LINE.fullmatch(text)
        if match is None:
            report.problem("no number in front (left out)", path, number, text)
            continue
        count = int(match[1])
        if count == 1 or count <= last or not dialogues:
            if count != 1:
                report.problem("a dialogue that does not begin at 1 (kept)", path, number, text)
            dialogues.append(PersonaDialogue(number))
        elif count != last + 1:
            report.problem("a gap in the numbers (kept)", path, number, text)
        last = count
        if kind := _add(dialogues[-1], match[2], report):
            report.problem(kind, path, number, text)
    kept = []
    for one in dialogues:
        if one.exchanges:
            kept.append(one)
        else:
            report.problem("a dialogue without turns (left out)", path, one.line, "")
    if not kept:
        raise EpisodeError(
            f"{path} has no dialogue; lines such as '1 your persona: i like tea.' and '2 hi<TAB>hello' were expected."
        )
    report.count("dialogues", len(kept))
    report.count("exchanges", sum(len(one.exchanges) for one in kept))
    return kept


def _add(dialogue: PersonaDialogue, text: str, report: ReadReport) -> str | None:
    """Add one line to a dialogue; return what is wrong with it, if anything."""
    for prefix, sentences in ((_OWN, dialogue.own), (_PARTNER, dialogue.partner)):
        if text.startswith(prefix) and "\t" not in text:
            sentence = text.removeprefix(prefix).strip()
            if not sentence:
                return "an empty persona sentence (left out)"
            if dialogue.exchanges:
                return "a persona line after a turn (left out)"
            sentences.append(sentence)
            return None
    fields = text.split("\t")
    if len(fields) not in (2, 4):
        return "a turn without a reply (left out)" if len(fields) == 1 else "another number of fields (left out)"
    utterance, reply = fields[0].strip(), fields[1].strip()
    if not utterance or not reply:
        return "an empty utterance or reply (left out)"
    candidates = [one.strip() for one in fields[3].split("|")] if len(fields) == 4 and fields[3].strip() else []
    if candidates and reply not in candidates:
        report.count("replies that are not among their candidates")
    dialogue.exchanges.append(("" if utterance == SILENCE else utterance, reply))
    dialogue.candidates.append(candidates)
    return None


def load_persona_chat(
    path: str | os.PathLike[str] | None = None,
    part: str = "train",
    *,
    personas: str = "self",
    wording: str = "original",
    grouping: str | os.PathLike[str] = "shared",
    min_shared: int = 2,
    min_dialogues: int = 2,
    contexts: Contexts | None = None,
    keep_candidates: bool = False,
    strict: bool = False,
    report: ReadReport | None = None,
) -> Dataset:
    """Return the replies of one part of Persona-Chat or ConvAI2, one row each, with the user they belong to.

    Args:
        path: a raw file, or a folder that holds `<part>_<personas>_<wording>.txt` or `..._no_cands.txt`; None takes HFMETA_DATA.
        part: part of the corpus, "train", "valid" or "test"; with a file, the word that stands in front of its users' names.
        personas: whose persona sentences the file has: "self", "both", "other" or "none" (with a folder).
        wording: "original" or "revised" (with a folder).
        grouping: "shared": descriptions that share at least `min_shared` sentences are one user; "dialogue": every dialogue is a
            user of its own; or the path of a persona map (see `read_persona_map`).
        min_shared: see `grouping`.
        min_dialogues: users with fewer dialogues are left out and counted; 1 keeps all.
        contexts: how contexts are written; by default all turns, joined by spaces.
        keep_candidates: add the column `candidates`.
        strict: raise at the first bad line.
        report: filled in place of a fresh one; its own strictness then holds.

    Returns:
        Dataset with the columns `persona` (such as "train:12"), `persona_sentences` (of this dialogue, without full stops), `dialogue`
        ("train:<its place in the file>"), `turn` (from 0; replies have odd numbers), `context`, `reply`, where the file has them
        `partner_sentences`, and if asked for `candidates`.

    Raises:
        EpisodeError: missing files (says what was expected where), nothing to group by, a description that the
            map does not know (named), no user left, bad lines where strict.

    Source: Zhang et al. 2018 (Persona-Chat); Dinan et al. 2019 (ConvAI2).
    """
    for option, value, choices in (("personas", personas, PERSONAS), ("wording", wording, WORDINGS)):
        if value not in choices:
            raise unknown_choice(option, value, choices)
    whole_number("min_dialogues", min_dialogues, 1, "dialogue")
    report = ReadReport(strict) if report is None else report
    file = _file(path, part, personas, wording)
    dialogues = read_persona_chat(file, report)
    users = _users(dialogues, file, grouping, min_shared, report)
    sizes = Counter(user for user in users if user is not None)
    small = {user for user, size in sizes.items() if size < min_dialogues}
    report.count("users", len(sizes) - len(small))
    if small:
        report.count(f"users left out with fewer than {min_dialogues} dialogues", len(small))
    contexts = contexts or Contexts()
    partner = any(one.partner for one in dialogues)
    rows: list[dict[str, Any]] = []
    for number, (dialogue, user) in enumerate(zip(dialogues, users, strict=True)):
        if user is not None and user not in small:
            name = f"{part}:{user}"
            rows += _rows(dialogue, name, f"{part}:{number}", contexts, partner, keep_candidates)
    report.count("rows", len(rows))
    report.log(file)
    return as_table(rows, file)


def _file(path: str | os.PathLike[str] | None, part: str, personas: str, wording: str) -> Path:
    """Return the raw file, with or without candidates."""
    if path is not None and Path(path).is_file():
        return Path(path)
    stem = f"{part}_{personas}_{wording}"
    names = [f"{stem}.txt", f"{stem}_no_cands.txt"]
    folders = ("", "convai2/", "ConvAI2/", "personachat/", "convai2_sample/")
    try:
        return corpus_path(path, [folder + name for folder in folders for name in names], f"{stem}.txt", _ORIGIN)
    except EpisodeError:
        given = Path(path) if path is not None else None
        found = sorted(one.name for one in given.glob("*_*_*.txt")) if given is not None and given.is_dir() else []
        if not found:
            raise
        raise EpisodeError(f"{given} has no {names[0]} or {names[1]}; it has {', '.join(found[:12])}.") from None


def _users(
    dialogues: Sequence[PersonaDialogue],
    file: Path,
    grouping: str | os.PathLike[str],
    min_shared: int,
    report: ReadReport,
) -> list[str | None]:
    """Return the user of each dialogue; None where its persona is missing, which goes to the report."""
    if grouping == "dialogue":
        return [str(number) for number in range(len(dialogues))]
    if not any(one.own for one in dialogues):
        raise EpisodeError(
            f"{file} has no line 'your persona: ...', so nothing says which dialogues are one user's; read the variant 'self' or "
            "'both', or pass grouping='dialogue' to make every dialogue a user."
        )
    for one in dialogues:
        if not one.own:
            report.problem("a dialogue without persona (left out)", file, one.line, "")
    keys = [persona_key(map(plain_sentence, one.own)) for one in dialogues]
    if grouping == "shared":
        groups = group_personas([key for key in keys if key], min_shared)
        return [str(groups[key]) if key else None for key in keys]
    known = map_lookup(read_persona_map(grouping))
    users: list[str | None] = []
    for one, key in zip(dialogues, keys, strict=True):
        written = [key, persona_key(map(reference_sentence, one.own)), persona_key(one.own)]
        found = [known[form] for form in written if form in known]
        if one.own and not found:
            raise EpisodeError(
                f"the persona map {os.fspath(grouping)!r} does not know the persona {list(key)} of {file}, line {one.line}; it may "
                "be the map of another part, of the revised wording, or of another release of the corpus."
            )
        users.append(found[0] if one.own else None)
    return users


def _rows(
    dialogue: PersonaDialogue, user: str, name: str, contexts: Contexts, partner: bool, candidates: bool
) -> list[dict[str, Any]]:
    """Return the rows of one dialogue."""
    own = [plain_sentence(sentence) for sentence in dialogue.own]
    turns: list[str] = []
    rows = []
    for place, (utterance, reply) in enumerate(dialogue.exchanges):
        turns.append(utterance)
        row: dict[str, Any] = {"persona": user, "persona_sentences": own, "dialogue": name, "turn": 2 * place + 1}
        row |= {"context": contexts.write(turns, own), "reply": reply}
        if partner:
            row["partner_sentences"] = [plain_sentence(sentence) for sentence in dialogue.partner]
        if candidates:
            row["candidates"] = dialogue.candidates[place]
        if sum(map(bool, turns)) >= contexts.min_turns:
            rows.append(row)
        turns.append(reply)
    return rows
