"""MojiTalk: raw files to pairs by emoji, the split by emoji, and what is refused."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from hfmeta.corpora import ReadReport, load_mojitalk, split_by_emoji
from hfmeta.corpora.dialogue import emoji_labels
from hfmeta.episodes import EpisodeError
from tiny_dialogues import EMOJI, write_mojitalk

PAIRS = (12, 11, 10, 9, 8, 7, 6, 5)


def test_files_become_pairs(tmp_path: Path) -> None:
    write_mojitalk(tmp_path)
    report = ReadReport()
    rows = load_mojitalk(tmp_path, report=report)
    assert rows.column_names == ["emoji", "context", "reply", "file", "line", "fold"]
    assert Counter(rows["emoji"]) == dict(zip(EMOJI, PAIRS, strict=False))
    first = {key: value for key, value in rows[0].items() if key != "fold"}
    assert first == {
        "emoji": "😂", "context": "what about tea 0", "reply": "tea it is 0", "file": "train", "line": 1,
    }  # fmt: skip
    assert (report.counts["pairs"], report.counts["emoji"]) == (68, 8)
    assert set(load_mojitalk(tmp_path, ["dev"])["file"]) == {"dev"}
    inside = tmp_path / "outer" / "mojitalk_data"
    write_mojitalk(inside)
    assert load_mojitalk(inside.parent).to_list() == rows.to_list()


def test_folds_are_even_within_an_emoji_and_seeded(tmp_path: Path) -> None:
    write_mojitalk(tmp_path)
    rows = load_mojitalk(tmp_path)
    for emoji, count in zip(EMOJI, PAIRS, strict=False):
        sizes = Counter(fold for e, fold in zip(rows["emoji"], rows["fold"], strict=True) if e == emoji)
        assert set(sizes) == set(range(5))
        assert max(sizes.values()) - min(sizes.values()) <= 1
        assert sum(sizes.values()) == count
    assert load_mojitalk(tmp_path)["fold"][:] == rows["fold"][:]
    assert load_mojitalk(tmp_path, seed=1)["fold"][:] != rows["fold"][:]


def test_labels_come_from_the_list_or_the_vocabulary(tmp_path: Path) -> None:
    write_mojitalk(tmp_path)
    assert emoji_labels(tmp_path)[:8] == EMOJI[:8]
    assert not {"!", "→", "<unk>", "tea"} & set(emoji_labels(tmp_path))
    (tmp_path / "emoji-test.txt").write_text(
        "# group: Smileys 64\n1F602 ; fully-qualified # 😂 face with tears of joy 64\n"
        "2764 FE0F ; fully-qualified # ❤️ red heart 64\n1F600 ; fully-qualified # 😀 grinning face\n",
        encoding="utf-8",
    )
    assert emoji_labels(tmp_path) == ["😂", "❤"]
    (tmp_path / "emoji-test.txt").unlink()
    (tmp_path / "vocab.ori").write_text("tea\n")
    with pytest.raises(EpisodeError, match=r"vocab.ori has no emoji"):
        emoji_labels(tmp_path)
    (tmp_path / "vocab.ori").unlink()
    with pytest.raises(EpisodeError, match="has neither emoji-test.txt nor vocab.ori"):
        emoji_labels(tmp_path)
    assert len(load_mojitalk(tmp_path, labels=EMOJI)) == 68


def test_the_variation_selector_plays_no_part(tmp_path: Path) -> None:
    write_mojitalk(tmp_path)
    path = tmp_path / "train.ori"
    path.write_text(path.read_text(encoding="utf-8").replace("❤", "❤\ufe0f"), encoding="utf-8")
    assert Counter(load_mojitalk(tmp_path)["emoji"])["❤"] == 11


def test_an_emoji_outside_the_labels_names_file_and_line(tmp_path: Path) -> None:
    write_mojitalk(tmp_path)
    lines = (tmp_path / "dev.ori").read_text(encoding="utf-8").splitlines()
    lines[2] = "🦄" + lines[2][1:]
    (tmp_path / "dev.ori").write_text("\n".join(lines), encoding="utf-8")
    with pytest.raises(
        EpisodeError, match=r"dev.ori, line 3, begins with '🦄', which is none of the 9 labels .*pass labels"
    ):
        load_mojitalk(tmp_path)


def test_files_of_unequal_length_name_the_line(tmp_path: Path) -> None:
    write_mojitalk(tmp_path)
    text = (tmp_path / "test.rep").read_text(encoding="utf-8")
    count = text.count("\n")
    (tmp_path / "test.rep").write_text(text + "one more reply\n", encoding="utf-8")
    with pytest.raises(
        EpisodeError,
        match=rf"test.rep, line {count + 1}, has no partner: test.ori ends after {count} lines, test.rep has {count + 1}",
    ):
        load_mojitalk(tmp_path)
    (tmp_path / "test.rep").unlink()
    with pytest.raises(EpisodeError, match=r"test.rep is missing"):
        load_mojitalk(tmp_path)
    (tmp_path / "empty").mkdir()
    with pytest.raises(EpisodeError, match="MojiTalk is not in .*; expected there: train.ori or dev.ori or test.ori"):
        load_mojitalk(tmp_path / "empty")


def test_short_and_unreadable_lines_are_counted(tmp_path: Path) -> None:
    write_mojitalk(tmp_path, (5,))
    ori, rep = (tmp_path / f"train.{end}" for end in ("ori", "rep"))
    ori.write_bytes(ori.read_bytes() + "😂 too short\n😂 this one is fine\n😂 so is this\n".encode())
    rep.write_bytes(rep.read_bytes() + b"a reply here\nalone\ncaf\xe9 au lait\n")
    report = ReadReport()
    assert len(load_mojitalk(tmp_path, report=report)) == 5
    assert report.bad == {
        "fewer than 3 words in a .ori (left out)": 1,
        "fewer than 2 words in a .rep (left out)": 1,
        "not UTF-8 (left out)": 1,
    }
    with pytest.raises(EpisodeError, match=r"train.ori, line 4: fewer than 3 words in a .ori: 'too short'"):
        load_mojitalk(tmp_path, strict=True)
    for name in ("dev", "test", "train"):
        (tmp_path / f"{name}.ori").write_text("😂 a\n", encoding="utf-8")
        (tmp_path / f"{name}.rep").write_text("b\n", encoding="utf-8")
    with pytest.raises(EpisodeError, match="has no pair that can be used"):
        load_mojitalk(tmp_path)


def test_the_split(tmp_path: Path) -> None:
    rows = load_mojitalk(write_mojitalk(tmp_path))
    parts = split_by_emoji(rows, {"train": 4, "valid": 2, "test": 2}, seed=3, cap=6)
    emoji = {part: set(table["emoji"]) for part, table in parts.items()}
    assert [len(found) for found in emoji.values()] == [4, 2, 2]
    assert set.union(*emoji.values()) == set(EMOJI[:8])
    size = dict(zip(EMOJI, PAIRS, strict=False))
    for part, table in parts.items():
        assert Counter(table["emoji"]) == {e: size[e] if part == "test" else min(size[e], 6) for e in emoji[part]}
    assert (
        parts["train"]["line"][:] == split_by_emoji(rows, {"train": 4, "valid": 2, "test": 2}, 3, 6)["train"]["line"][:]
    )
    others = {
        frozenset(split_by_emoji(rows, {"train": 4, "test": 4}, seed, None)["train"]["emoji"]) for seed in range(6)
    }
    assert len(others) > 2
    shuffled = rows.shuffle(seed=4)
    again = split_by_emoji(shuffled, {"train": 4, "valid": 2, "test": 2}, seed=3, cap=6)
    assert {part: set(table["emoji"]) for part, table in again.items()} == emoji, "order in the files plays no part"


def test_refusals_of_splits(tmp_path: Path) -> None:
    rows = load_mojitalk(write_mojitalk(tmp_path))
    with pytest.raises(EpisodeError, match="asks for 64 emoji, at least one a part; the rows have 8"):
        split_by_emoji(rows)
    with pytest.raises(EpisodeError, match="at least one a part"):
        split_by_emoji(rows, {"train": 4, "test": 0})
    with pytest.raises(EpisodeError, match="cap must be a whole number of at least 1 pair, got 0"):
        split_by_emoji(rows, {"train": 4, "test": 1}, cap=0)
