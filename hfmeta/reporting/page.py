"""A report of one or more runs on one page: tables, differences task by task, plots; a small HTML page and PNG files beside it.

Reading the results is in reading.py; nothing is trained or tested here.
"""

from __future__ import annotations

import html
import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from hfmeta.reporting.files import write_text
from hfmeta.reporting.gates import gate_plot
from hfmeta.reporting.plots import adaptation_curve, interval_plot
from hfmeta.reporting.reading import final_scores
from hfmeta.reporting.tables import LARGE, Row, rows_of_results

Runs = Mapping[str, Mapping[str, Any]]

STYLE = (
    "body{font:16px/1.5 system-ui,sans-serif;margin:2rem auto;max-width:60rem;padding:0 1rem}"
    "table{border-collapse:collapse;margin:1rem 0}td,th{padding:.3rem .8rem;border-bottom:1px solid #ccc;text-align:left}"
    "td.n{text-align:right;font-variant-numeric:tabular-nums}img{max-width:100%}code{overflow-wrap:anywhere}"
)
MOST_ROWS = 60
"""Rows of a plot; of more the learners alone are drawn."""


def report_rows(runs: Runs) -> list[Row]:
    """The rows of all runs, each run's name in front where there are several.

    Args:
        runs: name -> results.
    """
    rows = []
    for name, results in runs.items():
        for row in rows_of_results(results):
            shown = row.name if len(runs) == 1 else f"{name}: {row.name}"
            rows.append(Row(shown, row.metric, row.mean, row.ci95, row.tasks))
    return rows


def same_episodes(runs: Runs) -> bool:
    """Whether all runs were tested on the very same episodes.

    Args:
        runs: name -> results.
    """
    return len({results["episodes"]["sha256"] for results in runs.values()}) == 1


def paired_rows(runs: Runs) -> list[Row]:
    """Each run minus the first one of the same metric and episodes, task by task, where the scores of each task were kept.

    Tasks that diverged in either run are left out.

    Args:
        runs: name -> results.
    """
    from hfmeta.metrics import paired_difference

    firsts: dict[tuple[str, str], tuple[str, list[float]]] = {}
    rows = []
    for name, results in runs.items():
        scores, metric = final_scores(results), results["primary_metric"]
        if scores is None:
            continue
        first, theirs = firsts.setdefault((metric, results["episodes"]["sha256"]), (name, scores))
        both = [(a, b) for a, b in zip(theirs, scores, strict=False) if math.isfinite(a) and math.isfinite(b)]
        if first != name and both and len(theirs) == len(scores):
            found = paired_difference(*zip(*both, strict=True))
            half = found.ci95 if math.isfinite(found.ci95) else None
            rows.append(Row(f"{name} minus {first}", metric, found.mean, half, found.tasks))
    return rows


def remarks(runs: Runs) -> list[str]:
    """What to know before reading the numbers side by side.

    Args:
        runs: name -> results.
    """
    said = []
    if len(runs) > 1:
        said.append(
            "All runs were tested on the same episodes."
            if same_episodes(runs)
            else "The runs were tested on different episodes."
        )
    for name, results in runs.items():
        if count := results["metrics"].get(results["primary_metric"], {}).get("nonfinite_tasks"):
            said.append(f"{name}: test tasks that diverged and are left out: {count:,}.")
        if count := results.get("skipped_tasks"):
            said.append(f"{name}: training tasks skipped: {count:,}.")
        if count := results.get("skipped_steps"):
            said.append(f"{name}: outer steps left out, since their gradient was not finite: {count:,}.")
        if _diverged(results):
            said.append(f"{name}: its values are too large to be drawn beside others.")
    return said


