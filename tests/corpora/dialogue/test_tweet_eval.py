"""TweetEval's emoji files: tweets with class labels, and what is refused."""

from __future__ import annotations

from pathlib import Path

import pytest
from datasets import ClassLabel

from hfmeta.corpora import ReadReport, load_tweet_eval_emoji
from hfmeta.episodes import EpisodeError
from tiny_dialogues import EMOJI, write_tweet_eval


@pytest.mark.parametrize(("part", "stem"), [("train", "train"), ("valid", "val"), ("test", "test")])
@pytest.mark.parametrize("inner", ["", "datasets/emoji"])
def test_parts(tmp_path: Path, part: str, stem: str, inner: str) -> None:
    write_tweet_eval(tmp_path / inner)
    rows = load_tweet_eval_emoji(tmp_path, part)
    assert rows.features["label"] == ClassLabel(names=EMOJI)
    assert len(rows) == 40
    assert rows[11] == {"text": f"{stem} 11 about cats @ home", "label": 1}


def test_bad_lines(tmp_path: Path) -> None:
    write_tweet_eval(tmp_path, emoji=2, tweets=2)
    (tmp_path / "val_text.txt").write_bytes(b"one\n \ncaf\xe9\nfour\x85five\n".replace(b"\x85", "\u2028".encode()))
    report = ReadReport()
    assert load_tweet_eval_emoji(tmp_path, "valid", report=report)["text"][:] == ["one", "four\u2028five"]
    assert report.bad == {"an empty tweet (left out)": 1, "not UTF-8 (left out)": 1}
    with pytest.raises(EpisodeError, match=r"val_text.txt, line 2: an empty tweet"):
        load_tweet_eval_emoji(tmp_path, "valid", strict=True)
    (tmp_path / "val_text.txt").write_text(" \n" * 4)
    with pytest.raises(EpisodeError, match=r"val_text.txt has no tweet"):
        load_tweet_eval_emoji(tmp_path, "valid")


def test_refusals(tmp_path: Path) -> None:
    with pytest.raises(EpisodeError, match="TweetEval's emoji part is not in .*mapping.txt"):
        load_tweet_eval_emoji(tmp_path)
    write_tweet_eval(tmp_path)
    with pytest.raises(EpisodeError, match="part='val' is unknown; .* Did you mean 'valid'"):
        load_tweet_eval_emoji(tmp_path, "val")
    labels = tmp_path / "train_labels.txt"
    good = labels.read_text()
    labels.write_text(good.replace("7", "10", 1))
    with pytest.raises(EpisodeError, match=r"train_labels.txt, line 8, is '10'; the labels are 0 to 9"):
        load_tweet_eval_emoji(tmp_path)
    labels.write_text(good.replace("7", "heart", 1))
    with pytest.raises(EpisodeError, match=r"train_labels.txt, line 8, is 'heart'"):
        load_tweet_eval_emoji(tmp_path)
    labels.write_text(good[:-4])
    with pytest.raises(
        EpisodeError, match=r"train_text.txt, line 39, has no partner: train_labels.txt ends after 38 lines"
    ):
        load_tweet_eval_emoji(tmp_path)
    labels.unlink()
    with pytest.raises(EpisodeError, match=r"train_labels.txt is missing"):
        load_tweet_eval_emoji(tmp_path)
    for text, message in (
        ("1\t😂\n", r"line 1, is '1\\t😂'; '0<TAB>emoji"),
        ("0\t😂\n2\t❤\n", "line 2, .*'1<TAB>"),
        ("", "is empty"),
    ):
        (tmp_path / "mapping.txt").write_text(text, encoding="utf-8")
        with pytest.raises(EpisodeError, match=rf"mapping.txt.* {message}"):
            load_tweet_eval_emoji(tmp_path, "test")
