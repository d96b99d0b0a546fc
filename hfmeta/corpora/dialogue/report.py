"""What a reader found: counts, and the lines it could not use. Reading itself is in the file of each corpus."""

from __future__ import annotations

import logging
import os
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

from hfmeta.episodes.errors import EpisodeError

logger = logging.getLogger(__name__)
SHOWN = 5  # line numbers that a report keeps of each kind of problem


class ReadReport:
    """Counts of what was read and of every line that was not used as it stands; nothing is dropped without an entry here.

    Args:
        strict: raise at the first bad line rather than count it.
        where: how a place is called in messages: "line", or "row" of a table.

    Attributes:
        counts: what was read or left out on purpose, by name.
        bad: number of bad lines by kind; a kind says what happened to them, such as "no reply (left out)".
        first: the first few places of each kind, `(file, number)`.
    """

    def __init__(self, strict: bool = False, where: str = "line"):
        self.strict, self.where = strict, where
        self.counts: Counter[str] = Counter()
        self.bad: Counter[str] = Counter()
        self.first: dict[str, list[tuple[str, int]]] = {}

    def count(self, name: str, number: int = 1) -> None:
        """Add to a count.

        Args:
            name: what is counted.
            number: how many.
        """
        self.counts[name] += number

    def problem(self, kind: str, path: str | os.PathLike[str], number: int, text: str) -> None:
        """Note a bad line.

        Args:
            kind: what is wrong, and in brackets what is done.
            path: the file.
            number: the line (from 1).
            text: the line itself, for the message.

        Raises:
            EpisodeError: the report is strict.
        """
        if self.strict:
            raise EpisodeError(f"{os.fspath(path)}, {self.where} {number}: {kind.split(' (')[0]}: {text[:80]!r}.")
        self.bad[kind] += 1
        places = self.first.setdefault(kind, [])
        place = (os.fspath(path), number)
        if len(places) < SHOWN and place not in places:
            places.append(place)

    def summary(self, source: str | os.PathLike[str]) -> str:
        """Return counts and bad lines as one sentence each.

        Args:
            source: what was read.
        """
        parts = [f"{os.fspath(source)}: " + (", ".join(f"{n} {name}" for name, n in self.counts.items()) or "nothing")]
        for kind, number in self.bad.items():
            places = ", ".join(str(line) for _, line in self.first[kind])
            more = ", ..." if len(self.first[kind]) == SHOWN else ""
            parts.append(f"{number} x {kind}, {self.where} {places}{more}")
        return "; ".join(parts)

    def log(self, source: str | os.PathLike[str]) -> None:
        """Say the summary once: as a warning where lines were bad, else as information.

        Args:
            source: what was read.
        """
        logger.log(logging.WARNING if self.bad else logging.INFO, "%s", self.summary(source))


def text_lines(path: Path, report: ReadReport) -> Iterator[tuple[int, str]]:
    """Yield `(number, text)` of each line, without its end; a line that is not UTF-8 goes to the report.

    Only a line feed ends a line (a carriage return before it is dropped): other separators may occur inside a sentence.

    Args:
        path: the file.
        report: where bad lines go.

    Raises:
        EpisodeError: no such file.
    """
    for number, (text,) in aligned_lines([path], report):
        yield number, text


def aligned_lines(paths: Sequence[Path], report: ReadReport) -> Iterator[tuple[int, list[str]]]:
    """Yield `(number, texts)` of files that belong together line by line.

    Args:
        paths: the files.
        report: where lines go of which one side is not UTF-8.

    Raises:
        EpisodeError: no such file, or files of unequal length (names the first line without a partner).
    """
    files = [_raw_lines(path) for path in paths]
    short, long = (pick(range(len(files)), key=lambda i: len(files[i])) for pick in (min, max))
    if len(files[short]) != len(files[long]):
        least = len(files[short])
        raise EpisodeError(
            f"{paths[long]}, line {least + 1}, has no partner: {paths[short].name} ends after {least} lines, "
            f"{paths[long].name} has {len(files[long])}. They are aligned line by line; fetch them again."
        )
    for number, lines in enumerate(zip(*files, strict=True), start=1):
        texts = []
        for path, line in zip(paths, lines, strict=True):
            try:
                texts.append(line.removesuffix(b"\r").decode("utf-8"))
            except UnicodeDecodeError:
                report.problem("not UTF-8 (left out)", path, number, line.decode("utf-8", "replace"))
                break
        else:
            yield number, texts


def _raw_lines(path: Path) -> list[bytes]:
    """Return the lines of a file; a line feed at the very end begins no further line."""
    try:
        data = path.read_bytes()
    except (FileNotFoundError, IsADirectoryError) as error:
        what = "is a folder" if path.is_dir() else "is missing"
        raise EpisodeError(f"{path} {what}; a text file was expected there.") from error
    lines = data.removeprefix(b"\xef\xbb\xbf").split(b"\n")
    return lines[:-1] if lines[-1] == b"" else lines
