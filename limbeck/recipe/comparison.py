"""A comparison: one pair of models, one training, many methods."""

from __future__ import annotations

import re
from typing import Any, Self

from pydantic import Field, model_validator

from limbeck.recipe.base import BaseRecipe
from limbeck.recipe.recipe import Recipe
from limbeck.recipe.schema.parts import TermSpec

RESERVED = ("teacher", "checkpoints")  # folders of the comparison itself
CONTROL = "control"  # the control among the variants: labels only


class Comparison(BaseRecipe):
    """Several methods on the same teacher, student, data, seeds and steps, each of which differs in its terms alone.

    Each variant is a run of its own, so that a comparison can be stopped and gone on with between any two of them. The
    control is a variant too, `control`, and is added where it is missing.
    """

    variants: dict[str, list[TermSpec]] = Field(min_length=1, description="the terms of each method, by a name of its own")

    @model_validator(mode="after")
    def _with_control(self) -> Self:
        if not self.student.named:
            raise ValueError("student: a model is needed: model: (by name) or from_teacher:")
        for name, terms in self.variants.items():
            if not terms:
                raise ValueError(f"variant {name!r} has no terms")
            if name in RESERVED or not re.fullmatch(r"[\w+-]+", name):
                raise ValueError(
                    f"variant {name!r}: choose another name, of letters, digits, '-', '_' and '+'; it names a folder"
                )
        if CONTROL not in self.variants:
            control = TermSpec.model_validate("hard_targets")
            self.variants = {CONTROL: [control], **self.variants}
        return self

    def variant(self, name: str, weights: str | None = None) -> Recipe:
        """The recipe of one variant; `weights`: of the teacher, where it was trained for all of them."""
        content: dict[str, Any] = self.model_dump(mode="json", exclude={"variants"})
        if weights is not None:
            content["teacher"] |= {"weights": weights, "training": None}
        terms = [term.model_dump(mode="json") for term in self.variants[name]]
        return Recipe.from_dict({**content, "name": name, "terms": terms, "control": False}, f"variant {name}")