def write_report(runs: Runs, output: str | Path) -> list[Path]:
    """Write `report.html` and its plots: `results_` and `adaptation_<metric>.png` for every primary metric, `gates_<n>.png` for run n.

    Args:
        runs: name -> results.
        output: the folder.

    Returns:
        the files written.
    """
    output = Path(output)
    plots = []
    for metric in dict.fromkeys(results["primary_metric"] for results in runs.values()):
        chosen = {name: one for name, one in runs.items() if one["primary_metric"] == metric and not _diverged(one)}
        if not chosen:
            continue
        drawn = [row for row in report_rows(runs if len(chosen) == len(runs) else chosen) if row.metric == metric]
        if len(drawn) > MOST_ROWS:
            drawn = [replace(rows_of_results(one)[-1], name=name) for name, one in chosen.items()]
        plots.append(interval_plot(drawn, output / f"results_{metric}.png"))
        curves = {name: one["adaptation_curve"][metric] for name, one in chosen.items()}
        # Baselines of several runs would hide the curves; the table has them.
        baselines = next(iter(chosen.values())).get("baselines", {}) if len(chosen) == 1 else {}
        shown = {name: entry for name, entry in baselines.items() if entry.get("metric") == metric}
        plots.append(adaptation_curve(curves, metric, output / f"adaptation_{metric}.png", shown))
    gated = {name: one["gates"] for name, one in runs.items() if "gates" in one}
    plots += [
        gate_plot(gates, output / f"gates_{list(runs).index(name) + 1}.png", name) for name, gates in gated.items()
    ]
    page = write_text(output / "report.html", _page(runs, [plot.name for plot in plots]))
    return [page, *plots]


def settings(name: str, results: Mapping[str, Any]) -> list[str]:
    """A run in a line: what, how, on what, at what cost; empty where a file does not say.

    Args:
        name: of the run.
        results: its results.
    """
    algorithm, episodes = results["algorithm"], results["episodes"]
    seconds = results.get("seconds", {}).get("per_iteration")
    trained, tested = algorithm.get("inner_steps"), algorithm.get("test_inner_steps")
    steps = "" if trained is None else f"{trained} / {trained if tested is None else tested}"
    return [
        name,
        str(algorithm["name"]),
        str(results.get("meta_gradient", "")).replace("_", " "),
        steps,
        str(results.get("seed", "")),
        f"{results['iterations']:,}" if results.get("iterations") else "",
        "" if seconds is None else f"{seconds:.3g}",
        str(results.get("device", "")),
        f"{episodes['count']:,}, {episodes['sha256'][:12]}",
    ]


HEADINGS = (
    *(
        "run",
        "algorithm",
        "meta-gradient",
        "inner steps, training / test",
        "seed",
        "outer steps",
        "s / outer step",
        "device",
    ),
    "test episodes, sha256",
)


def _diverged(results: Mapping[str, Any]) -> bool:
    """Whether a run's curve has no place in a plot with others."""
    means = results["adaptation_curve"].get(results["primary_metric"], {}).get("mean") or [None]
    return any(mean is None or not math.isfinite(mean) or abs(mean) >= LARGE for mean in means)


def _page(runs: Runs, plots: Sequence[str]) -> str:
    parts = [_results_table(("", "metric", "mean ± 95 % interval", "tasks"), report_rows(runs))]
    parts += [f"<p>{html.escape(sentence)}</p>" for sentence in remarks(runs)]
    if paired := paired_rows(runs):
        parts += [
            "<h2>Task by task</h2>",
            _results_table(("", "metric", "difference ± 95 % interval", "tasks"), paired),
        ]
    parts += [f'<p><img src="{html.escape(name)}" alt="{html.escape(Path(name).stem)}"></p>' for name in plots]
    lines = [_line([(cell, False) for cell in settings(name, one)]) for name, one in runs.items()]
    parts += ["<h2>Runs</h2>", _table(HEADINGS, lines), "<ul>"]
    parts += [
        f"<li>{html.escape(name)}: <code>{html.escape(str(one.get('command', '')))}</code></li>"
        for name, one in runs.items()
    ]
    head = f'<meta charset="utf-8"><title>hfmeta report</title><style>{STYLE}</style>'
    body = "\n".join(["<h1>Report</h1>", *parts, "</ul>"])
    return f'<!doctype html>\n<html lang="en"><head>{head}</head>\n<body>{body}</body></html>\n'


def _results_table(headings: Sequence[str], rows: Sequence[Row]) -> str:
    return _table(
        headings,
        [_line([(row.name, False), (row.metric, False), (row.value, True), (f"{row.tasks:,}", True)]) for row in rows],
    )


def _table(headings: Sequence[str], lines: Sequence[str]) -> str:
    head = "".join(f"<th>{html.escape(heading)}</th>" for heading in headings)
    return f"<table><thead><tr>{head}</tr></thead>\n<tbody>\n" + "\n".join(lines) + "\n</tbody></table>"


def _line(cells: Sequence[tuple[str, bool]]) -> str:
    """A row of a table; cells that are numbers stand on the right."""
    opened = {True: '<td class="n">', False: "<td>"}
    return "<tr>" + "".join(f"{opened[number]}{html.escape(text)}</td>" for text, number in cells) + "</tr>"
