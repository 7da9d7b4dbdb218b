"""A comparison: several methods on the same models, data and training."""

from __future__ import annotations

import re
from typing import Any, Self

from pydantic import Field, model_validator

from limbeck.recipe.base import BaseRecipe
from limbeck.recipe.recipe import Recipe
from limbeck.recipe.schema.terms import TermSpec
from limbeck.utils.folder_names import require_folder_name

CONTROL = "control"  # the variant trained on labels only
RESERVED = ("teacher", "checkpoints")  # folders of the comparison itself


class Comparison(BaseRecipe):
    """Several methods with the same teacher, student, data, seeds and steps; only their terms differ.

    Each variant is a run in a folder of its own, so that a comparison can be stopped and resumed between any two of them.
    The control is a variant too, named `control`. It is added if the recipe does not list it.
    """

    variants: dict[str, list[TermSpec]] = Field(min_length=1, description="the terms of each method, by a name of your choice")

    @model_validator(mode="after")
    def _check_variants(self) -> Self:
        if self.data.train is None:
            raise ValueError("data.train: a comparison needs training data")
        if not self.student.named:
            raise ValueError("student: a model is needed: model: (by name) or from_teacher:")
        for name, terms in self.variants.items():
            if not terms:
                raise ValueError(f"variant {name!r} has no terms")
            if name in RESERVED or not re.fullmatch(r"[\w+][\w+-]*", name):
                raise ValueError(
                    f"variant {name!r}: choose another name, of letters, digits, '-', '_' and '+'; it names a folder"
                )
            require_folder_name(name, "variants")
        if CONTROL not in self.variants:
            self.variants = {CONTROL: [TermSpec.model_validate("hard_targets")], **self.variants}
        return self

    def variant(self, name: str, weights: str | None = None) -> Recipe:
        """Returns the recipe of one variant.

        Args:
            weights: of the teacher, if it was trained for all variants.
        """
        content: dict[str, Any] = self.model_dump(mode="json", exclude={"variants"})
        if weights is not None:
            content["teacher"] |= {"weights": weights, "training": None}
        terms = [term.model_dump(mode="json") for term in self.variants[name]]
        return Recipe.from_dict({**content, "name": name, "terms": terms, "control": False}, f"variant {name}")
