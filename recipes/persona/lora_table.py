"""CMAML on a transformer: a small T5 trained from nothing, and a LoRA that adapts to each user; scored as table.py scores its rows.

    HFMETA_DATA=<folder of the corpora> python recipes/persona/lora_table.py --scorer out/consistency_scorer

Rows: the T5 as all training personas together made it; a LoRA trained so on top of it, without and with fine-tuning to the user; MAML
on that LoRA; and CMAML, where every user keeps some of its ranks. No row is in the paper. It writes to --output what table.py does.
The rates were chosen by choose_lora_rates.py, on validation personas.
"""

from __future__ import annotations

import sys
from pathlib import Path

from hfmeta.comparison import Method, run_table
from hfmeta.inner.errors import HfmetaError

METHODS: tuple[Method, ...] = (
    Method("t5", "T5", "t5", adapt=False),
    Method("t5_lora", "T5-LoRA", "lora", adapt=False, start="t5"),
    Method("t5_lora_f", "T5-LoRA-F", "lora", start="t5", against=("t5_lora", "t5")),
    Method("maml_t5_lora", "MAML-T5-LoRA", "maml_lora", start="t5", against=("t5_lora_f", "t5_lora", "t5")),
    Method(
        "cmaml_t5_lora",
        "CMAML-T5-LoRA, adapt=private",
        "cmaml_lora",
        start="t5",
        against=("maml_t5_lora", "t5_lora_f", "t5_lora", "t5"),
    ),
)
"""The rows, in order. The LoRA is all that adapts in each of them."""


def main(arguments: list[str] | None = None) -> Path:
    """Make the table; returns its Markdown file."""
    folder = Path(__file__).resolve().parent
    return run_table("recipes/persona/lora_table.py", folder, __doc__, arguments, METHODS)


if __name__ == "__main__":
    try:
        main()
    except HfmetaError as error:
        sys.exit(f"error: {error}")
