"""Persona-Chat raw files: all variants, grouping into users, contexts, and every kind of bad line."""

from __future__ import annotations

import logging
import os
import pickle
from pathlib import Path

import numpy as np
import pytest

from hfmeta.corpora import Contexts, ReadReport, load_persona_chat
from hfmeta.corpora.dialogue import read_persona_chat, write_persona_map
from hfmeta.episodes import EpisodeDataset, EpisodeError
from tiny import tiny_tokenizer
from tiny_dialogues import persona, subset, write_persona_chat

GOOD = "1 your persona: i like tea.\n2 hi .\thello .\n"


def write(folder: Path, text: str | bytes) -> Path:
    path = folder / "file.txt"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def test_a_file_becomes_rows_with_the_last_dialogue(tmp_path: Path) -> None:
    write_persona_chat(tmp_path, users=2, dialogues=2, exchanges=2)
    rows = load_persona_chat(tmp_path)
    assert rows.column_names == ["persona", "persona_sentences", "dialogue", "turn", "context", "reply"]
    assert len(rows) == 8
    assert rows["persona"][:] == ["train:0"] * 2 + ["train:1"] * 2 + ["train:0"] * 2 + ["train:1"] * 2
    assert rows["dialogue"][:] == [f"train:{d}" for d in range(4) for _ in range(2)]
    assert rows[1] == {
        "persona": "train:0",
        "persona_sentences": [one.removesuffix(".") for one in subset(0, 0)],
        "dialogue": "train:0",
        "turn": 3,
        "context": "how is it , u 0 d 0 t 0 ? my tea are fine , d 0 t 0 how is it , u 0 d 0 t 1 ?",
        "reply": "my tea are fine , d 0 t 1",
    }
    # The user speaks first in the second round: nothing stands before the first reply.
    assert rows[4]["context"] == ""
    assert rows[5]["context"] == "my tea are fine , d 1 t 0 how is it , u 0 d 1 t 1 ?"


@pytest.mark.parametrize("personas", ["self", "both", "other", "none"])
@pytest.mark.parametrize("wording", ["original", "revised"])
@pytest.mark.parametrize("candidates", [True, False])
def test_every_variant(tmp_path: Path, personas: str, wording: str, candidates: bool) -> None:
    path = write_persona_chat(tmp_path, personas=personas, wording=wording, candidates=candidates)
    report = ReadReport()
    grouping = "shared" if personas in ("self", "both") else "dialogue"
    rows = load_persona_chat(
        tmp_path,
        "train",
        personas=personas,
        wording=wording,
        grouping=grouping,
        min_dialogues=1,
        keep_candidates=candidates,
        report=report,
    )
    assert (
        rows.to_list()
        == load_persona_chat(path, grouping=grouping, min_dialogues=1, keep_candidates=candidates).to_list()
    )
    assert len(rows) == 36
    assert report.counts["dialogues"] == 12
    assert not report.bad
    assert len(set(rows["persona"])) == (4 if grouping == "shared" else 12)
    assert ("partner_sentences" in rows.column_names) == (personas in ("both", "other"))
    assert bool(rows[0]["persona_sentences"]) == (personas in ("self", "both"))
    if candidates:
        assert rows[0]["candidates"] == ["no .", "maybe .", rows[0]["reply"]]
    if personas == "both":
        assert rows[0]["partner_sentences"] == [one.removesuffix(".") for one in subset(1, 0)]


def test_files_without_the_users_own_persona_cannot_be_grouped(tmp_path: Path) -> None:
    write_persona_chat(tmp_path, personas="none")
    with pytest.raises(
        EpisodeError, match="no line 'your persona: ...'.*'self' or 'both', or pass grouping='dialogue'"
    ):
        load_persona_chat(tmp_path, personas="none")


def test_contexts(tmp_path: Path) -> None:
    path = write(tmp_path, "1 your persona: i like tea.\n2 a b\tc d\n3 e\tf\n4 g\th\n")

    def contexts(**options) -> list[str]:
        rows = load_persona_chat(path, min_dialogues=1, contexts=Contexts(**options))
        return rows["context"][:]

    assert contexts() == ["a b", "a b c d e", "a b c d e f g"]
    assert contexts(separator=" | ") == ["a b", "a b | c d | e", "a b | c d | e | f | g"]
    assert contexts(max_tokens=3) == ["a b", "c d e", "e f g"]
    assert contexts(max_turns=2) == ["a b", "c d e", "f g"]
    assert contexts(min_turns=2) == ["a b c d e", "a b c d e f g"]
    assert contexts(with_persona=True, max_turns=1) == ["i like tea a b", "i like tea e", "i like tea g"]
    with pytest.raises(EpisodeError, match="max_tokens must be a whole number of at least 1 token, got 0"):
        Contexts(max_tokens=0)
    with pytest.raises(EpisodeError, match=r"separator='\|' would glue turns to it"):
        Contexts(separator="|")


