"""The quickstart: train MAML on few-shot intents, compare, adapt to a task from a file, reopen the result with stock transformers.

Then a private adapter for every user (users.py). Run it with `make quickstart`. It writes to out/quickstart and needs no network: the
sentences ship with hfmeta, the encoder comes from an installed package.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import users
from rich.console import Console

from hfmeta.recipe import run_recipe
from hfmeta.recipe.adapting import adapt_checkpoint
from hfmeta.reporting.tables import rich_table, rows_of_results

# Relative, so that the results name the recipe and not a folder of this machine.
HERE = Path(os.path.relpath(Path(__file__).resolve().parent))
OUT = Path("out/quickstart")
SENTENCES = ["may i borrow it until next month", "when do you shut on friday", "there is ink all over chapter two"]

# Runs in a process that cannot import hfmeta, to show that the adapted model is a stock one.
REOPEN = """
import sys
sys.modules["hfmeta"] = None
from transformers import AutoModelForSequenceClassification, AutoTokenizer
folder, *sentences = sys.argv[1:]
model, tokenizer = AutoModelForSequenceClassification.from_pretrained(folder), AutoTokenizer.from_pretrained(folder)
logits = model(**tokenizer(sentences, padding=True, return_tensors="pt")).logits
for sentence, row in zip(sentences, logits.softmax(-1)):
    print(f"  {sentence!r}: {model.config.id2label[int(row.argmax())]} ({row.max():.0%})")
"""


def main() -> None:
    """Five steps, each announced."""
    console, started = Console(), time.perf_counter()
    shutil.rmtree(OUT, ignore_errors=True)
    console.rule("1. Train: 5-way 1-shot intents, MiniLM, exact meta-gradient")
    results = run_recipe(HERE / "maml_clinc150.yaml")
    console.rule("2. Compare: accuracy on 100 tasks of intents never trained on, 95 % interval over tasks")
    console.print(rich_table(rows_of_results(results), "5-way 1-shot, 5 queries a class"))
    console.rule("3. Adapt to a task of your own: recipes/quickstart/unseen_task.jsonl")
    said = adapt_checkpoint(str(OUT / "learner"), HERE / "unseen_task.jsonl", OUT / "adapted")
    console.print(f"{said['rows']} rows, classes {', '.join(said['classes'])}, written to {said['output']}")
    console.rule("4. Reopen with stock transformers, in a process that cannot import hfmeta")
    subprocess.run([sys.executable, "-c", REOPEN, said["output"], *SENTENCES], check=True)
    console.rule("5. Every user a structure of their own: CMAML on small talk, two strangers side by side")
    users.main(console)
    console.print(f"\nDone in {time.perf_counter() - started:.0f} s. Next: README.md, recipes/README.md.")


if __name__ == "__main__":
    main()
