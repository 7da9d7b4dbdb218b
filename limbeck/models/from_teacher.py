"""Students made from their teacher, and models built for each seed."""

from __future__ import annotations

import copy
import inspect
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from torch import nn

from limbeck.core.actors import is_held, preserve_gradient_flags
from limbeck.models.size_limit import build_within_limits


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
        ValueError: it is made from the teacher, and there is none; or it would have too many modules.
    """
    if isinstance(model, nn.Module):
        copied = copy.deepcopy(model)
        for ours, theirs in zip(copied.parameters(), model.parameters(), strict=True):
            ours.requires_grad_(theirs.is_floating_point() and not is_held(theirs))
        return copied
    if not isinstance(model, FromTeacher):
        return _built(model)
    if teacher is None:
        raise ValueError(
            "from_teacher: the model is made from the teacher, and there is none; give a teacher, or a model by name"
        )
    with _unfrozen(teacher):  # what is copied from it is trained, unless the builder freezes it
        return build_within_limits(lambda: model(teacher))


def _built(builder: Callable[[], nn.Module]) -> nn.Module:
    """Calls a builder; refuses functions that are models themselves, and what builds something else."""
    try:
        inspect.signature(builder).bind()
    except TypeError as error:
        raise ValueError(
            f"{builder!r} is called without arguments to build a model, and needs some ({error}); hand over a torch.nn.Module, "
            "or lambda: Model(…)"
        ) from error
    except ValueError:
        pass  # of a built-in function, which has no signature
    built = builder()
    if not isinstance(built, nn.Module):
        raise ValueError(f"{builder!r} built {type(built).__name__}; expected a torch.nn.Module")
    return built


@contextmanager
def _unfrozen(teacher: nn.Module) -> Iterator[None]:
    """Gives all parameters of the teacher a gradient, and takes it away again afterwards."""
    with preserve_gradient_flags(teacher):
        for parameter in teacher.parameters():
            if parameter.is_floating_point():
                parameter.requires_grad_(True)
        yield
