"""Recipes: YAML to a checked specification, the objects it names, and a run with its results."""
