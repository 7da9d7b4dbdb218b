"""What all recipes have in common: data, models, training; read from YAML and written back."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, ClassVar, Self

import yaml
from pydantic import Field, ValidationError, field_validator, model_validator

from limbeck.data import Items
from limbeck.data.fields import check_views
from limbeck.data.loading.tar_shards import expand_shards, is_shard_pattern
from limbeck.recipe.dataset_reader import DatasetReader, RecipeItems
from limbeck.recipe.errors import RecipeError, format_errors, in_field
from limbeck.recipe.fields import read_fields
from limbeck.recipe.old_keys import rename_old_keys, rename_old_override
from limbeck.recipe.overrides import apply_override
from limbeck.recipe.paths import describe_missing, expand_variables, is_file_path
from limbeck.recipe.schema.base import Spec
from limbeck.recipe.schema.cache import CacheField
from limbeck.recipe.schema.data import DatasetSpec, DataSpec
from limbeck.recipe.schema.models import ModelSpec, StudentSpec, TeacherSpec
from limbeck.recipe.schema.task import TaskField, build_task
from limbeck.recipe.schema.terms import terms_in
from limbeck.recipe.schema.training import TrainingSpec
from limbeck.tasks import Task
from limbeck.utils.atomic_files import write_text_atomic
from limbeck.utils.finite import find_not_finite

NAME = r"[\w+][\w.+\-]*"  # of a recipe, which becomes that of a folder


class BaseRecipe(Spec):
    """The fields of every kind of recipe."""

    further_models: ClassVar[str] = "actors"  # the field of models other than teacher and student

    name: str = Field(max_length=100, description="of the run and of its folder: runs/NAME")
    description: str = ""
    task: TaskField = "classification"
    metric: str | None = Field(
        None,
        description="what models are evaluated by; none: accuracy, Pearson's correlation, answer_f1, masked_accuracy, or of "
        "embeddings probe_accuracy if there are labels and neighbour_overlap if there are none",
    )
    data: DataSpec
    teacher: TeacherSpec | None = Field(None, description="none: no teacher takes part, or one among the actors")
    student: StudentSpec = Field(default_factory=lambda: StudentSpec.model_validate({}))
    training: TrainingSpec = Field(default_factory=lambda: TrainingSpec.model_validate({}))
    cache: CacheField = Field(None, description="cache the teacher's outputs: auto, off, a folder, or {path: …, views: 16}")
    seeds: list[Annotated[int, Field(ge=-(2**63), lt=2**63)]] = Field(default_factory=lambda: [0], min_length=1)

    @field_validator("name")
    @classmethod
    def _check_name(cls, name: str) -> str:
        if re.fullmatch(NAME, name) is None:
            raise ValueError("use letters, digits, '_', '+', '-' and '.' only, with a letter, a digit, '_' or '+' in front")
        return name

    @model_validator(mode="after")
    def _check_metric(self) -> Self:
        self.new_task()  # raises an error for a metric of another task
        return self

    @model_validator(mode="after")
    def _check_reads(self) -> Self:
        fields = None if self.data.train is None else self.data.train.fields
        for role, spec in self.models.items():
            reads, field = spec.reads, f"{self.field_of(role)}.reads"
            if fields is None and reads is not None:
                raise ValueError(f"{field}: {reads!r}, and data.train has no fields:; leave it out, or name the fields")
            if fields is not None and reads not in fields:
                raise ValueError(f"{field}: {reads!r} is none of the fields of data.train: {', '.join(fields)}")
        return self

    @model_validator(mode="after")
    def _check_views(self) -> Self:
        fields = None if self.data.train is None else self.data.train.modalities
        trainings = {"training": self.training, "control_training": getattr(self, "control_training", None)}
        for name, training in trainings.items():
            if training is not None:
                check_views(training.views, fields, f"{name}.views")
        return self

    @model_validator(mode="after")
    def _check_objectives(self) -> Self:
        task = self.new_task()
        for term in terms_in(self):
            if term.compares_outputs:
                task.check_objective(term.objective)
        return self

    @model_validator(mode="after")
    def _check_seeds(self) -> Self:
        if len(set(self.seeds)) != len(self.seeds):
            raise ValueError(f"seeds {self.seeds} hold one twice")
        return self

    # --- from YAML and back ------------------------------------------------------------------------------------------

    @classmethod
    def read(cls, path: str | Path, overrides: Sequence[str] = ()) -> Self:
        """Reads a recipe file, applies `path=value` overrides, and checks the whole recipe.

        Raises:
            RecipeError: a missing file, no YAML, unknown or ill-typed fields, files that do not exist.
        """
        path = Path(path)
        content = rename_old_keys(read_fields(path), f"recipe {path}")
        for override in overrides:
            apply_override(content, rename_old_override(override))
        return cls.from_dict(content, str(path))

    @classmethod
    def from_dict(cls, content: Mapping[str, Any], origin: str = "recipe", *, files: bool = True) -> Self:
        """Returns a recipe from its fields.

        Args:
            origin: of the fields, for messages.
            files: whether the files that it names must exist.

        Raises:
            RecipeError: see `read`.
        """
        content = rename_old_keys(content, origin)
        if endless := find_not_finite(content):
            raise RecipeError(f"{origin}:\n  {endless}: a finite number is needed")
        try:
            recipe = cls.model_validate(content)
        except ValidationError as error:
            raise RecipeError(f"{origin}:\n{format_errors(cls, error.errors())}") from error
        if files:
            recipe.check_files(origin)
        return recipe

    def check_files(self, origin: str) -> None:
        """Raises `RecipeError` for paths that do not exist, before anything is loaded."""
        fields = {"data.test": self.data.test.path}
        if self.data.train is not None:
            fields = {"data.train": self.data.train.path, **fields}
        if isinstance(self.data.validation, DatasetSpec):
            fields["data.validation"] = self.data.validation.path
        for role, spec in self.models.items():
            if spec.weights is not None:
                fields[f"{self.field_of(role)}.weights"] = spec.weights
        for field, text in fields.items():
            path = Path(expand_variables(text, f"{origin}: {field}"))
            if is_shard_pattern(path.name):
                with in_field(f"{origin}: {field}"):
                    expand_shards(str(path))
            elif is_file_path(text, path) and not path.exists():
                raise RecipeError(f"{origin}: {field}: {describe_missing(path)}")

    def write(self, path: Path) -> None:
        """Writes the recipe with every default filled in."""
        write_text_atomic(path, yaml.safe_dump(self.model_dump(mode="json"), sort_keys=False, allow_unicode=True))

    # --- what it describes -------------------------------------------------------------------------------------------

    def new_task(self) -> Task:
        return build_task(self.task, self.metric)

    @property
    def models(self) -> dict[str, ModelSpec]:
        """The models that the recipe describes, by their field."""
        return ({} if self.teacher is None else {"teacher": self.teacher}) | {"student": self.student}

    def field_of(self, model: str) -> str:
        """The field that describes a model of this name, for messages."""
        return model if model in ("teacher", "student") else f"{self.further_models}.{model}"

    @cached_property
    def reader(self) -> DatasetReader:
        """Reads the data. Without a teacher, texts are read by the student's tokenizer."""
        further = {name: spec for name, spec in self.models.items() if name not in ("student", "teacher")}
        return DatasetReader(self.new_task(), self.data, self.teacher or self.student, self.student, further)

    def items(self, spec: DatasetSpec) -> Items:
        """Returns the items of one data set; texts as tokens."""
        return self.reader.items(spec)

    def load(self) -> RecipeItems:
        """Returns all data of the recipe."""
        return self.reader.load()
