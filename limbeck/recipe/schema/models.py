"""`teacher:`, `student:` and `actors:`: models by name, or made from the teacher."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Any, Self

import torch
from pydantic import BeforeValidator, Field, field_validator, model_validator
from torch import nn

from limbeck import models
from limbeck.core.actors import Actor, average, frozen, snapshot, trained
from limbeck.models.from_teacher import FromTeacher
from limbeck.models.shrink import from_teacher
from limbeck.recipe.errors import RecipeError
from limbeck.recipe.paths import expand_variables
from limbeck.recipe.schema.base import NamedPart, Precision, Spec, default_of
from limbeck.recipe.schema.cache import CacheField
from limbeck.recipe.schema.data import DatasetSpec
from limbeck.recipe.schema.training import TrainingSpec
from limbeck.utils.json_files import read_json

# Models of libraries that come with weights: the argument that asks for them, its default, and a value that does.
PRETRAINED = {
    "transformers": ("pretrained", True, "true"),
    "sentence_transformers": ("name_or_path", None, "a name or folder"),
    "timm": ("pretrained", False, "true"),
    "torchvision": ("weights", None, "DEFAULT"),
}


def asks_for_weights(model: str, args: Mapping[str, Any]) -> bool:
    """Whether a model of a library comes with weights by these arguments."""
    argument, default, _ = PRETRAINED.get(model, ("", None, ""))
    return bool(args.get(argument, default))


class BranchesSpec(Spec):
    """Copies of the last modules of a model, with a gate that weighs their outputs: the taps `branches.heads.*`."""

    modules: list[str] = Field(min_length=1, description="of a branch, in the order in which they run: [layer3, linear]")
    count: int = Field(3, gt=1, description="branches, the model's own included")


class ModelSpec(Spec):
    """A model by name, with its arguments."""

    model: str
    args: dict[str, Any] = Field(default_factory=dict)
    weights: str | None = Field(None, description="a safetensors file, or a .pt file that loads with weights_only=True")
    fresh_head: bool = Field(
        False, description="of weights with another head: load all others, and start the head anew, to be trained"
    )
    reads: str | None = Field(None, description="of data with fields: the one that it is called with")
    channels_last: bool = Field(False, description="memory layout; often faster for convolutional models on CPUs")
    precision: Precision | None = Field(None, description="of this model's computation; none: the training's")
    output: str = Field(
        default_of(Actor, "output"), description="of several outputs the one that is used: logits, a key, a position (1), a tap"
    )
    exits: list[str] = Field(default_factory=list, description="modules that get an exit of their own: student:exits.layer1")
    branches: BranchesSpec | None = Field(None, description="several branches of its last modules: {modules: [layer3, linear]}")

    @field_validator("model")
    @classmethod
    def _check_name(cls, name: str) -> str:
        models.require_known(name)
        return name

    @model_validator(mode="after")
    def _check_fresh_head(self) -> Self:
        if self.fresh_head and self.weights is None and self.model != "transformers":
            raise ValueError("fresh_head: it is of weights: (a file), or of a model of Transformers; name one, or leave it out")
        return self

    @model_validator(mode="after")
    def _check_arguments(self) -> Self:
        if self.model:
            models.registry.check_arguments(self.model, self.args)
        return self

    def new(
        self, classes: int | None, channels: int | None, inputs: int | None = None, item: tuple[int, ...] | None = None
    ) -> nn.Module:
        """Builds the model; classes, channels and the length of vectors come from the data if `args` does not give them.

        Args:
            item: shape of one item, for the run that measures where exits are added; None: of texts, or unknown.
        """
        args = {
            name: expand_variables(value, f"args.{name}") if isinstance(value, str) else value
            for name, value in self.args.items()
        }
        accepted = inspect.signature(models.registry[self.model]).parameters
        if self.model == "transformers" and classes is not None and not self._keeps_head(args, classes):
            args.setdefault("num_labels", classes)
        if self.fresh_head and self.weights is None:
            args.setdefault("ignore_mismatched_sizes", True)
        given = (("classes", classes), ("num_classes", classes), ("channels", channels), ("inputs", inputs))
        for name, value in given:
            if name in accepted and value is not None:
                args.setdefault(name, value)
        try:
            model = models.get(self.model, **args)
        except ValueError as error:
            raise RecipeError(f"model {self.model!r} with {args}: {error}") from error
        if self.weights is not None:
            models.load_weights(model, expand_variables(self.weights, "weights"), fresh_head=self.fresh_head)
        return self._extended(model, None if item is None else torch.zeros(2, *item))

    def _extended(self, model: nn.Module, example: torch.Tensor | None) -> nn.Module:
        """The model with its branches and exits."""
        field = "branches"
        try:
            if self.branches is not None:
                model = models.with_branches(model, self.branches.modules, self.branches.count, example=example)
            field = "exits"
            return models.with_exits(model, self.exits, example=example) if self.exits else model
        except ValueError as error:
            raise RecipeError(f"{field}: {error}") from error

    def _keeps_head(self, args: Mapping[str, Any], classes: int) -> bool:
        """Whether the model has a head of its own for more classes than the data shows."""
        return False

    def options(self) -> dict[str, Any]:
        """Returns how the model runs, as arguments of `Actor`."""
        precision = None if self.precision is None else getattr(torch, self.precision)
        return {"channels_last": self.channels_last, "precision": precision, "output": self.output}


class VocabularySpec(Spec):
    """The part of the teacher's vocabulary that a student keeps: the tokens of the training texts."""

    size: int | None = Field(
        None, gt=0, description="the most tokens; frequent ones are kept, other words are split into smaller pieces"
    )
    min_count: int = Field(1, gt=0, description="how often a token must occur to be kept")
    texts: list[DatasetSpec] = Field(default_factory=list, description="further texts whose tokens are kept")


