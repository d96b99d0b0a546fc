"""The command line of a table: the scripts `table.py` in folders of recipes say where these are, the rest is here."""

from __future__ import annotations

import argparse
import json
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path

from hfmeta.comparison.methods import DIALOGUE_METHODS, Method, choose_methods
from hfmeta.comparison.plan import Plan
from hfmeta.comparison.running import make_resemblance, make_table
from hfmeta.comparison.scoring import Judges
from hfmeta.comparison.settings import SETTINGS
from hfmeta.metrics import load_classifier
from hfmeta.responses import PAPER_DECODING, Decoding


def run_table(
    script: str,
    recipes: Path,
    about: str | None,
    arguments: Sequence[str] | None = None,
    known: Sequence[Method] = DIALOGUE_METHODS,
) -> Path:
    """Make a table as the command line asks.

    Args:
        script: the script's path, for the command that the table names.
        recipes: folder of its recipes and of `paper.json`, where no other is asked for.
        about: what `--help` says first.
        arguments: the words after the script's name; None: those of this process.
        known: the table's methods, in order.

    Returns:
        the Markdown file.

    Raises:
        HfmetaError: options that do not fit each other or what is in the output folder.
    """
    words = list(sys.argv[1:] if arguments is None else arguments)
    options = _parser(script, recipes, about, known).parse_args(words)
    methods = choose_methods(options.methods, known)
    plan = Plan(options.recipes, options.output, tuple(options.set), options.steps, options.from_scratch)
    judges = Judges(
        consistency=load_classifier(options.scorer) if options.scorer else None,
        emoji=load_classifier(options.emoji_classifier) if options.emoji_classifier else None,
    )
    figures = options.recipes / "paper.json"
    page = make_table(
        plan,
        methods,
        options.seeds,
        options.setting,
        decoding=Decoding(
            options.beams, options.max_new_tokens, options.length_penalty, drop_repeats=not options.keep_repeats
        ),
        judges=judges,
        test_tasks=options.test_tasks,
        paper=json.loads(figures.read_text(encoding="utf-8")) if figures.is_file() else None,
        command=shlex.join(["python", script, *words]),
        known=known,
    )
    overlap = make_resemblance(plan, methods, options.seeds[0], options.setting)
    print(page.read_text(encoding="utf-8"))
    print(f"written: {page}" + (f", {overlap}, {overlap.with_suffix('.png')}" if overlap else ""))
    return page


def _parser(script: str, recipes: Path, about: str | None, known: Sequence[Method]) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog=f"python {script}", description=about, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    names = ", ".join(method.name for method in known)
    parser.add_argument("--methods", nargs="*", default=[], metavar="NAME", help=f"rows (default: all): {names}")
    parser.add_argument("--seeds", nargs="+", type=int, default=[0], metavar="N", help="training seeds, a row for each")
    parser.add_argument(
        "--setting", default="main", choices=list(SETTINGS), help="which test users, and how much of each"
    )
    parser.add_argument(
        "--output",
        type=Path,
        default=Path("out") / recipes.name / Path(script).stem,
        help="folder for models, rows and table",
    )
    parser.add_argument(
        "--recipes", type=Path, default=recipes, help="folder of the recipes, such as recipes/persona/paper_size"
    )
    parser.add_argument(
        "--scorer", help="NLI model of the C score: folder, hub id or package:<name>; none: no such column"
    )
    parser.add_argument(
        "--emoji-classifier", help="classifier of E-acc: folder, hub id or package:<name>; none: no such column"
    )
    parser.add_argument("--steps", type=int, help="outer steps of every run, for quick tables")
    parser.add_argument("--test-tasks", type=int, help="held-out dialogues to test on, in place of the recipes'")
    parser.add_argument("--from-scratch", action="store_true", help="MAML and CMAML start from drawn weights")
    parser.add_argument(
        "--set", nargs="*", default=[], metavar="WORD", help="overrides for all recipes, such as data.root=<folder>"
    )
    parser.add_argument("--beams", type=int, default=PAPER_DECODING.num_beams)
    parser.add_argument("--max-new-tokens", type=int, default=PAPER_DECODING.max_new_tokens)
    parser.add_argument(
        "--length-penalty",
        type=float,
        default=PAPER_DECODING.length_penalty,
        help="0: sum of log-probabilities (the paper)",
    )
    parser.add_argument("--keep-repeats", action="store_true", help="leave out the paper's clean-up of repeated words")
    return parser
