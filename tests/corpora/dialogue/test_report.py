"""Reports of bad lines, and lines read from one file or from files that belong together."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from hfmeta.corpora import ReadReport
from hfmeta.corpora.dialogue.report import aligned_lines, text_lines
from hfmeta.episodes import EpisodeError


def test_counts_kinds_and_the_first_lines(caplog: pytest.LogCaptureFixture) -> None:
    report = ReadReport()
    report.count("turns", 12)
    for line in (3, 3, 9, 10, 11, 12, 13):
        report.problem("no tab (left out)", "a.txt", line, "x")
    report.problem("a gap (kept)", "a.txt", 7, "y")
    assert report.bad == {"no tab (left out)": 7, "a gap (kept)": 1}
    assert [line for _, line in report.first["no tab (left out)"]] == [3, 9, 10, 11, 12]
    expected = "a.txt: 12 turns; 7 x no tab (left out), line 3, 9, 10, 11, 12, ...; 1 x a gap (kept), line 7"
    assert report.summary("a.txt") == expected
    with caplog.at_level(logging.INFO):
        report.log("a.txt")
        ReadReport().log("b.txt")
    assert [(r.levelname, r.message) for r in caplog.records] == [("WARNING", expected), ("INFO", "b.txt: nothing")]


def test_strict_names_file_line_and_text() -> None:
    report = ReadReport(strict=True, where="row")
    with pytest.raises(EpisodeError, match=r"^a.csv, row 3: no tab: 'x{80}'\.$"):
        report.problem("no tab (left out)", "a.csv", 3, "x" * 200)


def test_lines_end_at_line_feeds_alone(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes("\ufeffone\u2028still\r\ntwo\x0bstill\n\nfour".encode())
    assert list(text_lines(tmp_path / "a", ReadReport())) == [
        (1, "one\u2028still"),
        (2, "two\x0bstill"),
        (3, ""),
        (4, "four"),
    ]
    (tmp_path / "a").write_bytes(b"")
    assert list(text_lines(tmp_path / "a", ReadReport())) == []
    with pytest.raises(EpisodeError, match="is a folder; a text file was expected"):
        list(text_lines(tmp_path, ReadReport()))


def test_a_line_with_one_unreadable_side_is_left_out(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"1\n2\xff\n3\n")
    (tmp_path / "b").write_bytes(b"x\ny\nz")
    report = ReadReport()
    assert list(aligned_lines([tmp_path / "a", tmp_path / "b"], report)) == [(1, ["1", "x"]), (3, ["3", "z"])]
    assert report.first == {"not UTF-8 (left out)": [(str(tmp_path / "a"), 2)]}