def test_users_with_few_dialogues(tmp_path: Path) -> None:
    text = GOOD * 2 + "1 your persona: i like chess.\n2 hi .\tyes .\n"
    report = ReadReport()
    assert set(load_persona_chat(write(tmp_path, text), report=report, min_shared=1)["persona"]) == {"train:0"}
    assert report.counts["users left out with fewer than 2 dialogues"] == 1
    assert report.counts["users"] == 1
    assert set(load_persona_chat(tmp_path / "file.txt", min_dialogues=1)["persona"]) == {"train:0", "train:1"}
    with pytest.raises(EpisodeError, match="has no dialogue that can be used"):
        load_persona_chat(tmp_path / "file.txt", min_dialogues=3)


BAD_LINES = {
    "hello\n": "no number in front",
    "\n": "no number in front",
    "3 only one side\n": "a turn without a reply",
    "3 hi\tyes\tmore\n": "another number of fields",
    "3 \tyes\n": "an empty utterance or reply",
    "3 hi\t \n": "an empty utterance or reply",
    "3 your persona: i am late.\n": "a persona line after a turn",
    "3 your persona: \n": "an empty persona sentence",
    "5 hi\tyes\n": "a gap in the numbers",
    "2 hi\tyes\n": "a dialogue that does not begin at 1",
    "1 your persona: i am alone.\n": "a dialogue without turns",
    "1 hi\tyes\n": "a dialogue without persona",
}


@pytest.mark.parametrize("line", BAD_LINES, ids=list(BAD_LINES.values()))
def test_bad_lines_are_counted_or_raise(tmp_path: Path, line: str, caplog: pytest.LogCaptureFixture) -> None:
    path = write(tmp_path, GOOD + line + GOOD)
    report = ReadReport()
    with caplog.at_level(logging.WARNING):
        rows = load_persona_chat(path, min_dialogues=1, report=report)
    kinds = [kind for kind in report.bad if kind.startswith(BAD_LINES[line])]
    assert len(kinds) == 1
    assert report.bad[kinds[0]] == 1
    assert report.first[kinds[0]] == [(str(path), 3)]
    assert len([r for r in caplog.records if "line 3" in r.message]) == 1
    assert rows["reply"][:].count("hello .") == 2
    if "(kept)" in kinds[0]:
        assert "yes" in rows["reply"] or line.startswith("2")
    with pytest.raises(EpisodeError, match=r"file.txt, line 3: " + BAD_LINES[line]):
        load_persona_chat(path, min_dialogues=1, strict=True)


def test_lines_that_are_not_utf8(tmp_path: Path) -> None:
    path = write(tmp_path, GOOD.encode() + b"3 caf\xe9\tyes\r\n" + GOOD.replace("\n", "\r\n").encode())
    report = ReadReport()
    rows = load_persona_chat(path, report=report)
    assert rows["reply"][:] == ["hello ."] * 2
    assert report.bad == {"not UTF-8 (left out)": 1}
    with pytest.raises(EpisodeError, match=r"line 3: not UTF-8: '3 caf"):
        load_persona_chat(path, strict=True)


def test_a_gold_reply_that_is_no_candidate_is_used_and_counted(tmp_path: Path) -> None:
    path = write(tmp_path, "1 your persona: a.\n2 hi\tyes\t\tno|maybe\n")
    report = ReadReport()
    assert load_persona_chat(path, min_dialogues=1, report=report)["reply"][:] == ["yes"]
    assert report.counts["replies that are not among their candidates"] == 1


def test_refusals_of_files_and_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(EpisodeError, match="personas='selfs' is unknown; .*Did you mean 'self'"):
        load_persona_chat(tmp_path, personas="selfs")
    with pytest.raises(EpisodeError, match="wording='new' is unknown; choose one of 'original', 'revised'"):
        load_persona_chat(tmp_path, wording="new")
    with pytest.raises(
        EpisodeError, match=r"train_self_original.txt is not in .*; expected there: train_self_original.txt or"
    ):
        load_persona_chat(tmp_path)
    write_persona_chat(tmp_path, "valid")
    with pytest.raises(
        EpisodeError, match=r"has no test_self_original.txt or .*; it has valid_self_original_no_cands.txt"
    ):
        load_persona_chat(tmp_path, "test")
    monkeypatch.delenv("HFMETA_DATA", raising=False)
    with pytest.raises(EpisodeError, match="pass root=.* data.root=.*, or set HFMETA_DATA"):
        load_persona_chat()
    for text in ("", "nothing here\n", "1 your persona: a.\n"):
        with pytest.raises(EpisodeError, match="has no dialogue; lines such as '1 your persona"):
            read_persona_chat(write(tmp_path, text), ReadReport())
    with pytest.raises(EpisodeError, match="is missing; a text file was expected"):
        read_persona_chat(tmp_path / "no.txt", ReadReport())


