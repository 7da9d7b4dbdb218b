"""Which kind of recipe a file holds."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from limbeck.recipe.base import BaseRecipe
from limbeck.recipe.comparison import Comparison
from limbeck.recipe.federation import Federation
from limbeck.recipe.recipe import Recipe


def kind_of(content: Mapping[str, Any]) -> type[BaseRecipe]:
    """The kind of a recipe by its fields: `variants:` compares methods, `federated:` has clients, any other distils."""
    if "variants" in content:
        return Comparison
    return Federation if "federated" in content else Recipe
