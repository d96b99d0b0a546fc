"""Results of runs as a card tells them: which test it was, what tells runs apart, one table for runs of one kind, what to beware of.

A run is the content of a `results.json`. Everything said here is read from it.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import PurePath
from typing import Any

from hfmeta.reporting.tables import Row, rows_of_results

QUIET = {"root", "tasks_per_pass", "evaluator", "seed"}
"""Keys that do not tell two runs apart for a reader."""
PRIVATE_PATH = re.compile(r"(?<![^\s\[{,:'\"])(?:[\\/~]|[A-Za-z]:[\\/]|(?:[^\s,]*/)?\.\.(?=/|$))[^\s,\]}'\"]*")
"""A path that says where things lie on a machine: absolute, from a home, or upwards."""
WHOLE_PATH = re.compile(r"/[^/\s].*|~[/\\].*|\.\.([/\\].*)?|[A-Za-z]:[/\\].*", re.DOTALL)
"""A value that is nothing but such a path."""
SHOWN_DIGITS = 12
"""Digits of a hash in a table."""


class Run:
    """One results.json, asked for what a card says.

    Args:
        results: its content.
    """

    def __init__(self, results: Mapping[str, Any]):
        self.results = results
        self.label = ""
        """What tells it from the runs beside it; set by `told_apart`."""

    @property
    def data(self) -> Mapping[str, Any]:
        """The recipe's data section."""
        found: Mapping[str, Any] = self.results.get("hyper_parameters", {}).get("data", {})
        return found

    @property
    def start_weight(self) -> float:
        """Of the values that training started from, in the average that was kept."""
        training = self.results.get("hyper_parameters", {}).get("training", {})
        return float(training.get("start_weight") or 0.0)

    @property
    def seed(self) -> int:
        """Of the run."""
        return int(self.results["seed"])

    @property
    def sha256(self) -> str:
        """Hash of the test episodes."""
        return str(self.results["episodes"]["sha256"])

    @property
    def primary(self) -> str:
        """The metric that the run is about."""
        return str(self.results["primary_metric"])

    @property
    def corpus(self) -> str:
        """Title of the test data."""
        from hfmeta.corpora.licences import ORIGINS

        name = self.data.get("corpus")
        if name in ORIGINS:
            return ORIGINS[name].title
        return str(self.data.get("dataset") or "the user's own data")

    @property
    def setting(self) -> str:
        """What a test task is, in words; empty where the recipe leaves it to the corpus."""
        data = self.data
        if data.get("n_way"):
            return f"{data['n_way']}-way {data.get('k_shot', 1)}-shot"
        support = data.get("test_support") or data.get("support")
        return f"{support} support rows" if support else ""

    @property
    def configuration(self) -> str | None:
        """The setting and what tells the run from others, for `model-index`."""
        return ", ".join(part for part in (self.setting, self.label) if part) or None

    @property
    def metrics(self) -> dict[str, Mapping[str, Any]]:
        """Every metric after the last inner step."""
        entries = self.results["metrics"]
        return {name: entry for name, entry in entries.items() if not name.endswith(("_before", "_gain"))}

    @cached_property
    def rows(self) -> list[Row]:
        """The table's rows: before adaptation, baselines, and the learner last."""
        return rows_of_results(self.results)

    def value(self, metric: str) -> str:
        """A metric as it is read: with its interval, in per cent where it is a fraction."""
        entry = self.metrics[metric]
        return Row("", metric, float(entry["mean"]), entry.get("ci95"), int(entry["tasks"])).value

    def metric_name(self, metric: str) -> str:
        """A metric's name, with the number of inner steps before it."""
        curve = self.results["adaptation_curve"].get(metric, {}).get("mean") or [0]
        steps = len(curve) - 1
        return f"{metric.replace('_', ' ')} after {steps} inner step{'s' if steps != 1 else ''}"


def told_apart(results: Sequence[Mapping[str, Any]]) -> list[Run]:
    """Runs with labels: the values in which each differs from others of its setting.

    Args:
        results: contents of results.json files, of one recipe.
    """
    runs = [Run(one) for one in results]
    for group in grouped(runs):
        trees = [_options(run) for run in group]
        common = set.intersection(*(set(tree) for tree in trees))
        differing = [key for key in trees[0] if key in common and len({str(tree[key]) for tree in trees}) > 1]
        seeds = len({run.seed for run in group}) > 1
        for run, tree in zip(group, trees, strict=True):
            parts = [f"{key.replace('_', ' ')} {tree[key]}" for key in differing]
            run.label = ", ".join([f"seed {run.seed}", *parts] if seeds else parts)
    return runs


def grouped(runs: Sequence[Run]) -> list[list[Run]]:
    """Runs of one setting and metric together, in the order in which they come.

    Args:
        runs: of one recipe.
    """
    groups: dict[tuple[str, str], list[Run]] = {}
    for run in runs:
        groups.setdefault((run.setting, run.primary), []).append(run)
    return list(groups.values())


