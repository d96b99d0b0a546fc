"""Whether users whose personas are alike own structures that are alike: rank correlation over pairs of users."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hfmeta.comparison.methods import Method
from hfmeta.comparison.plan import Plan
from hfmeta.corpora.dialogue import personas_of, similarity_matrix
from hfmeta.learner import MetaLearner
from hfmeta.learner.private import SPLIT
from hfmeta.metrics import RankCorrelation, pair_rank_correlation
from hfmeta.recipe import parse_recipe
from hfmeta.recipe.data import load_tables
from hfmeta.reporting.plots import pair_plot


@dataclass(frozen=True)
class Resemblance:
    """Persona similarity against structure overlap, over the pairs of some users.

    Args:
        users: P names.
        similarity: [P, P], share of words that two users' personas have in common.
        overlap: [P, P], share of thinnable edges that two users' structures have in common.
        correlation: Spearman's, with its interval over users.
    """

    users: tuple[str, ...]
    similarity: NDArray[np.float64]
    overlap: NDArray[np.float64]
    correlation: RankCorrelation

    def as_dict(self) -> dict[str, Any]:
        """The figures without the matrices, as JSON values; the mean overlap of the most and the least similar tenth of pairs."""
        lower = np.tril_indices(len(self.users), -1)
        order = np.argsort(self.similarity[lower], kind="stable")
        tenth = max(1, len(order) // 10)
        overlap = self.overlap[lower][order]
        found = self.correlation
        return {
            **{"users": len(self.users), "pairs": found.pairs, "rho": found.rho, "ci95": [found.low, found.high]},
            **{
                "overlap_of_most_similar": float(overlap[-tenth:].mean()),
                "overlap_of_least_similar": float(overlap[:tenth].mean()),
            },
        }


def resemblance(
    personas: Mapping[str, Sequence[str]], users: Sequence[str], overlap: Any, unit: str = "word"
) -> Resemblance:
    """Set the overlap of users' structures against the similarity of their personas.

    Args:
        personas: user -> persona sentences.
        users: P names, at least three, in the order of `overlap`.
        overlap: [P, P].
        unit: what personas are compared by, see `hfmeta.corpora.dialogue.persona_similarity`.
    """
    similarity = similarity_matrix([personas[user] for user in users], unit)
    structure = np.asarray(overlap, dtype=np.float64)
    return Resemblance(tuple(users), similarity, structure, pair_rank_correlation(similarity, structure))


def resemblances(plan: Plan, method: Method, seed: int, row: Mapping[str, Any]) -> dict[str, Resemblance]:
    """The resemblance of training users (from the run's masks) and of test users (from a row), where there are structures.

    Args:
        plan: where the run lies.
        method: a CMAML method that has been trained.
        seed: its seed.
        row: its row in some setting.

    Returns:
        `train` and `test`, each where at least three users have structures and personas.
    """
    recipe = parse_recipe(plan.recipe_of(method), plan.words(method, seed))
    tables = load_tables(recipe.data, recipe.model.task)
    if "persona_sentences" not in tables["train"].column_names:
        return {}
    found = {}
    private = MetaLearner.from_pretrained(plan.folder(method.run, seed)).private
    if private is not None and private.ready:
        users = private.store.tasks(SPLIT)
        if len(users) > 2 and private.thinnable:
            overlap = private.store.overlap(SPLIT, users, private.thinnable).numpy()
            found["train"] = resemblance(personas_of(tables["train"]), users, overlap)
    if "overlap" in row and len(row["tasks"]) > 2:
        found["test"] = resemblance(personas_of(tables["test"]), row["tasks"], row["overlap"])
    return found


def draw(found: Mapping[str, Resemblance], path: Path, of: str = "words") -> Path:
    """Plot the pairs of every group.

    Args:
        found: group -> resemblance.
        path: the PNG to write.
        of: what personas were compared by, for the axis.
    """
    points = {}
    for name, one in found.items():
        lower = np.tril_indices(len(one.users), -1)
        rho = one.correlation
        label = f"{name}: rho {rho.rho:.2f} [{rho.low:.2f}, {rho.high:.2f}], {rho.pairs} pairs"
        points[label] = (one.similarity[lower].tolist(), one.overlap[lower].tolist())
    return pair_plot(
        points, f"persona similarity (Jaccard index of {of})", "structure overlap (Jaccard index of edges)", path
    )
