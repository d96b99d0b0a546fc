"""Where corpora lie: a folder given by the caller, or by the environment variable HFMETA_DATA. Nothing is ever downloaded."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from hfmeta.episodes.errors import EpisodeError

DATA_VARIABLE = "HFMETA_DATA"


def corpus_path(root: str | os.PathLike[str] | None, places: Sequence[str], what: str, origin: str) -> Path:
    """Return the first of `places` that exists under the root.

    Args:
        root: a folder; None takes HFMETA_DATA.
        places: paths relative to the root, the usual one first.
        what: the corpus, for the message.
        origin: where a user gets it.

    Raises:
        EpisodeError: no folder was named, it does not exist, or none of the places does.
    """
    given = os.environ.get(DATA_VARIABLE) if root is None else os.fspath(root)
    if not given:
        raise EpisodeError(
            f"{what} is read from a local folder: pass root=... (in a recipe data.root=...), or set {DATA_VARIABLE} to the folder "
            f"that holds {places[0]}. {origin}"
        )
    folder = Path(given).expanduser()
    if not folder.is_dir():
        raise EpisodeError(
            f"the data folder {given!r} does not exist; {what} is expected at {places[0]} inside it. {origin}"
        )
    for place in places:
        if (folder / place).exists():
            return folder / place
    raise EpisodeError(f"{what} is not in {given!r}; expected there: {' or '.join(places)}. {origin}")
