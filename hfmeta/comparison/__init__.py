"""Comparisons: several methods trained by recipes, scored on the same test tasks, in one table beside published figures."""

from hfmeta.comparison.command import run_table
from hfmeta.comparison.layout import markdown
from hfmeta.comparison.methods import DIALOGUE_METHODS, Method, choose_methods
from hfmeta.comparison.plan import Plan
from hfmeta.comparison.rows import make_row, read_rows
from hfmeta.comparison.running import make_resemblance, make_table
from hfmeta.comparison.scoring import Judges, score_learner
from hfmeta.comparison.settings import SETTINGS, Setting
from hfmeta.comparison.similarity import Resemblance, resemblance

__all__ = [
    "DIALOGUE_METHODS",
    "SETTINGS",
    "Judges",
    "Method",
    "Plan",
    "Resemblance",
    "Setting",
    "choose_methods",
    "make_resemblance",
    "make_row",
    "make_table",
    "markdown",
    "read_rows",
    "resemblance",
    "run_table",
    "score_learner",
]
