"""`limbeck schema`: the JSON schema of recipes."""

from __future__ import annotations

import json


def schema() -> None:
    """The JSON schema of recipes, for editors."""
    from limbeck.recipe import Recipe

    print(json.dumps(Recipe.model_json_schema(), indent=2))
