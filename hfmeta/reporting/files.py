"""Text, JSON and image files written whole or not at all: to a temporary name beside the target, then renamed over it."""

from __future__ import annotations

import json
import math
import os
import tempfile
from pathlib import Path
from typing import Any


def write_bytes(path: str | Path, content: bytes) -> Path:
    """Write a file that no reader ever sees half of.

    Args:
        path: the file; its folder is made where missing.
        content: all of it.

    Returns:
        the path written.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
        # mkstemp makes files private; give what an ordinary open() would have given.
        os.chmod(temporary, 0o666 & ~_umask())
        os.replace(temporary, path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
    return path


def write_text(path: str | Path, content: str) -> Path:
    """`write_bytes` of UTF-8 text.

    Args:
        path: the file.
        content: all of it.
    """
    return write_bytes(path, content.encode("utf-8"))


def write_json(path: str | Path, content: Any) -> Path:
    """`write_text` of indented JSON; numbers that are not finite become null, as strict readers want.

    Args:
        path: the file.
        content: dicts, lists, text, numbers, true, false and null.
    """
    return write_text(path, json.dumps(finite(content), indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def finite(content: Any) -> Any:
    """The same tree with NaN and infinities replaced by None.

    Args:
        content: a JSON-like tree.
    """
    if isinstance(content, dict):
        return {str(key): finite(value) for key, value in content.items()}
    if isinstance(content, list | tuple):
        return [finite(value) for value in content]
    if isinstance(content, float) and not math.isfinite(content):
        return None
    return content


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