class TestMaps:
    """Grouping by a map file: JSON, and a pickle as published."""

    @pytest.fixture
    def descriptions(self) -> dict[int, list[list[str]]]:
        """Users 0 and 1 of the corpus are one user of the map; keys as the reference code has them, without the last character."""
        keys = [[sorted(one[:-1] for one in subset(user, d)) for d in range(3)] for user in range(4)]
        return {7: keys[0] + keys[1], 8: keys[2], 9: keys[3]}

    def expected(self) -> list[str]:
        return [f"train:{user}" for _ in range(3) for user in (7, 7, 8, 9) for _ in range(3)]

    def test_json(self, tmp_path: Path, descriptions: dict[int, list[list[str]]]) -> None:
        write_persona_chat(tmp_path)
        write_persona_map(descriptions, tmp_path / "map.json")
        assert load_persona_chat(tmp_path, grouping=tmp_path / "map.json")["persona"][:] == self.expected()

    @pytest.mark.parametrize("protocol", [2, 3, 4, 5])
    def test_pickle(self, tmp_path: Path, descriptions: dict[int, list[list[str]]], protocol: int) -> None:
        write_persona_chat(tmp_path)
        keys = {(np.int32(user) if protocol > 2 else user): found for user, found in descriptions.items()}
        (tmp_path / "train_persona_map").write_bytes(pickle.dumps(keys, protocol))
        assert load_persona_chat(tmp_path, grouping=tmp_path / "train_persona_map")["persona"][:] == self.expected()

    def test_a_sentence_with_a_colon_or_another_ending_is_found(self, tmp_path: Path) -> None:
        path = write(tmp_path, "1 your persona: my motto: live!\n2 your persona: i run!\n3 hi\tyes\n")
        for key in (["my mott", "i run"], ["my motto: live!", "i run!"]):
            write_persona_map({"a": [key]}, tmp_path / "map.json")
            assert load_persona_chat(path, grouping=tmp_path / "map.json", min_dialogues=1)["persona"][:] == ["train:a"]

    def test_an_unknown_persona_is_named(self, tmp_path: Path, descriptions: dict[int, list[list[str]]]) -> None:
        write_persona_chat(tmp_path)
        del descriptions[8]
        write_persona_map(descriptions, tmp_path / "map.json")
        missing = persona(2)[1][:-1]
        with pytest.raises(
            EpisodeError, match=rf"does not know the persona \[.*{missing}.*\] of .*_no_cands.txt, line 13; it may"
        ):
            load_persona_chat(tmp_path, grouping=tmp_path / "map.json")

    def test_a_description_of_two_users(self, tmp_path: Path) -> None:
        write_persona_chat(tmp_path)
        write_persona_map({"a": [["x", "y"]], "b": [["y", "x"]]}, tmp_path / "map.json")
        with pytest.raises(EpisodeError, match=r"gives \['x', 'y'\] to both user a and user b"):
            load_persona_chat(tmp_path, grouping=tmp_path / "map.json")


def test_episodes_of_dialogues_encode(tmp_path: Path) -> None:
    rows = load_persona_chat(write_persona_chat(tmp_path))
    episodes = EpisodeDataset(
        rows,
        task_column="persona",
        input_column="context",
        target_column="reply",
        task_type="seq2seq-lm",
        group_column="dialogue",
        processing_class=tiny_tokenizer(),
    )
    episode = episodes[0]
    assert episode["support"]["labels"].shape[0] == 6
    assert episode["query"]["labels"].shape[0] == 3
    assert bool((episode["support"]["attention_mask"].sum(1) >= 1).all())


@pytest.mark.skipif(not os.environ.get("HFMETA_DATA"), reason="the ConvAI2 sample is not at hand")
def test_the_convai2_sample() -> None:
    users = {}
    for part in ("train", "valid"):
        report = ReadReport()
        rows = load_persona_chat(part=part, min_dialogues=1, report=report)
        assert (report.counts["dialogues"], report.counts["exchanges"], len(rows)) == (9, 66, 66)
        assert not report.bad
        users[part] = len(set(rows["persona"]))
    assert users == {"train": 9, "valid": 8}
