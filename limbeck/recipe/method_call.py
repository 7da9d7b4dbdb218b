"""The call of a recipe's published method: checked, and made as soon as what it reads is loaded."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Any

from torch import nn

from limbeck import methods
from limbeck.data import Items
from limbeck.recipe.paths import expand_variables
from limbeck.recipe.schema.data import DatasetSpec

if TYPE_CHECKING:
    from limbeck.recipe.recipe import Recipe


class MethodCall:
    """Calls the method of a recipe; a recipe without one decides all by itself.

    Args:
        recipe: its `method` field has the name and the arguments; its task, its length and, where the method reads them, its
            teacher and training data fill in the rest.

    Attributes:
        is_late: whether the method reads models or data, so that it decides only after they are loaded.
    """

    def __init__(self, recipe: Recipe) -> None:
        self.recipe = recipe
        self.name, self.given = next(iter(recipe.method.items())) if recipe.method is not None else ("", {})
        self.is_late = bool(self.name) and methods.reads_models_or_data(self.name)

    def check(self) -> None:
        """Raises `ValueError` for arguments that the method does not take, or for what it lacks in the recipe."""
        if not self.name:
            return
        methods.check_arguments(self.name, self.given)
        if self.recipe.student.named and self.makes_student:
            raise ValueError(f"student: the method {self.name} makes it; leave out model: and from_teacher:")
        if self.recipe.teacher is None and methods.needs(self.name, "teacher"):
            raise ValueError(f"teacher: the method {self.name} needs one; give it a model:")
        if self.recipe.data.train is None and methods.needs(self.name, "items"):
            raise ValueError(f"data.train: the method {self.name} needs training data")

    @property
    def makes_student(self) -> bool:
        return self.is_late or "student" in self.arguments

    @cached_property
    def arguments(self) -> methods.DistillationArguments:
        """What the method decides; nothing if there is none, or if it can only be called once models and data are loaded."""
        if not self.name or self.is_late:
            return {}
        return methods.call(self.name, self.given, **self._filled_in())

    def after_loading(self, teacher: nn.Module | None, train: Items | None) -> methods.DistillationArguments:
        """Calls a late method; `general` names texts that it loads first."""
        arguments = dict(self.given)
        if (general := arguments.pop("general", None)) is not None:
            texts = DatasetSpec.model_validate(general).model_copy(update={"label": False})
            arguments["general"] = self.recipe.reader.texts(texts)
            arguments |= self._general_teacher(arguments)
        return methods.call(self.name, arguments, teacher=teacher, items=train, **self._filled_in())

    def _filled_in(self) -> dict[str, Any]:
        return {"task": self.recipe.new_task(), "length": self.recipe.training.build().length}

    def _general_teacher(self, arguments: Mapping[str, Any]) -> dict[str, str]:
        """Returns the teacher for general texts, if the method takes one: the teacher before this recipe fine-tunes it."""
        field, teacher = "general_teacher", self.recipe.teacher
        assert teacher is not None
        name = arguments.get(field) or (teacher.args.get("name_or_path") if teacher.training else None)
        if name is None or field not in methods.parameters(self.name):
            return {}
        return {field: expand_variables(name, f"method.{self.name}.{field}")}
