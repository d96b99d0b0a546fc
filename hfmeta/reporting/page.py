"""A report of one or more runs: their rows in one table, one plot of their adaptation curves, as a small HTML page and PNG files."""

from __future__ import annotations

import html
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from hfmeta.inner.errors import HfmetaError
from hfmeta.reporting.files import write_text
from hfmeta.reporting.gates import gate_plot
from hfmeta.reporting.plots import adaptation_curve
from hfmeta.reporting.tables import Row, rows_of_results

STYLE = (
    "body{font:16px/1.5 system-ui,sans-serif;margin:2rem auto;max-width:56rem;padding:0 1rem}"
    "table{border-collapse:collapse}td,th{padding:.3rem .8rem;border-bottom:1px solid #ccc;text-align:left}"
    "td.n{text-align:right;font-variant-numeric:tabular-nums}img{max-width:100%}"
)


def read_run(folder: str | Path) -> dict[str, Any]:
    """The results of a run.

    Args:
        folder: a run's output folder.

    Raises:
        HfmetaError: no results there, or a file that is no results.
    """
    path = Path(folder) / "results.json"
    try:
        results: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        lacking = {"primary_metric", "metrics", "algorithm", "adaptation_curve", "episodes"} - set(results)
    except FileNotFoundError:
        raise HfmetaError(f"{folder} has no results.json; give the output folder of a finished run.") from None
    except (OSError, ValueError, TypeError) as error:
        raise HfmetaError(f"{path} cannot be read: {error}") from error
    if lacking:
        raise HfmetaError(f"{path} lacks {', '.join(sorted(lacking))}: it is no results of a run.")
    return results


def report_rows(runs: Mapping[str, Mapping[str, Any]]) -> list[Row]:
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


def same_episodes(runs: Mapping[str, Mapping[str, Any]]) -> bool:
    """Whether all runs were tested on the very same episodes.

    Args:
        runs: name -> results.
    """
    return len({results["episodes"]["sha256"] for results in runs.values()}) == 1


def write_report(runs: Mapping[str, Mapping[str, Any]], output: str | Path) -> list[Path]:
    """Write `report.html`, `adaptation_<metric>.png` for every primary metric, and `gates_<n>.png` where the n-th run has gates.

    Args:
        runs: name -> results.
        output: the folder.

    Returns:
        the files written.
    """
    output = Path(output)
    plots = []
    for metric in dict.fromkeys(results["primary_metric"] for results in runs.values()):
        chosen = {name: one for name, one in runs.items() if one["primary_metric"] == metric}
        curves = {name: one["adaptation_curve"][metric] for name, one in chosen.items()}
        # Baselines of several runs would hide the curves; the table has them.
        baselines = next(iter(chosen.values())).get("baselines", {}) if len(chosen) == 1 else {}
        shown = {name: entry for name, entry in baselines.items() if entry.get("metric") == metric}
        plots.append(adaptation_curve(curves, metric, output / f"adaptation_{metric}.png", shown))
    gated = {name: one["gates"] for name, one in runs.items() if "gates" in one}
    plots += [
        gate_plot(gates, output / f"gates_{list(runs).index(name) + 1}.png", name) for name, gates in gated.items()
    ]
    page = write_text(output / "report.html", _page(report_rows(runs), runs, [plot.name for plot in plots]))
    return [page, *plots]


def _page(rows: Sequence[Row], runs: Mapping[str, Mapping[str, Any]], plots: Sequence[str]) -> str:
    cells = "\n".join(
        f"<tr><td>{html.escape(row.name)}</td><td>{html.escape(row.metric)}</td>"
        f'<td class="n">{html.escape(row.value)}</td><td class="n">{row.tasks:,}</td></tr>'
        for row in rows
    )
    note = (
        "All runs were tested on the same episodes."
        if same_episodes(runs)
        else "The runs were tested on different episodes."
    )
    commands = "\n".join(
        f"<li>{html.escape(name)}: <code>{html.escape(str(one.get('command', '')))}</code></li>"
        for name, one in runs.items()
    )
    images = "\n".join(f'<p><img src="{html.escape(name)}" alt="{html.escape(Path(name).stem)}"></p>' for name in plots)
    head = f'<meta charset="utf-8"><title>hfmeta report</title><style>{STYLE}</style>'
    headings = "<tr><th></th><th>metric</th><th>mean ± 95 % interval</th><th>tasks</th></tr>"
    return (
        f'<!doctype html>\n<html lang="en"><head>{head}</head>\n<body><h1>Report</h1>\n'
        f"<table><thead>{headings}</thead>\n<tbody>\n{cells}\n</tbody></table>\n"
        f"<p>{note if len(runs) > 1 else ''}</p>\n{images}\n<ul>\n{commands}\n</ul></body></html>\n"
    )
