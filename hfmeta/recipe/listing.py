"""What is there to use: installed algorithms, recipes in a folder, metrics, evaluate modules and baselines. For `hfmeta list`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from hfmeta import metrics
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
        `algorithms`, `recipes`, `metrics` (of recipes), `modules` (metrics for `evaluate.load`) and `baselines`, each a list of dicts
        with `name` first.
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
        "modules": [_module(path.parent) for path in sorted(Path(metrics.__file__).parent.glob("*/README.md"))],
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


def _module(folder: Path) -> dict[str, Any]:
    """An evaluate module as its README describes it."""
    header = (folder / "README.md").read_text(encoding="utf-8").split("---\n")[1]
    return {"name": folder.name, "summary": yaml.safe_load(header)["description"], "path": str(folder)}


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
