"""Sizes and SHA-256 of files, recorded where they are written and compared where they are read."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any


def checksums(folder: Path, paths: Iterable[Path]) -> dict[str, dict[str, Any]]:
    """Size in bytes and SHA-256 of files, by their name within the folder."""
    return {
        path.relative_to(folder).as_posix(): {"size": path.stat().st_size, "sha256": _sha256(path)}
        for path in sorted(paths)
    }


def first_difference(folder: Path, recorded: Any) -> str | None:
    """What is wrong with the first file that is not as recorded, or None.

    Args:
        folder: where the files lie.
        recorded: what `checksums` gave, possibly out of a file that somebody else wrote.
    """
    if not isinstance(recorded, Mapping) or not all(isinstance(entry, Mapping) for entry in recorded.values()):
        return "its list of checksums is damaged"
    for name, entry in recorded.items():
        path = folder / name
        if Path(name).is_absolute() or ".." in Path(name).parts:
            return f"its list of checksums names {name!r}, which is outside of it"
        if not path.is_file():
            return f"{name} is missing"
        if path.stat().st_size != entry.get("size"):
            return f"{name} has {path.stat().st_size:,} bytes instead of {entry.get('size')}"
        if _sha256(path) != entry.get("sha256"):
            return f"{name} has another checksum than was recorded when it was written"
    return None


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