def _vocabulary(value: Any) -> Any:
    """Returns the long form of `true` and of a size."""
    if value is True:
        return {}
    return {"size": value} if isinstance(value, int) and not isinstance(value, bool) else (value or None)


class StudentSpec(ModelSpec):
    """The student: a model by name, one that is made from the teacher, or what a method makes."""

    model: str = ""
    from_teacher: NamedPart | None = Field(
        None, description="a function of limbeck.models.shrink with its arguments: {init_from_teacher: {layers: [0, 2, 4]}}"
    )
    vocabulary: Annotated[VocabularySpec | None, BeforeValidator(_vocabulary)] = Field(
        None, description="of texts: true keeps the tokens of the training texts, a number this many of them at most"
    )

    @field_validator("model")
    @classmethod
    def _check_name(cls, name: str) -> str:
        return ModelSpec._check_name(name) if name else name

    @model_validator(mode="after")
    def _check_one_way(self) -> Self:
        if self.model and self.from_teacher:
            raise ValueError("a student is a model: (by name) or made from_teacher:, one of the two")
        for field in ("exits", "branches"):
            if self.from_teacher is not None and getattr(self, field):
                raise ValueError(f"{field}: only a model by name gets {field}; name it by model: instead of from_teacher:")
        if self.from_teacher is not None:
            ((way, arguments),) = self.from_teacher.items()
            from_teacher.check_call(way, None, **arguments)  # an unknown name raises with the nearest
        if self.vocabulary is not None and self.model:
            raise ValueError(f"vocabulary: it is cut from the teacher's, and model {self.model!r} is not made from that")
        return self

    @property
    def named(self) -> bool:
        """Whether it says what the student is."""
        return bool(self.model or self.from_teacher)

    def builder(
        self, classes: int | None, channels: int | None, inputs: int | None = None, item: tuple[int, ...] | None = None
    ) -> Callable[..., nn.Module]:
        """Returns a function that makes the student: without arguments, or from the teacher."""
        if self.from_teacher is None:
            return functools.partial(self.new, classes, channels, inputs, item)
        ((function, arguments),) = self.from_teacher.items()
        return FromTeacher(functools.partial(from_teacher[function], **arguments))


