"""Recipes: jobs written as YAML, from the text to the parts."""

from limbeck.recipe.base import classes_and_channels, load
from limbeck.recipe.built_in import built_in_recipes, find_recipe
from limbeck.recipe.comparison import CONTROL, Comparison
from limbeck.recipe.plugin import load_plugin, loaded_plugins
from limbeck.recipe.recipe import Recipe
from limbeck.recipe.schema.parts import DatasetSpec, ExportSpec
from limbeck.recipe.yaml_text import RecipeError, apply_override, describe_missing, expand_variables, read_yaml

__all__ = [
    "CONTROL",
    "Comparison",
    "DatasetSpec",
    "ExportSpec",
    "Recipe",
    "RecipeError",
    "apply_override",
    "built_in_recipes",
    "classes_and_channels",
    "describe_missing",
    "expand_variables",
    "find_recipe",
    "load",
    "load_plugin",
    "loaded_plugins",
    "read_yaml",
]
