"""What all recipes have in common: the data, the models, the training, and how a recipe is read from YAML."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Self

import yaml
from pydantic import Field, ValidationError, model_validator

from limbeck.recipe.old_keys import rename_old_keys, rename_old_override
from limbeck.recipe.schema.parts import CacheField, DatasetSpec, DataSpec, Spec, StudentSpec, TeacherSpec, TrainingSpec
from limbeck.recipe.yaml_text import (
    RecipeError,
    apply_override,
    describe_missing,
    expand_variables,
    format_error,
    is_file_path,
    read_yaml,
)
from limbeck.utils.registry import nearest

if TYPE_CHECKING:
    from limbeck.data import Items
    from limbeck.recipe.dataset_reader import DatasetReader
    from limbeck.tasks import Task


class BaseRecipe(Spec):
    """What every kind of recipe says: the data, the models, how they are trained, what is expected."""

    name: str = Field(pattern=r"^[\w.+\-]+$")
    description: str = ""
    task: Literal["classification", "regression", "question_answering", "masked_language_modelling", "sentence_embeddings"] = (
        "classification"
    )
    metric: str | None = Field(
        None,
        description="what judges; none: accuracy, Pearson's correlation, answer_f1, masked_accuracy, or of embeddings "
        "probe_accuracy where there are labels and neighbour_overlap where there are none",
    )
    data: DataSpec
    teacher: TeacherSpec
    student: StudentSpec = Field(default_factory=lambda: StudentSpec.model_validate({}))
    training: TrainingSpec = Field(default_factory=lambda: TrainingSpec.model_validate({}))
    cache: CacheField = Field(None, description="cache the teacher's outputs: auto, off, a folder, or {path: …, views: 8}")
    seeds: list[int] = Field(default_factory=lambda: [0], min_length=1)

    @model_validator(mode="after")
    def _check_metric(self) -> Self:
        self.new_task()  # refuses a metric of another task
        return self

    @model_validator(mode="after")
    def _check_seeds(self) -> Self:
        if len(set(self.seeds)) != len(self.seeds):
            raise ValueError(f"seeds {self.seeds} hold one twice")
        return self

    # --- from YAML ---------------------------------------------------------------------------------------------------

    @classmethod
    def read(cls, path: str | Path, changes: Sequence[str] = ()) -> Self:
        """Read a recipe, apply `path=value` changes, and check it whole.

        Raises:
            RecipeError: a missing file, no YAML, unknown or ill-typed fields, files that do not exist.
        """
        path = Path(path)
        if not path.exists():
            known = [file.name for file in path.parent.glob("*.yaml")] if path.parent.is_dir() else []
            offer = f"; nearest: {', '.join(nearest(path.name, known))}" if known else ""
            raise RecipeError(f"recipe {path}: there is no such file{offer}")
        try:
            content = read_yaml(path.read_text(encoding="utf-8"))
        except (yaml.YAMLError, UnicodeDecodeError) as error:
            raise RecipeError(f"recipe {path} is no YAML: {error}") from error
        except IsADirectoryError as error:
            raise RecipeError(f"recipe {path} is a folder; name the .yaml file in it") from error
        if not isinstance(content, dict):
            raise RecipeError(f"recipe {path} holds {type(content).__name__}; expected fields: data, teacher, student, …")
        content = rename_old_keys(content, f"recipe {path}")
        for change in changes:
            apply_override(content, rename_old_override(change))
        return cls.from_dict(content, str(path))

    @classmethod
    def from_dict(cls, content: Mapping[str, Any], origin: str = "recipe", *, files: bool = True) -> Self:
        """A recipe from its fields; `files`: the files it names must exist."""
        content = rename_old_keys(content, origin)
        try:
            recipe = cls.model_validate(content)
        except ValidationError as error:
            raise RecipeError(f"{origin}:\n" + "\n".join(format_error(cls, item) for item in error.errors())) from error
        if files:
            recipe.check_files(origin)
        return recipe

    def check_files(self, origin: str) -> None:
        """Refuse paths that lead nowhere, before anything is loaded."""
        fields = {"data.train": self.data.train.path, "data.test": self.data.test.path}
        if isinstance(self.data.validation, DatasetSpec):
            fields["data.validation"] = self.data.validation.path
        for who in ("teacher", "student"):
            if (weights := getattr(self, who).weights) is not None:
                fields[f"{who}.weights"] = weights
        for field, text in fields.items():
            path = Path(expand_variables(text, f"{origin}: {field}"))
            if is_file_path(text, path) and not path.exists():
                raise RecipeError(f"{origin}: {field}: {describe_missing(path)}")

    def write(self, path: Path) -> None:
        """The recipe with every default filled in."""
        from limbeck.utils.atomic_files import write_text_atomic

        write_text_atomic(path, yaml.safe_dump(self.model_dump(mode="json"), sort_keys=False, allow_unicode=True))

    def new_task(self) -> Task:
        from limbeck.tasks import Task, registry

        task = registry.get(self.task, metric=self.metric)
        assert isinstance(task, Task)
        return task

    @cached_property
    def reader(self) -> DatasetReader:
        """How the data becomes what models read."""
        from limbeck.recipe.dataset_reader import DatasetReader

        return DatasetReader(self)

    def items(self, part: DatasetSpec) -> Items:
        """The items of one data set; texts as tokens."""
        return self.reader.items(part)

    def load(self) -> tuple[Items, Items, Items | None, Items]:
        """(all labels, what the student sees, validation, test)."""
        return self.reader.load()


def load(part: DatasetSpec, *, regression: bool = False, labels: bool = True) -> Items:
    """The items of one data set; `labels`: with those that it has."""
    import torch

    from limbeck.data import load_items

    options = {name: getattr(part, name) for name in ("split", "input", "label", "size", "channels", "on_error")}
    if not labels:
        options["label"] = False
    items = load_items(expand_variables(part.path, "data"), regression=regression, **options)
    return items if part.limit is None else items.select(torch.arange(min(part.limit, len(items))))


def classes_and_channels(items: Items) -> tuple[int | None, int | None]:
    """(classes, channels) as the data shows them."""
    import torch

    first = items.fetch(torch.tensor([0]))
    return items.classes, (first.shape[1] if getattr(first, "ndim", 0) == 4 else None)