class ActorSpec(StudentSpec):
    """A further model: trained if an update trains it, else frozen; or a copy of another actor."""

    average: str | None = Field(None, description="the actor whose moving average this is; see decay")
    snapshot: str | None = Field(None, description="the actor that this copies at the start, and in stages that say snapshot:")
    decay: float = Field(default_of(Actor, "decay"), gt=0, lt=1, description="of an average, per step")
    training: TrainingSpec | None = Field(None, description="train it on the labels first, with these settings; it is frozen")
    shared: bool = Field(False, description="keep the trained model beside the runs, where others with the same one find it")
    cache: CacheField = Field(None, description="of a frozen model: as cache: of the recipe, for this model's outputs")

    @model_validator(mode="after")
    def _check_named(self) -> Self:
        ways = [name for name in ("model", "from_teacher", "average", "snapshot") if getattr(self, name)]
        if len(ways) != 1:
            given = f"; {' and '.join(ways)} are given" if ways else ""
            raise ValueError(f"an actor is one of model: (by name), from_teacher:, average: (of an actor), snapshot:{given}")
        if self.fresh_head and self.model and self.cache is not None and self.training is None:
            raise ValueError("fresh_head: the head of this frozen model would stay random; train it first (training: …)")
        if self.training is not None and not self.model:
            raise ValueError("training: only a model by name is trained first; leave it out")
        return self

    @property
    def pretrained(self) -> bool:
        """Whether it is trained before the run, so that no update trains it."""
        return self.training is not None or self.cache is not None

    @property
    def stays_random(self) -> bool:
        """Whether it has no trained weights, unless an update trains it."""
        named = self.model and self.weights is None and self.training is None
        return bool(named) and not asks_for_weights(self.model, self.args)

    def actor(self, build: Callable[..., nn.Module], *, learns: bool) -> Actor:
        """Returns the actor.

        Args:
            build: builds the model, if it copies no other actor.
            learns: whether an update trains it.
        """
        if self.average is not None:
            return average(self.average, self.decay, **self.options())
        if self.snapshot is not None:
            return snapshot(self.snapshot, **self.options())
        options = {**self.options(), "reads": self.reads, "cache": None if self.cache is None else self.cache.build()}
        return (trained if learns and not self.pretrained else frozen)(build, **options)


class TeacherSpec(ModelSpec):
    """The teacher: with weights, or trained first on all training labels."""

    training: TrainingSpec | None = Field(None, description="train it first, with these settings")
    shared: bool = Field(False, description="keep the trained teacher beside the runs, where others with the same one find it")

    def _keeps_head(self, args: Mapping[str, Any], classes: int) -> bool:
        named = Path(str(args.get("name_or_path", ""))) / "config.json"
        if self.training is not None or "name_or_path" not in args or not named.is_file():
            return False
        try:
            names = read_json(named).get("id2label") or {}
        except (ValueError, AttributeError):  # the loader says what is wrong with it
            return False
        return len(names) > classes and not all(str(name).startswith("LABEL_") for name in names.values())

    @model_validator(mode="after")
    def _check_trained(self) -> Self:
        if self.fresh_head and self.training is None:
            raise ValueError("fresh_head: the head of this teacher would stay random; train it first (training: {epochs: 10})")
        if self.weights is not None or self.training is not None:
            return self
        if self.model not in PRETRAINED:
            raise ValueError("a teacher needs weights: (a file) or training: (to be trained first); it has neither")
        argument, default, example = PRETRAINED[self.model]
        if not asks_for_weights(self.model, self.args):
            raise ValueError(
                f"args.{argument} is {self.args.get(argument, default)!r}, so this {self.model} model has random weights, and "
                f"a teacher needs trained ones: args: {{{argument}: {example}}}, weights: (a file) or training:"
            )
        return self
