"""The command line: train, evaluate, adapt, push, list, report. Reads words, prints tables; the work is in the recipe room.

Exit status 0: done; 1: the run failed; 2: bad input, told in one message, nothing written.

Each command imports what it runs, and nothing heavy is imported before: torch, transformers and PEFT take seconds, and help and
misspelt words need none of them.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.logging import RichHandler
from rich.table import Table

app = typer.Typer(
    name="hfmeta",
    help="Meta-learn a Hugging Face model, adapt it to a task from a handful of examples, get a stock model back.",
    no_args_is_help=True,
    add_completion=False,
    # A failed run shows Python's own traceback and ends with status 1.
    pretty_exceptions_enable=False,
)

Overrides = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="[section.key=value]...",
        help="Set a key of the recipe, as in training.max_steps=100; ~section.key removes one. Values are YAML.",
        show_default=False,
    ),
]
Json = Annotated[
    Path | None, typer.Option("--json", metavar="FILE", help="Also write the results to this file.", dir_okay=False)
]
Checkpoint = Annotated[str, typer.Argument(metavar="CHECKPOINT", help="Folder or hub id of a saved learner.")]

Revision = Annotated[str | None, typer.Option(metavar="NAME", help="Branch, tag or commit on the hub.")]
Subfolder = Annotated[str | None, typer.Option(metavar="PATH", help="Where in the repository the learner is.")]


def _say_version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        typer.echo(f"hfmeta {version('hfmeta')}")
        raise typer.Exit


@app.callback()
def _prepare(
    _: Annotated[
        bool, typer.Option("--version", help="Show the version and exit.", callback=_say_version, is_eager=True)
    ] = False,
) -> None:
    """Meta-learn a Hugging Face model, adapt it to a task from a handful of examples, get a stock model back."""
    # What hfmeta logs goes to standard error; only the first of several processes says it.
    logger = logging.getLogger("hfmeta")
    logger.setLevel(logging.INFO if int(os.environ.get("RANK", "0")) == 0 else logging.WARNING)
    if not any(isinstance(handler, RichHandler) for handler in logger.handlers):
        logger.addHandler(RichHandler(console=Console(stderr=True), show_path=False, show_level=False))


@app.command()
def train(
    recipe: Annotated[Path, typer.Argument(metavar="RECIPE", help="A YAML recipe; see `hfmeta list`.")],
    overrides: Overrides = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on from the last checkpoint in training.output_dir.")
    ] = False,
    json: Json = None,
) -> None:
    """Train a recipe, test it, run its baselines, and write checkpoint, results.json, plots and README.md to its output_dir."""
    with _refusals():
        from hfmeta.recipe.running import run_recipe

        _hide_loading_bars()
        results = run_recipe(recipe, overrides or [], resume=resume)
        if results:  # empty in all processes but the first
            _show(results, json)
            Console().print(f"Written to {results['hyper_parameters']['training']['output_dir']}", soft_wrap=True)


@app.command()
def evaluate(
    checkpoint: Checkpoint,
    overrides: Overrides = None,
    episodes: Annotated[int | None, typer.Option(min=1, help="Number of test tasks; the recipe's by default.")] = None,
    seed: Annotated[int | None, typer.Option(min=0, help="Seed of the test tasks; the recipe's by default.")] = None,
    ensemble: Annotated[
        int | None, typer.Option(min=1, help="Test the N best checkpoints of a run together, by their mean logits.")
    ] = None,
    revision: Revision = None,
    subfolder: Subfolder = None,
    json: Json = None,
) -> None:
    """Test a saved learner on fixed tasks of its recipe; nothing is written unless --json is given."""
    with _refusals():
        from hfmeta.recipe.evaluating import evaluate_checkpoint

        _hide_loading_bars()
        results = evaluate_checkpoint(
            checkpoint,
            overrides or [],
            episodes=episodes,
            seed=seed,
            ensemble=ensemble,
            revision=revision,
            subfolder=subfolder,
        )
        _show(results, json)


@app.command()
def adapt(
    checkpoint: Checkpoint,
    support: Annotated[
        Path, typer.Option(metavar="FILE", help="Support rows: .jsonl, .csv or .parquet with the recipe's columns.")
    ],
    output: Annotated[Path, typer.Option(metavar="DIR", help="Folder to write; must be absent or empty.")],
    steps: Annotated[int | None, typer.Option(min=0, help="Inner steps; the learner's own number by default.")] = None,
    revision: Revision = None,
    subfolder: Subfolder = None,
) -> None:
    """Adapt a saved learner to a file of examples and save a stock model (or PEFT adapter) that needs no hfmeta."""
    with _refusals():
        from hfmeta.recipe.adapting import adapt_checkpoint

        _hide_loading_bars()
        logging.getLogger("hfmeta").setLevel(logging.WARNING)  # how losses are computed matters to those who train
        done = adapt_checkpoint(checkpoint, support, output, steps=steps, revision=revision, subfolder=subfolder)
        classes = "" if done["classes"] is None else f", {len(done['classes'])} classes: {', '.join(done['classes'])}"
        Console().print(
            f"Adapted to {done['rows']} rows in {done['steps']} inner steps{classes}.\n"
            f"Written to {done['output']}; open it with {done['open']}",
            soft_wrap=True,
            markup=False,
        )


@app.command()
def push(
    folder: Annotated[
        Path,
        typer.Argument(metavar="DIR", help="A learner, an adapted model, a private adapter, or several in adapters/."),
    ],
    repository: Annotated[str, typer.Argument(metavar="REPO_ID", help="owner/name, or name for your own.")],
    private: Annotated[
        bool | None,
        typer.Option(
            "--private/--public",
            help="Who may read a new repository; private adapters go to a private one, the rest as your account has it.",
            show_default=False,
        ),
    ] = None,
    revision: Annotated[str | None, typer.Option(metavar="BRANCH", help="Branch, made if need be; else main.")] = None,
    with_ids: Annotated[
        bool, typer.Option("--with-ids", help="Name private adapters after their tasks, which else nobody can tell.")
    ] = False,
    json: Json = None,
) -> None:
    """Upload a folder to the hub in one commit: only what others may have of it."""
    with _refusals():
        from hfmeta.publishing.contents import contents_of
        from hfmeta.publishing.hub import PushError, push_contents

        contents = contents_of(folder.expanduser(), with_ids)
        try:
            commit = push_contents(contents, repository, private, revision=revision)
        except PushError as error:
            typer.echo(f"hfmeta: {error}", err=True)
            raise typer.Exit(1) from None
    Console().print(
        f"Uploaded {contents.named}, {len(contents.files)} files: {commit.commit_url}", soft_wrap=True, markup=False
    )
    _write(json, {"kind": contents.kind, "commit": commit.oid, "url": commit.commit_url, "members": contents.members})


@app.command("list")
def list_(json: Json = None) -> None:
    """List what there is: algorithms with package and version, the recipes under ./recipes, metrics, baselines."""
    with _refusals():
        from hfmeta.recipe.listing import inventory

        found = inventory()
    console = Console()
    columns = {
        "algorithms": ("Algorithms", "name", "package", "version", "summary"),
        "recipes": ("Recipes", "name", "algorithm", "data"),
        "metrics": ("Metrics of recipes", "name", "tasks"),
        "modules": (
            "Metrics for evaluate.load; recipes/persona/table.py reports those of dialogues",
            "name",
            "summary",
        ),
        "baselines": ("Baselines", "name", "summary"),
    }
    for part, (title, *keys) in columns.items():
        table = Table(title=title, title_justify="left", title_style="bold", box=None, padding=(0, 2, 0, 0))
        for key in keys:
            table.add_column(key, no_wrap=key not in ("summary", "tasks"))
        for entry in found[part]:
            table.add_row(*(_cell(entry[key]) for key in keys))
        console.print(table if found[part] else f"{title}: none")
        console.print()
    _write(json, found)


@app.command()
def report(
    runs: Annotated[
        list[Path],
        typer.Argument(
            metavar="RUN_DIR...", help="Folders of finished runs, files of results, or folders of such files."
        ),
    ],
    output: Annotated[Path, typer.Option(metavar="DIR", help="Folder for report.html and the plots.")] = Path("report"),
    json: Json = None,
) -> None:
    """Show finished runs in one table, and write it with differences task by task and plots as report.html and PNG files."""
    with _refusals():
        from hfmeta.reporting.page import paired_rows, remarks, report_rows, write_report
        from hfmeta.reporting.reading import read_runs
        from hfmeta.reporting.tables import rich_table

        found = read_runs(runs)
    console = Console()
    tables = {"rows": report_rows(found), "paired": paired_rows(found)}
    console.print(rich_table(tables["rows"]))
    if tables["paired"]:
        console.print(rich_table(tables["paired"], title="Task by task"))
    for sentence in remarks(found):
        console.print(sentence, markup=False, soft_wrap=True)
    for path in write_report(found, output):
        console.print(f"Written: {path}", soft_wrap=True)
    _write(json, {name: [vars(row) for row in rows] for name, rows in tables.items()} | {"remarks": remarks(found)})


@contextmanager
def _refusals() -> Iterator[None]:
    """One message on standard error and status 2 for everything that hfmeta refuses."""
    from hfmeta.inner.errors import HfmetaError

    try:
        yield
    except HfmetaError as error:
        typer.echo(f"hfmeta: {error}", err=True)
        raise typer.Exit(2) from None


def _hide_loading_bars() -> None:
    """No progress bar for loading weights; training keeps its own."""
    from transformers.utils import logging as hub_logging

    hub_logging.disable_progress_bar()


def _show(results: dict[str, Any], json: Path | None) -> None:
    from hfmeta.reporting.tables import rich_table, rows_of_results

    console = Console()
    episodes = results["episodes"]
    console.print(rich_table(rows_of_results(results), title=f"Test: {episodes['count']:,} tasks"))
    for name, entry in results["metrics"].items():
        if entry.get("nonfinite_tasks"):
            console.print(f"{name}: {entry['nonfinite_tasks']} tasks diverged and are left out.")
    _write(json, results)


def _write(path: Path | None, results: dict[str, Any]) -> None:
    if path is not None:
        from hfmeta.reporting.files import write_json

        write_json(path, results)


def _cell(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(map(str, value))
    return "all" if value is None else str(value)
