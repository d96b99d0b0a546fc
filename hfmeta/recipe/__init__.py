"""Recipes: YAML to a checked specification, the objects it names, and a run with its results."""

from hfmeta.recipe.building import Build, build
from hfmeta.recipe.errors import RecipeError
from hfmeta.recipe.evaluating import evaluate_checkpoint
from hfmeta.recipe.parsing import parse_recipe
from hfmeta.recipe.running import run_recipe
from hfmeta.recipe.schema import Recipe

__all__ = ["Build", "Recipe", "RecipeError", "build", "evaluate_checkpoint", "parse_recipe", "run_recipe"]
