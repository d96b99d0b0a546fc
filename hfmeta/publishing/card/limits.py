"""What a reader of a card should beware of, as far as the results themselves say it."""

from __future__ import annotations

from collections.abc import Sequence

from hfmeta.publishing.card.runs import Run
from hfmeta.reporting.tables import is_fraction


def limits(runs: Sequence[Run]) -> list[str]:
    """Sentences on what the results do not show, or show against the learner.

    Args:
        runs: of one recipe or learner.
    """
    if not runs:
        return []
    sentences = [_tested_on(runs), *_no_gain(runs), *_not_beaten(runs), *_fewer_tasks(runs), *_diverged(runs)]
    if len({run.seed for run in runs}) == 1:
        sentences.append("Trained with one seed: intervals are over test tasks and say nothing of other seeds.")
    options = runs[0].results["algorithm"]
    tested = options.get("test_inner_steps")
    if tested is not None and tested != options.get("inner_steps"):
        sentences.append(f"Tested with {tested} inner steps and trained with {options['inner_steps']}.")
    if skipped := sum(int(run.results.get("skipped_tasks") or 0) for run in runs):
        sentences.append(f"Training tasks skipped, since their inner loss was not finite: {skipped:,}.")
    if skipped := sum(int(run.results.get("skipped_steps") or 0) for run in runs):
        sentences.append(f"Outer steps left out, since their gradient was not finite: {skipped:,}.")
    return sentences


def _tested_on(runs: Sequence[Run]) -> str:
    corpora = " and ".join(dict.fromkeys(run.corpus for run in runs))
    settings = list(dict.fromkeys(run.setting for run in runs if run.setting))
    shown = f" ({', '.join(settings)})" if settings else ""
    return (
        f"Tested on {corpora}{shown} alone, on tasks that were not trained on. Nothing is known of other data or sizes."
    )


def _no_gain(runs: Sequence[Run]) -> list[str]:
    """Inner steps whose gain is within its interval, or goes the wrong way."""
    with_steps = [(run, run.results["metrics"].get(f"{run.primary}_gain")) for run in runs]
    known = [(run, entry) for run, entry in with_steps if entry is not None and entry.get("ci95") is not None]
    flat = [run for run, entry in known if not _better(run.primary, entry["mean"], entry["ci95"])]
    if not flat:
        return []
    why = ""
    if flat[0].results["algorithm"].get("head") == "prototype":
        why = " The class means of the support set, from which the head starts, do the work."
    return [f"The inner steps bring no gain beyond the interval {_of(len(flat), len(runs))}.{why}"]


def _not_beaten(runs: Sequence[Run]) -> list[str]:
    if not any(run.results.get("baselines") for run in runs):
        return ["No baseline was run beside it."]
    sentences = []
    names = dict.fromkeys(name for run in runs for name in run.results.get("paired", {}))
    for name in names:
        entries = [(run, run.results["paired"][name]) for run in runs if name in run.results.get("paired", {})]
        level = [
            run
            for run, entry in entries
            if entry.get("ci95") is None or not _better(run.primary, entry["mean"], entry["ci95"])
        ]
        if level:
            sentences.append(
                f"It is not better than {name.replace('_', ' ')} beyond the interval {_of(len(level), len(entries))}."
            )
    return sentences


def _fewer_tasks(runs: Sequence[Run]) -> list[str]:
    found: dict[str, set[int]] = {}
    for run in runs:
        count = int(run.metrics[run.primary]["tasks"])
        for name, entry in run.results.get("baselines", {}).items():
            if int(entry["tasks"]) < count:
                found.setdefault(name, set()).add(int(entry["tasks"]))
    return [
        f"The baseline {name.replace('_', ' ')} was run on the first {' or '.join(map(str, sorted(counts)))} test tasks only."
        for name, counts in found.items()
    ]


def _diverged(runs: Sequence[Run]) -> list[str]:
    sentences = []
    for run in runs:
        if count := run.metrics[run.primary].get("nonfinite_tasks"):
            which = f" ({run.label})" if run.label else ""
            sentences.append(f"Test tasks that diverged and are left out of the mean{which}: {count:,}.")
    return sentences


def _better(metric: str, mean: float, ci95: float) -> bool:
    return mean > ci95 if is_fraction(metric) else -mean > ci95


def _of(count: int, total: int) -> str:
    if count == total:
        return "in this run" if total == 1 else f"in any of {total} runs"
    return f"in {count} of {total} runs"
