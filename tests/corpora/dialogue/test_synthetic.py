"""Synthetic-Persona-Chat: the reading rule and its flags, rows of both users, grouping, placeholders, words."""

from __future__ import annotations

import csv
import logging
import os
from pathlib import Path

import pytest

from hfmeta.corpora import Contexts, ReadReport, load_synthetic_persona_chat, split_by_persona
from hfmeta.corpora.dialogue import MASK, dialogue_counts, read_persona_groups, read_synthetic_persona_chat
from hfmeta.episodes import EpisodeError
from tiny_dialogues import write_synthetic

HEADER = ["user 1 personas", "user 2 personas", "Best Generated Conversation"]
ONE, TWO = "I like tea.\nI run.", "I draw.\nI sleep."


def write(folder: Path, *dialogues: str, rows: list[list[str]] | None = None) -> Path:
    path = folder / "Synthetic-Persona-Chat_valid.csv"
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([HEADER, *([[ONE, TWO, d] for d in dialogues] if rows is None else rows)])
    return path


def test_both_users_of_a_dialogue_have_rows(tmp_path: Path) -> None:
    rows = load_synthetic_persona_chat(write(tmp_path, "User 1: Hi!\nUser 2: Hello.\nUser 1: Tea?"))
    assert rows.to_list() == [
        {
            "persona": str(turn % 2),
            "persona_sentences": (["I like tea", "I run"], ["I draw", "I sleep"])[turn % 2],
            "dialogue": "1",
            "turn": turn,
            "context": context,
            "reply": reply,
            "partner": str(1 - turn % 2),
        }
        for turn, (context, reply) in enumerate([("", "Hi!"), ("Hi!", "Hello."), ("Hi! Hello.", "Tea?")])
    ]
    later = load_synthetic_persona_chat(tmp_path, contexts=Contexts(min_turns=1, separator=" / "))
    assert later["context"][:] == ["Hi!", "Hi! / Hello."]


def test_the_reading_rule_and_its_flags(tmp_path: Path) -> None:
    path = write(
        tmp_path,
        "User 1: Hi [name]!\n\nUser 2: Hello.",
        "*User 1:* Hi!\n*User 2:* _Hello._",
        "User 1: Hi!\n* * *\nUser 1: Still here?\nUser 2: Yes.",
        "A stage direction\nUser 2: Hello.\n **User  1** : Hi!",
    )
    report = ReadReport(where="row")
    found = read_synthetic_persona_chat(path, report)
    assert [one.flags for one in found] == [
        ("placeholder",),
        ("starred_prefix",),
        ("other_lines", "same_speaker_twice"),
        ("other_lines", "starts_with_user_2"),
    ]
    assert found[1].turns == [(0, "Hi!"), (1, "Hello.")]
    assert found[2].turns == [(0, "Hi!"), (0, "Still here?"), (1, "Yes.")]
    assert found[3].turns == [(1, "Hello.")]
    assert report.bad == {"a line that is no turn (left out)": 3}
    assert {place for _, place in report.first["a line that is no turn (left out)"]} == {3, 4}
    assert (report.counts["dialogues"], report.counts["turns"]) == (4, 8)
    with pytest.raises(EpisodeError, match=r"row 3: a line that is no turn: '\* \* \*'"):
        load_synthetic_persona_chat(path, strict=True)


@pytest.mark.parametrize(
    ("option", "contexts", "replies"),
    [
        ("keep", ["", "Hi [user 2's name]!"], ["Hi [user 2's name]!", "Hello."]),
        ("mask", ["", f"Hi {MASK}!"], [f"Hi {MASK}!", "Hello."]),
        ("drop", [""], ["Hello."]),
    ],
)
def test_placeholders(tmp_path: Path, option: str, contexts: list[str], replies: list[str]) -> None:
    path = write(tmp_path, "User 1: Hi [user 2's name]!\nUser 2: Hello.")
    report = ReadReport()
    rows = load_synthetic_persona_chat(path, placeholders=option, report=report)
    assert rows["reply"][:] == replies
    assert rows["context"][:] == contexts
    word = {"keep": None, "mask": "masked", "drop": "left out"}[option]
    assert report.counts.get(f"turns with placeholders, {word}", 0) == (0 if word is None else 1)
    with pytest.raises(EpisodeError, match="placeholders='masc' is unknown.*Did you mean 'mask'"):
        load_synthetic_persona_chat(path, placeholders="masc")


def test_words_and_punctuation(tmp_path: Path) -> None:
    rows = load_synthetic_persona_chat(write(tmp_path, "User 1: It’s 5 o'clock, [name]!\nUser 2: So?!"), tokenise=True)
    assert rows["reply"][:] == [f"it's 5 o'clock , {MASK} !", "so ? !"]
    assert rows[0]["persona_sentences"] == ["i like tea", "i run"]


def test_subsets_of_a_persona_are_one_task(tmp_path: Path) -> None:
    write_synthetic(tmp_path, users=6, rounds=3)
    rows = load_synthetic_persona_chat(tmp_path)
    assert dialogue_counts(rows) == {
        "personas": 6,
        "dialogues": 18,
        "replies": 108,
        "dialogues_per_persona": 6.0,
        "replies_per_persona": 18.0,
    }
    assert len(set(load_synthetic_persona_chat(tmp_path, min_shared=4)["persona"])) == 18


