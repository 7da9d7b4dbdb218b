"""Recipes: jobs written as YAML, from the text to the parts."""

from limbeck.recipe.comparison import CONTROL, Comparison
from limbeck.recipe.job import load, shape_of_data
from limbeck.recipe.plugin import load_plugin, loaded
from limbeck.recipe.recipe import Recipe
from limbeck.recipe.schema.parts import DataPart, ExportSpec
from limbeck.recipe.yaml_text import RecipeError, expand, missing, read_yaml, set_path

__all__ = [
    "CONTROL",
    "Comparison",
    "DataPart",
    "ExportSpec",
    "Recipe",
    "RecipeError",
    "expand",
    "load",
    "load_plugin",
    "loaded",
    "missing",
    "read_yaml",
    "set_path",
    "shape_of_data",
]
