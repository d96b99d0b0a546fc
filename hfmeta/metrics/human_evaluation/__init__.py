"""Human evaluation: blinded, shuffled sheets for annotators, and their scores read back with the agreement between annotators."""

from hfmeta.metrics.human_evaluation.agreement import krippendorff_alpha, pairwise_kappa
from hfmeta.metrics.human_evaluation.criteria import CRITERIA, Criterion
from hfmeta.metrics.human_evaluation.reading import CriterionScores, HumanScores, MethodScore, read_sheets
from hfmeta.metrics.human_evaluation.sheets import Item, write_sheets

__all__ = [
    "CRITERIA",
    "Criterion",
    "CriterionScores",
    "HumanScores",
    "Item",
    "MethodScore",
    "krippendorff_alpha",
    "pairwise_kappa",
    "read_sheets",
    "write_sheets",
]