def test_groups_of_a_file(tmp_path: Path) -> None:
    path = write(tmp_path, "User 1: Hi!\nUser 2: Hello.", "User 1: Hi!")
    groups = tmp_path / "groups.csv"
    groups.write_text("row,user,persona_id,flags\n1,1,a,\n1,2,b,\n2,1,c,x\n2,2,b,\n")
    assert read_persona_groups(groups) == {(1, 1): "a", (1, 2): "b", (2, 1): "c", (2, 2): "b"}
    rows = load_synthetic_persona_chat(path, groups=groups)
    assert rows["persona"][:] == ["a", "b", "c"]
    assert rows["partner"][:] == ["b", "a", "b"]
    groups.write_text("row,user,persona_id\n1,1,a\n1,2,b\n")
    with pytest.raises(EpisodeError, match=r"groups.csv' has no persona for row 2; it belongs to another file"):
        load_synthetic_persona_chat(path, groups=groups)
    groups.write_text("row,user,persona_id\n1,3,a\n")
    with pytest.raises(EpisodeError, match=r"groups.csv, row 1: row='1', user='3', persona_id='a'; a number, 1 or 2"):
        load_synthetic_persona_chat(path, groups=groups)
    groups.write_text("row,user\n1,1\n")
    with pytest.raises(EpisodeError, match=r"no column 'persona_id'; the columns found are \['row', 'user'\]"):
        load_synthetic_persona_chat(path, groups=groups)


def test_bad_rows(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    good = [ONE, TWO, "User 1: Hi!"]
    path = write(tmp_path, rows=[good, [ONE, TWO], [ONE, "", "User 1: Hi!"], [ONE, TWO, "nobody speaks"], good])
    report = ReadReport(where="row")
    with caplog.at_level(logging.WARNING):
        assert load_synthetic_persona_chat(path, report=report)["dialogue"][:] == ["1", "5"]
    assert report.bad == {
        "2 cells, not 3 (left out)": 1,
        "a dialogue without personas (left out)": 1,
        "a line that is no turn (left out)": 1,
        "a dialogue without turns (left out)": 1,
    }
    assert len(caplog.records) == 1
    assert "1 x 2 cells, not 3 (left out), row 2" in caplog.text


def test_refusals_of_files(tmp_path: Path) -> None:
    with pytest.raises(EpisodeError, match="Synthetic-Persona-Chat is not in"):
        load_synthetic_persona_chat(tmp_path)
    path = tmp_path / "x.csv"
    with pytest.raises(EpisodeError, match="is no file"):
        read_synthetic_persona_chat(path, ReadReport())
    path.write_bytes(b"user 1 personas\ncaf\xe9")
    with pytest.raises(EpisodeError, match=r"x.csv, line 2, is not UTF-8"):
        load_synthetic_persona_chat(path)
    path.write_text("a,b\n1,2\n")
    with pytest.raises(EpisodeError, match="no columns 'user 1 personas', 'user 2 personas', 'Best Generated"):
        load_synthetic_persona_chat(path)
    path.write_text(",".join(HEADER) + '\n"a",b"c"\n"open')
    with pytest.raises(EpisodeError, match="cannot be read as CSV"):
        load_synthetic_persona_chat(path)
    with pytest.raises(EpisodeError, match="has no dialogue; the third column"):
        load_synthetic_persona_chat(write(tmp_path))


@pytest.mark.skipif(not os.environ.get("HFMETA_DATA"), reason="the corpus is not at hand")
def test_the_corpus_itself() -> None:
    folder = Path(os.environ["HFMETA_DATA"]) / "synthetic_persona_chat"
    groups = folder / "persona_groups_valid.csv"
    report = ReadReport(where="row")
    rows = load_synthetic_persona_chat(report=report)
    assert {name: report.counts[name] for name in ("dialogues", "turns", "personas", "rows")} == {
        "dialogues": 1000,
        "turns": 27777,
        "personas": 100,
        "rows": 27777,
    }
    assert report.counts["turns with placeholders, masked"] == 716
    listed = load_synthetic_persona_chat(groups=groups)
    assert listed["persona"][:] == rows["persona"][:]
    assert listed["partner"][:] == rows["partner"][:]
    with groups.open(newline="", encoding="utf-8") as file:
        flags = {int(row["row"]): {*filter(None, row["flags"].split(";"))} for row in csv.DictReader(file)}
    found = read_synthetic_persona_chat(folder / "Synthetic-Persona-Chat_valid.csv", ReadReport())
    assert {one.row: {*one.flags} for one in found} == flags
    parts = split_by_persona(rows, seed=0)
    counts = {part: dialogue_counts(table) for part, table in parts.items()}
    assert {part: (c["personas"], c["dialogues"], c["replies"]) for part, c in counts.items()} == {
        "train": (80, 633, 17573),
        "valid": (10, 176, 2616),
        "test": (10, 191, 2765),
    }
