"""Students made from their teacher, and models built for each seed."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass

from torch import nn


@dataclass(frozen=True)
class FromTeacher:
    """Makes the student from the trained teacher: `FromTeacher(lambda teacher: …)`."""

    make: Callable[[nn.Module], nn.Module]

    def __call__(self, teacher: nn.Module) -> nn.Module:
        return self.make(teacher)


ModelOrBuilder = nn.Module | FromTeacher | Callable[[], nn.Module]
"""A module, which every seed copies; or a builder, which is called for every seed, with the teacher or without arguments."""


def build_model(model: ModelOrBuilder, teacher: nn.Module | None) -> nn.Module:
    """Returns a new model: a copy of a module, or what the builder returns.

    Raises:
        ValueError: it is made from the teacher, and there is none.
    """
    if isinstance(model, nn.Module):
        return copy.deepcopy(model)
    if not isinstance(model, FromTeacher):
        return model()
    if teacher is None:
        raise ValueError(
            "from_teacher: the model is made from the teacher, and there is none; give a teacher, or a model by name"
        )
    return model(teacher)
