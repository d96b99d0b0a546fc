"""Test results beside a learner: which are its own, so that every way of saving it writes them into its folder and its card.

Results are of values. A learner that was trained further has none, and results of another one that lie in its folder are not taken.
Not here: how results are made (hfmeta.recipe), how a card tells them (card/).
"""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hfmeta.publishing.card import learner_card
from hfmeta.publishing.identity import learner_identity
from hfmeta.reporting import adaptation_curve, gate_plot
from hfmeta.reporting.files import write_json

if TYPE_CHECKING:
    from hfmeta.learner import MetaLearner

logger = logging.getLogger(__name__)
RESULTS = "results.json"
TESTED = "learner"
"""Key of results.json: the fingerprint of the learner that was tested."""


def keep_results(learner: MetaLearner, results: Mapping[str, Any]) -> dict[str, Any]:
    """Say of a learner how it did in a test, for as long as its values are those that were tested.

    Args:
        learner: it was tested; its `results` are set.
        results: content of a results.json.

    Returns:
        the same results, with the fingerprint of the learner.
    """
    learner.results = {**results, TESTED: learner_identity(learner)[1]}
    return learner.results


def own_results(learner: MetaLearner) -> dict[str, Any] | None:
    """The results of a learner, or None where it has none or was changed since.

    Args:
        learner: it stays as it is.
    """
    known = learner.results
    return known if known is not None and known.get(TESTED) == learner_identity(learner)[1] else None


def read_results(learner: MetaLearner, folder: Path, content: Mapping[str, Any]) -> dict[str, Any] | None:
    """The results that lie beside a learner, where they are its own; others are named and left out.

    Args:
        learner: as it was opened from the folder.
        folder: of the learner.
        content: of its `hfmeta_config.json`.
    """
    path = folder / RESULTS
    if not path.is_file():
        return None
    try:
        results = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(results, dict):
            raise TypeError("it is no mapping")
        learner_card(content, results)  # a file from anybody: what no card can tell is no results
    except (OSError, ValueError, LookupError, TypeError, AttributeError) as error:
        logger.warning("%s is left out: it holds no results of a run (%s: %s).", path, type(error).__name__, error)
        return None
    fingerprint = learner_identity(learner)[1]
    if results.setdefault(TESTED, fingerprint) != fingerprint:
        logger.warning("%s is left out: it is of another learner, or of this one before further training.", path)
        return None
    return results


def write_results(results: Mapping[str, Any], folder: Path) -> None:
    """Write results.json and the plots that can be drawn from it alone.

    Args:
        results: content of a results.json.
        folder: where to.
    """
    draw_results(results, folder)
    write_json(folder / RESULTS, dict(results))


def draw_results(results: Mapping[str, Any], folder: Path) -> None:
    """Draw the adaptation curve and, of a learned rule, its gates.

    Args:
        results: content of a results.json.
        folder: where to.
    """
    metric = results["primary_metric"]
    if metric in results["adaptation_curve"]:
        adaptation_curve(
            {results["algorithm"]["name"]: results["adaptation_curve"][metric]},
            metric,
            folder / "adaptation_curve.png",
            {name: entry for name, entry in results["baselines"].items() if entry["metric"] == metric},
        )
    if "gates" in results:
        gate_plot(results["gates"], folder / "gates.png")
