"""The MojiTalk table of Song et al. 2020 (CMAML), with one command: train what is not there, test, write.

    python recipes/moji/table.py --set data.root=<folder of the raw files> --emoji-classifier out/emoji_classifier

It writes to --output what recipes/persona/table.py does: runs, a JSON file for each row, `table_main.md`. The judge of E-acc is
made by train_emoji_classifier.py; any emoji classifier whose config names the emoji will do.
"""

from __future__ import annotations

import sys
from pathlib import Path

from hfmeta.comparison import run_table
from hfmeta.inner.errors import HfmetaError


def main(arguments: list[str] | None = None) -> Path:
    """Make the table; returns its Markdown file."""
    return run_table("recipes/moji/table.py", Path(__file__).resolve().parent, __doc__, arguments)


if __name__ == "__main__":
    try:
        main()
    except HfmetaError as error:
        sys.exit(f"error: {error}")