def table(group: Sequence[Run]) -> str:
    """Methods down, runs across, the hash of the test episodes last.

    Args:
        group: runs of one setting and metric.
    """
    tasks = max(row.tasks for run in group for row in run.rows)
    names = list(dict.fromkeys(row.name for run in group for row in run.rows[:-1]))
    ours = group[0].rows[-1].name
    cells: dict[str, list[str]] = {name: [] for name in (*names, ours)}
    for run in group:
        found = {row.name: row for row in run.rows}
        for name, line in cells.items():
            row = found.get(name)
            fewer = f" ({row.tasks:,} tasks)" if row is not None and row.tasks != tasks else ""
            line.append("" if row is None else f"**{row.value}**{fewer}" if name == ours else row.value + fewer)
    lines = [
        "| | " + " | ".join(run.label or run.primary.replace("_", " ") for run in group) + " |",
        "|---|" + "---:|" * len(group),
        *(f"| {name} | " + " | ".join(line) + " |" for name, line in cells.items()),
    ]
    if len({run.sha256 for run in group}) > 1:
        lines.append("| test episodes | " + " | ".join(f"`{run.sha256[:SHOWN_DIGITS]}`" for run in group) + " |")
    return "\n".join(lines)


def summary(group: Sequence[Run]) -> str:
    """The sentence over a table: data, setting, metric, number of tasks, seed, episodes.

    Args:
        group: runs of one setting and metric.
    """
    first = group[0]
    count = max(run.results["episodes"]["count"] for run in group)
    parts = [
        f"{first.corpus}{', ' + first.setting if first.setting else ''}: {first.primary.replace('_', ' ')}, mean over {count:,} test "
        "tasks with its 95 % interval over tasks."
    ]
    if len({run.seed for run in group}) == 1:
        parts.append(f"Seed {first.seed}.")
    if len({run.sha256 for run in group}) == 1:
        seed = first.results["episodes"].get("seed")
        parts.append(f"Test episodes{'' if seed is None else f' (seed {seed})'}: sha256 `{first.sha256}`.")
    return " ".join(parts)


def paired(run: Run) -> list[str]:
    """The learner minus each baseline on the same tasks, one line each.

    Args:
        run: with baselines, or none.
    """
    lines = []
    percent = run.primary == "accuracy"
    scale, unit, digits = (100.0, " points", 1) if percent else (1.0, "", 3)
    for name, entry in run.results.get("paired", {}).items():
        text = f"{name.replace('_', ' ')}: {scale * entry['mean']:+.{digits}f}"
        if entry.get("ci95") is not None:
            text += f" ± {scale * entry['ci95']:.{digits}f}"
        text += f"{unit} ({entry['tasks']:,} tasks)"
        if entry.get("relative_error_reduction") is not None:
            share = 100 * entry["relative_error_reduction"]
            text += f"; {share:.0f} % of its errors gone" if share >= 0 else f"; {-share:.0f} % more errors"
        lines.append(text)
    return lines


def command_of(results: Mapping[str, Any]) -> str:
    """The command line of a run, without paths of a machine and without tokens.

    Args:
        results: content of a results.json.
    """
    try:
        words = shlex.split(str(results.get("command", "")))
    except ValueError:
        return ""
    return shlex.join(_shareable(word) for word in words)


def without_places(content: Any, key: str = "") -> Any:
    """A run's JSON as others may have it: what says where things lie on a machine is shortened as in a command.

    Args:
        content: of `hfmeta_config.json` or results.json, or a part of it.
        key: where in the whole it stands, by the name of its field.
    """
    if isinstance(content, dict):
        return {name: without_places(value, name) for name, value in content.items()}
    if isinstance(content, list):
        return [without_places(value, key) for value in content]
    if not isinstance(content, str):
        return content
    if key in ("command", "recipe"):
        return command_of({"command": content}) if key == "command" else recipe_name(content)
    # Whole values alone: a separator of dialogues or a pattern of names may have a slash in it.
    return "FOLDER" if WHOLE_PATH.fullmatch(content) else content


def recipe_name(source: Any) -> str | None:
    """The recipe's path as others know it: relative, else its file name.

    Args:
        source: where the recipe was read from.
    """
    if not source:
        return None
    path = PurePath(str(source))
    return path.name if path.is_absolute() or ".." in path.parts or str(source).startswith("~") else str(path)


def _shareable(word: str) -> str:
    key, equals, value = word.partition("=")
    if equals and "token" in key.lower():
        return f"{key}=TOKEN"
    told = value if equals else word
    # Values may be lists and mappings of paths.
    told = PRIVATE_PATH.sub(
        lambda path: PurePath(path[0]).name if path[0].endswith((".yaml", ".yml")) else "FOLDER", told
    )
    return f"{key}={told}" if equals else told


def _options(run: Run) -> dict[str, Any]:
    """What was chosen for a run, flat, without what nobody compares."""
    chosen = run.results.get("hyper_parameters", {})
    sections = [chosen.get("model", {}), run.results["algorithm"], run.data]
    return {key: value for section in sections for key, value in section.items() if key not in QUIET}
