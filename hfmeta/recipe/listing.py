"""What is there to use: installed algorithms, recipes in a folder, metrics and baselines. For `hfmeta list`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from hfmeta.algorithms import list_algorithms
from hfmeta.recipe.baselines import BASELINES
from hfmeta.recipe.checks import METRICS
from hfmeta.recipe.errors import RecipeError
from hfmeta.recipe.parsing import read_yaml


def inventory(folder: str | Path = "recipes") -> dict[str, list[dict[str, Any]]]:
    """Everything a recipe can name, and the recipes found.

    Args:
        folder: searched for *.yaml files, its subfolders too.

    Returns:
        `algorithms`, `recipes`, `metrics` and `baselines`, each a list of dicts with `name` first.
    """
    algorithms = [
        {
            "name": info.name,
            "package": info.package,
            "version": info.version,
            "summary": (info.cls.__doc__ or "").strip().split("\n")[0],
        }
        for info in list_algorithms()
    ]
    return {
        "algorithms": algorithms,
        "recipes": [_described(path) for path in sorted(Path(folder).rglob("*.yaml"))],
        "metrics": [
            {"name": name, "tasks": list(tasks) if tasks is not None else None} for name, (_, tasks) in METRICS.items()
        ],
        "baselines": [
            {
                "name": name,
                "summary": one.summary,
                "options": list(one.options),
                "tasks": list(one.tasks) if one.tasks is not None else None,
            }
            for name, one in BASELINES.items()
        ],
    }


def _described(path: Path) -> dict[str, Any]:
    """A recipe's algorithm and data, as far as the file can be read."""
    try:
        tree = read_yaml(path)
    except RecipeError:
        return {"name": str(path), "algorithm": None, "data": None}
    sections: dict[str, Any] = {
        name: tree.get(name) if isinstance(tree.get(name), dict) else {} for name in ("algorithm", "data")
    }
    data: dict[str, Any] = sections["data"] or {}
    source = next((data[key] for key in ("corpus", "dataset", "path") if data.get(key)), None)
    return {
        "name": str(path),
        "algorithm": (sections["algorithm"] or {}).get("name"),
        "data": source if isinstance(source, str | None) else ", ".join(map(str, source.values())),
    }
