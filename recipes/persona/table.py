"""The tables of Song et al. 2020 (CMAML) on a persona corpus, with one command: train what is not there, test, write.

    HFMETA_DATA=<folder of the corpora> python recipes/persona/table.py --scorer out/consistency_scorer
    python recipes/persona/table.py --methods maml_seq2spg cmaml_seq2spg --seeds 0 1 2      # more rows, the others stay
    python recipes/persona/table.py --setting similar                                       # the same models, other test users
    python recipes/persona/table.py --setting whole                                         # all rows of a user's other dialogues

It writes to --output: `models/` (runs of the recipes in this folder), `rows/<setting>/` (a JSON file for each method and seed, its
replies beside it), `table_<setting>.md` and, where CMAML's users own structures, `overlap_<setting>_*.json` and `.png`. A row that is
there is not made again, and a training run that was broken off goes on. The judge of the column "C score (proxy)" comes from
train_consistency_scorer.py; any NLI model will do.
"""

from __future__ import annotations

import sys
from pathlib import Path

from hfmeta.comparison import run_table
from hfmeta.inner.errors import HfmetaError


def main(arguments: list[str] | None = None) -> Path:
    """Make the table; returns its Markdown file."""
    return run_table("recipes/persona/table.py", Path(__file__).resolve().parent, __doc__, arguments)


if __name__ == "__main__":
    try:
        main()
    except HfmetaError as error:
        sys.exit(f"error: {error}")
