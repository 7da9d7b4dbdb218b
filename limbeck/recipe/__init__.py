"""Recipes: jobs written as YAML. The schema checks a recipe and builds what it describes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from limbeck.utils.lazy_imports import lazy_attributes

if TYPE_CHECKING:
    from limbeck.recipe.built_in import built_in_recipes, find_recipe
    from limbeck.recipe.comparison import CONTROL, Comparison
    from limbeck.recipe.dataset_reader import DataSizes, RecipeItems, data_sizes
    from limbeck.recipe.errors import RecipeError
    from limbeck.recipe.federation import Federation
    from limbeck.recipe.fields import read_fields
    from limbeck.recipe.kinds import kind_of
    from limbeck.recipe.overrides import apply_override
    from limbeck.recipe.paths import describe_missing, expand_variables
    from limbeck.recipe.plugin import load_plugin, loaded_plugins
    from limbeck.recipe.recipe import Recipe
    from limbeck.recipe.schema.data import DatasetSpec
    from limbeck.recipe.schema.export import ExportSpec
    from limbeck.recipe.yaml_loader import read_yaml

_HOMES = {
    "limbeck.recipe.built_in": ("built_in_recipes", "find_recipe"),
    "limbeck.recipe.comparison": ("CONTROL", "Comparison"),
    "limbeck.recipe.dataset_reader": ("DataSizes", "RecipeItems", "data_sizes"),
    "limbeck.recipe.errors": ("RecipeError",),
    "limbeck.recipe.federation": ("Federation",),
    "limbeck.recipe.fields": ("read_fields",),
    "limbeck.recipe.kinds": ("kind_of",),
    "limbeck.recipe.overrides": ("apply_override",),
    "limbeck.recipe.paths": ("describe_missing", "expand_variables"),
    "limbeck.recipe.plugin": ("load_plugin", "loaded_plugins"),
    "limbeck.recipe.recipe": ("Recipe",),
    "limbeck.recipe.schema.data": ("DatasetSpec",),
    "limbeck.recipe.schema.export": ("ExportSpec",),
    "limbeck.recipe.yaml_loader": ("read_yaml",),
}

__all__ = [
    "CONTROL",
    "Comparison",
    "DataSizes",
    "DatasetSpec",
    "ExportSpec",
    "Federation",
    "Recipe",
    "RecipeError",
    "RecipeItems",
    "apply_override",
    "built_in_recipes",
    "data_sizes",
    "describe_missing",
    "expand_variables",
    "find_recipe",
    "kind_of",
    "load_plugin",
    "loaded_plugins",
    "read_fields",
    "read_yaml",
]

__getattr__ = lazy_attributes(__name__, _HOMES)
