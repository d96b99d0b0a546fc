"""A whole table: every method and seed, its file after each row, the Markdown page, and the resemblance plot of the last method."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from hfmeta.comparison.layout import markdown, paired_markdown, seeds_markdown
from hfmeta.comparison.methods import DIALOGUE_METHODS, Method
from hfmeta.comparison.plan import Plan
from hfmeta.comparison.rows import make_row, read_rows
from hfmeta.comparison.scoring import Judges
from hfmeta.comparison.similarity import draw, resemblances
from hfmeta.reporting.files import write_json, write_text
from hfmeta.responses import Decoding

logger = logging.getLogger(__name__)


def make_table(
    plan: Plan,
    methods: Sequence[Method],
    seeds: Sequence[int],
    setting: str,
    *,
    decoding: Decoding,
    judges: Judges | None = None,
    test_tasks: int | None = None,
    paper: Mapping[str, Mapping[str, Any]] | None = None,
    command: str = "",
    known: Sequence[Method] = DIALOGUE_METHODS,
    say: Callable[[str], None] = print,
) -> Path:
    """Make the rows that are missing, one after the other, and write the table after each: of all rows that were scored alike.

    Args:
        plan: what is trained and where things lie.
        methods: the rows, in order.
        seeds: of training; a row for each.
        setting: a key of SETTINGS.
        decoding: how replies are generated.
        judges: for the C score and E-acc.
        test_tasks: fixed test episodes, in place of the recipes'.
        paper: setting -> method -> metric -> published figure.
        command: the command line, written into the table.
        known: all methods of the table, in order: rows that lie there stay, whether they were asked for or not.
        say: told of each row that is done.

    Returns:
        the Markdown file.

    Raises:
        HfmetaError: options that do not fit what is there, or a recipe that cannot run; rows made before stay.
    """
    plan.settle()
    page = plan.output / f"table_{setting}.md"
    for seed in seeds:
        for method in methods:
            row = make_row(plan, method, seed, setting, test_tasks=test_tasks, decoding=decoding, judges=judges)
            every = [*known, *(own for own in methods if own not in known)]
            rows = [other for other in read_rows(plan, every, setting) if _alike(other, row)]
            against = {one.name: one.against for one in every}
            write_text(page, _page(rows, setting, against, (paper or {}).get(setting, {}), command))
            say(
                f"{method.label}, seed {seed}: perplexity {row['metrics']['perplexity']['mean']:.2f}, "
                f"BLEU {row['metrics']['bleu']['mean']:.2f}; trained in {row['seconds']['train']:.0f} s, "
                f"tested in {row['seconds']['test']:.0f} s"
            )
    return page


def make_resemblance(plan: Plan, methods: Sequence[Method], seed: int, setting: str) -> Path | None:
    """Correlation and plot of structure overlap against persona similarity, for the first CMAML-Seq2SPG-like row with structures.

    Args:
        plan: where the rows lie.
        methods: those of the table; the last one whose row has structures serves.
        seed: of training.
        setting: a key of SETTINGS.

    Returns:
        the JSON file, or None where no row has structures of at least three users with personas.
    """
    for method in reversed(methods):
        rows = read_rows(plan, [method], setting, [seed])
        if not rows or "overlap" not in rows[0]:
            continue
        found = resemblances(plan, method, seed, rows[0])
        if not found:
            continue
        path = plan.output / f"overlap_{setting}_{method.name}_seed{seed}.json"
        write_json(path, {"method": method.name, "seed": seed, **{name: one.as_dict() for name, one in found.items()}})
        draw(found, path.with_suffix(".png"))
        return path
    return None


def _alike(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    """Whether two rows were scored on the same episodes, with the same judges and decoding."""
    return bool(one["options"] == other["options"] and one["episodes"]["sha256"] == other["episodes"]["sha256"])


def _page(
    rows: Sequence[Mapping[str, Any]],
    setting: str,
    against: Mapping[str, Sequence[str]],
    paper: Mapping[str, Any],
    command: str,
) -> str:
    parts = [f"# Setting: {setting}\n", markdown(rows, paper)]
    published = "; published figures in brackets, on other data" if any(row["method"] in paper for row in rows) else ""
    parts.append(
        "Ours ± half of the 95 % interval over test tasks (several seeds: over the tasks' means; for figures that no single task has, "
        f"over seeds){published}. Diff and Delta in 1e-10. Dist-n is of all replies together.\n"
    )
    if paired := paired_markdown(rows, against):
        parts += ["## Task by task\n", paired]
    parts += ["## Every row\n", seeds_markdown(rows), _stated(rows)]
    if command:
        parts.append(f"`{command}`\n")
    return "\n".join(parts)


def _stated(rows: Sequence[Mapping[str, Any]]) -> str:
    """What a reader must know beside the figures: sizes, steps, judges, decoding, data."""
    first = rows[0]
    model = first["sizes"]["model"]
    judges = first["options"]["judges"]
    lines = [
        f"- Test: {first['episodes']['count']} held-out dialogues of {len(first['tasks'])} tasks, {first['episodes']['replies']} "
        f"replies; episodes {', '.join(sorted({row['episodes']['sha256'][:12] for row in rows}))}.",
        f"- Network: {model['config'] or model['name']}. Data: {first['sizes']['data']}.",
        f"- Decoding: {first['options']['decoding']}. Judges: {judges or 'none'}.",
    ]
    for row in {row["method"]: row for row in rows}.values():
        options, training = row["sizes"]["algorithm"], row["sizes"]["training"]
        lines.append(
            f"- {row['label']}: {row['sizes']['parameters']:,} parameters; {training.get('max_steps')} outer steps of "
            f"{training.get('per_device_train_batch_size')} tasks at rate {training.get('learning_rate')}, starting from "
            f"{row['sizes']['model']['name']}{_adapter(row)}; inner rate {options['inner_lr']}, {options['inner_steps']} passes in "
            f"training, {_passes(row)}."
        )
    return "\n".join(lines) + "\n"


def _passes(row: Mapping[str, Any]) -> str:
    """How long test tasks adapt, in words."""
    options = row["sizes"]["algorithm"]
    found = row.get("adaptation")
    if found is None:  # a row of before, which says what its recipe said
        found = {"prune": options.get("test_prune_steps", 0), "adapt": options["test_inner_steps"]}
    if not found:
        return "none in the test"
    return f"{found['adapt']} in the test" + (f" after {found['prune']} before pruning" if found["prune"] else "")


def _adapter(row: Mapping[str, Any]) -> str:
    """The adapter of a row in words; empty where it has none."""
    options = dict(row["sizes"].get("adapter") or {})  # rows of before have no such entry
    if not options:
        return ""
    settings = ", ".join(f"{key} {value}" for key, value in options.items() if key != "type" and value is not None)
    return f" with {options['type']} ({settings})"
