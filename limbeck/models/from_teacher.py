"""Students that are made from their teacher, and models that are built anew for each seed."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass

from torch import nn


@dataclass(frozen=True)
class FromTeacher:
    """A student that is made from the trained teacher: `FromTeacher(lambda teacher: …)`."""

    make: Callable[[nn.Module], nn.Module]

    def __call__(self, teacher: nn.Module) -> nn.Module:
        return self.make(teacher)


ModelOrBuilder = nn.Module | FromTeacher | Callable[[], nn.Module]
"""A module, of which every seed trains a copy; or what builds one, from random weights of the seed or from the teacher."""


def build_model(model: ModelOrBuilder, teacher: nn.Module) -> nn.Module:
    """Returns a new model: a copy of a module, or what the builder returns."""
    if isinstance(model, nn.Module):
        return copy.deepcopy(model)
    return model(teacher) if isinstance(model, FromTeacher) else model()
