"""Results read again: of a run's folder, of a file, or of a folder of such files; and each task's scores, where they were kept."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from hfmeta.inner.errors import HfmetaError

NEEDED = {"primary_metric", "metrics", "algorithm", "adaptation_curve", "episodes"}


def read_runs(paths: Sequence[str | Path]) -> dict[str, dict[str, Any]]:
    """The results at several places, by a name each: the folder, or the file without its ending; without what all have in common.

    Args:
        paths: a run's output folder, a file of results (results.json, or what `--json` wrote), or a folder of such files, whose other
            JSON files are left out.

    Returns:
        name -> results; those of a run's folder have the scores of each task under `per_task`, where they are there.

    Raises:
        HfmetaError: no results there, or a file that is no results.
    """
    runs: dict[str, dict[str, Any]] = {}
    for path in map(Path, paths):
        if path.is_dir() and not (path / "results.json").is_file():
            found = {
                str(file.with_suffix("")): read_results(file)
                for file in sorted(path.glob("*.json"))
                if _is_results(file)
            }
            if not found:
                raise HfmetaError(
                    f"{path} has no results.json; give the output folder of a finished run, a file of results, or a folder of such "
                    "files."
                )
            runs |= found
        else:
            name = str(path.with_suffix("")) if path.suffix == ".json" else str(path)
            runs[name] = read_results(path / "results.json" if path.is_dir() else path)
    # What the names of all have in common says nothing of any.
    alike = len({Path(name).is_absolute() for name in runs}) == 1
    shared = os.path.commonpath([str(Path(name).parent) for name in runs]) if len(runs) > 1 and alike else ""
    return {str(Path(name).relative_to(shared)) if shared else name: results for name, results in runs.items()}


def read_results(path: Path) -> dict[str, Any]:
    """The content of one file of results, with the scores of each task that lie beside it.

    Args:
        path: the file.

    Raises:
        HfmetaError: it is not there, cannot be read, or is no results.
    """
    try:
        results = json.loads(path.read_text(encoding="utf-8"))
        lacking = NEEDED - set(results)
    except FileNotFoundError:
        raise HfmetaError(
            f"{path} is not there; give the output folder of a finished run, a file of results, or a folder of such files."
        ) from None
    except (OSError, ValueError, TypeError) as error:
        raise HfmetaError(f"{path} cannot be read: {error}") from error
    if not isinstance(results, dict) or lacking:
        raise HfmetaError(f"{path} lacks {', '.join(sorted(lacking or NEEDED))}: it is no results of a run.")
    beside = path.with_name("per_task.json")
    if "per_task" not in results and path.name == "results.json" and beside.is_file():
        try:
            results["per_task"] = json.loads(beside.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise HfmetaError(f"{beside} cannot be read: {error}. Delete it to do without it.") from error
    return results


def final_scores(results: Mapping[str, Any]) -> list[float] | None:
    """Every test task's score by the primary metric after the last inner step, in the order of the episodes; None where not kept.

    Args:
        results: content of a results.json.
    """
    kept = results.get("per_task", {}).get("scores", {})
    rows = kept.get("accuracy" if results["primary_metric"] == "accuracy" else "loss")
    return None if not rows else [float("nan") if row[-1] is None else float(row[-1]) for row in rows]


def _is_results(path: Path) -> bool:
    try:
        return set(json.loads(path.read_text(encoding="utf-8"))) >= NEEDED
    except (OSError, ValueError, TypeError):
        return False
