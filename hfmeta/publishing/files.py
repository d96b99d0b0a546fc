"""Files that a reader never sees half-written: a temporary folder beside the target, then renames, the marker file last."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any


@contextmanager
def written_together(folder: Path, last: str | None = None) -> Iterator[Path]:
    """Yield a temporary folder whose files move into `folder` when the block ends well; nothing is written when it fails.

    Args:
        folder: where the files belong; what it already holds and is not written anew stays.
        last: the file that moves last, by which a reader knows that the others are there.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", suffix=".tmp", dir=folder.parent))
    try:
        yield temporary
        files = sorted(path for path in temporary.rglob("*") if path.is_file())
        files.sort(key=lambda path: path.name == last)
        for path in files:
            with path.open("rb") as handle:
                os.fsync(handle.fileno())
        for path in files:
            target = folder / path.relative_to(temporary)
            target.parent.mkdir(parents=True, exist_ok=True)
            # safetensors makes files that only their owner reads; they get what their folder grants.
            path.chmod(target.parent.stat().st_mode & 0o666)
            os.replace(path, target)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def write_json(path: Path, content: Any) -> None:
    """Write readable JSON with a final line feed."""
    path.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
