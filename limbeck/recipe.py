"""Recipes: the whole job as YAML, checked whole before anything is loaded, then turned into the parts by name."""

from __future__ import annotations

import functools
import importlib.util
import os
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import yaml
from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Discriminator,
    Field,
    Tag,
    ValidationError,
    field_validator,
    model_validator,
)

from limbeck.registry import nearest

if TYPE_CHECKING:
    from torch import nn

    from limbeck.distillation import Distillation, Training
    from limbeck.engine import Length, Optimizer
    from limbeck.sources import Items
    from limbeck.terms import Term

TERM_FIELDS = ("student", "teacher", "adapter", "weight", "item_weight", "name", "trains")


class RecipeError(ValueError):
    """A recipe that cannot be run; the message names the field, the value and what was expected."""


class Part(BaseModel):
    model_config = ConfigDict(extra="forbid")


def _named(value: Any) -> Any:
    """`name`, `{name: null}` and `{name: {arguments}}` all mean the same kind of thing."""
    if isinstance(value, str):
        return {value: {}}
    if isinstance(value, Mapping) and len(value) == 1:
        ((name, arguments),) = value.items()
        if arguments is None or isinstance(arguments, Mapping):
            return {name: dict(arguments or {})}
    raise ValueError("expected a name, or one name with its arguments such as {random_crop: {padding: 4}}")


Named = Annotated[dict[str, dict[str, Any]], BeforeValidator(_named)]


def _tried(build: Callable[[], Any]) -> None:
    """Build a part to see whether it can be; whatever it says against its arguments is about the recipe."""
    try:
        build()
    except (TypeError, AttributeError, ArithmeticError) as error:
        raise ValueError(f"its arguments cannot be used: {error}") from error


class _Loader(yaml.SafeLoader):
    """YAML in which 1e-3 is a number (as in YAML 1.2 and JSON) and a field given twice is an error."""

    def construct_mapping(self, node: Any, deep: bool = False) -> dict[Any, Any]:
        names = [self.construct_object(key) for key, _ in node.value if key.tag != "tag:yaml.org,2002:merge"]
        for name in names:
            if names.count(name) > 1:
                raise yaml.YAMLError(f"field {name!r} is given twice, the second time within line {node.end_mark.line}")
        return super().construct_mapping(node, deep)


_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"[-+]?(\d+(\.\d*)?|\.\d+)[eE][-+]?\d+"), list("-+.0123456789")
)


class DataPart(Part):
    """One data set: a path or a name, and which columns hold what."""

    path: str = Field(description="digits; a Parquet, CSV or JSON file; an image folder; or a data set on the hub")
    split: str | None = None
    input: str | None = Field(None, description="the input column, where it is not found by itself")
    label: str | None = Field(None, description="the label column, where it is not found by itself")
    size: int | None = Field(None, gt=0, description="bring images to this many pixels a side")
    channels: Literal[1, 3] | None = None
    on_error: Literal["raise", "skip"] = Field("raise", description="what to do with an image that does not decode")
    limit: int | None = Field(None, gt=0, description="use the first so many items only")


def _data(value: Any) -> Any:
    return {"path": value} if isinstance(value, str) else value


DataSpec = Annotated[DataPart, BeforeValidator(_data)]
Share = Annotated[float, Field(ge=0, lt=1)]
TAGS = ("DataPart", "Share")  # which of the two kinds of validation data an error is about; no field of the recipe
ValidationSpec = Annotated[
    Annotated[Share, Tag("Share")] | Annotated[DataPart, Tag("DataPart")],
    Discriminator(lambda value: "DataPart" if isinstance(value, DataPart | Mapping) else "Share"),
    BeforeValidator(_data),
]


class Data(Part):
    """Training, validation and test data."""

    train: DataSpec
    test: DataSpec
    validation: ValidationSpec = Field(
        0.0, description="a share of the training data, or a data set of its own; 0: none, the last state counts"
    )
    labels: int | None = Field(None, gt=0, description="keep so many training labels; all other items become unlabelled")
    labels_seed: int = 0


class OptimizerSpec(Part):
    """An optimizer of torch.optim by name; fields that are not listed go to it (momentum, weight_decay, betas, …)."""

    model_config = ConfigDict(extra="allow")
    name: str = "adamw"
    lr: float = Field(2e-3, gt=0)
    schedule: float | str | dict[str, Any] = Field(
        default_factory=lambda: {"warmup": {"until": 0.05, "then": "cosine"}}, description="of the learning rate"
    )
    decay_vectors: bool = Field(True, description="weight decay on biases and normalisation weights too")

    @model_validator(mode="after")
    def _known(self) -> OptimizerSpec:
        from torch import nn, zeros

        _tried(lambda: self.build().build([nn.Parameter(zeros(1, 1))]))
        return self

    def build(self) -> Optimizer:
        from limbeck.engine import Optimizer

        return Optimizer(self.name, self.lr, self.schedule, dict(self.model_extra or {}), self.decay_vectors)


class TrainingSpec(Part):
    """How models are trained."""

    epochs: float | None = Field(None, gt=0)
    steps: int | None = Field(None, gt=0)
    batch_size: int = Field(128, gt=0)
    views: list[Named] = Field(default_factory=list, description="augmentation of the training images, in order")
    optimizer: OptimizerSpec = Field(default_factory=lambda: OptimizerSpec.model_validate({}))
    precision: Literal["float32", "bfloat16", "float16"] = "float32"
    ema: float | None = Field(None, gt=0, lt=1, description="decay of an average of the student, which is then kept")
    accumulate: int = Field(1, gt=0)
    clip: float | None = Field(None, gt=0)
    compile: bool = False
    patience: int | None = Field(None, gt=0)
    validate_every: int = Field(1, gt=0, description="epochs between evaluations")
    checkpoint_every: int | None = Field(None, gt=0, description="steps between checkpoints; none: every epoch")
    log_every: int = Field(50, gt=0)
    trackers: list[str] = Field(default_factory=lambda: ["tensorboard"])
    prefetch: int = Field(0, ge=0)
    device: Literal["cpu"] | None = None
    threads: int | None = Field(None, gt=0, description="of the CPU; very small models are fastest with 1")

    @field_validator("views")
    @classmethod
    def _known(cls, views: list[Named]) -> list[Named]:
        from limbeck.sources import Pipeline

        _tried(lambda: Pipeline.from_spec(views))
        return views

    @model_validator(mode="after")
    def _one_length(self) -> TrainingSpec:
        if self.epochs is not None and self.steps is not None:
            raise ValueError(f"epochs is {self.epochs:g} and steps is {self.steps}; give one of the two")
        return self

    def build(self) -> Training:
        from limbeck.distillation import Training
        from limbeck.engine import Settings

        settings = Settings(
            precision=self.precision,
            accumulate=self.accumulate,
            clip=self.clip,
            compile=self.compile,
            checkpoint_every=self.checkpoint_every,
            log_every=self.log_every,
            trackers=tuple(self.trackers),
            device=self.device,
            threads=self.threads,
        )
        return Training(
            length=_length(self.epochs, self.steps),
            batch_size=self.batch_size,
            views=self.views,
            optimizer=self.optimizer.build(),
            ema=self.ema,
            settings=settings,
            patience=self.patience,
            validate_every=self.validate_every,
            prefetch=self.prefetch,
        )


class ModelSpec(Part):
    """A model by name, with its arguments."""

    model: str
    args: dict[str, Any] = Field(default_factory=dict)
    weights: str | None = Field(None, description="a safetensors file, or a .pt file that loads with weights_only=True")

    @field_validator("model")
    @classmethod
    def _known(cls, name: str) -> str:
        from limbeck import models

        if name not in models.registry and ":" not in name:
            models.registry[name]  # raises with the nearest names, after asking installed packages
        return name

    def new(self, classes: int | None, channels: int | None) -> nn.Module:
        """Build it; class and channel counts come from the data where the recipe does not say."""
        from limbeck import models

        args = dict(self.args)
        accepted = _parameters_of(models.registry[self.model])
        for name, value in (("classes", classes), ("channels", channels)):
            if name in accepted and value is not None:
                args.setdefault(name, value)
        try:
            model = models.get(self.model, **args)
        except ValueError as error:
            raise RecipeError(f"model {self.model!r} with {args}: {error}") from error
        if self.weights is not None:
            models.load_weights(model, expand(self.weights, "weights"))
        return model


class TeacherSpec(ModelSpec):
    """The teacher: with weights, or trained first on all training labels."""

    training: TrainingSpec | None = Field(None, description="train it first, with these settings")
    channels_last: bool = Field(False, description="memory layout; often faster for large convolutional teachers on CPUs")

    @model_validator(mode="after")
    def _has_knowledge(self) -> TeacherSpec:
        ready_made = self.model in ("transformers", "timm", "torchvision")
        if self.weights is None and self.training is None and not ready_made:
            raise ValueError("a teacher needs weights: (a file) or training: (to be trained first); it has neither")
        return self


class TermSpec(Part):
    """One term: an objective by name, its hyperparameters, and how it is wired."""

    objective: str
    student: str | list[str] = "student"
    teacher: str | list[str] | None = None
    adapter: str = "auto"
    weight: float | str | dict[str, Any] = 1.0
    item_weight: str | None = None
    name: str = ""
    trains: list[str] | None = None
    hyperparameters: dict[str, Any] = Field(default_factory=dict)

    @model_validator(mode="before")
    @classmethod
    def _short_form(cls, value: Any) -> Any:
        if isinstance(value, Mapping) and "objective" in value:
            return value
        ((name, arguments),) = _named(value).items()
        wiring = {key: arguments.pop(key) for key in TERM_FIELDS if key in arguments}
        return {"objective": name, "hyperparameters": arguments, **wiring}

    @model_validator(mode="after")
    def _known(self) -> TermSpec:
        _tried(self.build)
        return self

    def build(self) -> Term:
        from limbeck import objectives
        from limbeck.schedules import sample_weights, schedule
        from limbeck.terms import Term

        arguments = dict(self.hyperparameters)
        scheduled = arguments.get("temperature")
        temperature = schedule(arguments.pop("temperature")) if isinstance(scheduled, str | Mapping) else None
        objective = objectives.get(self.objective, **arguments)
        weigh = sample_weights.get(self.item_weight) if self.item_weight else None
        options = {"student": _taps(self.student), "teacher": _taps(self.teacher)}
        return Term(
            objective,
            adapter=self.adapter,
            weight=schedule(self.weight),
            temperature=temperature,
            item_weight=weigh,
            trains=self.trains,
            name=self.name,
            **options,  # type: ignore[arg-type]
        )


class PhaseSpec(Part):
    """One of several stages."""

    name: str = ""
    terms: list[TermSpec] = Field(min_length=1)
    epochs: float | None = Field(None, gt=0)
    steps: int | None = Field(None, gt=0)
    optimizer: OptimizerSpec | None = None
    freeze: list[str] = Field(default_factory=list, description="parts of the student that stay as they are from here on")

    @model_validator(mode="after")
    def _one_length(self) -> PhaseSpec:
        if (self.epochs is None) == (self.steps is None):
            raise ValueError("a stage needs its length: epochs or steps, one of the two")
        return self


class Recipe(Part):
    """A distillation from data to verdict."""

    name: str = Field(pattern=r"^[\w.\-]+$")
    description: str = ""
    task: Literal["classification"] = "classification"
    data: Data
    teacher: TeacherSpec
    student: ModelSpec
    terms: list[TermSpec] = Field(default_factory=list)
    stages: list[PhaseSpec] = Field(default_factory=list, description="several stages, instead of terms")
    training: TrainingSpec = Field(default_factory=lambda: TrainingSpec.model_validate({}))
    control: bool = True
    control_training: TrainingSpec | None = Field(None, description="where the student's settings would handicap the control")
    seeds: list[int] = Field(default_factory=lambda: [0], min_length=1)
    targets: dict[str, float] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _whole(self) -> Recipe:
        from limbeck.verdict.targets import check_targets

        if bool(self.terms) == bool(self.stages):
            raise ValueError("give terms: or stages:, one of the two")
        if len(set(self.seeds)) != len(self.seeds):
            raise ValueError(f"seeds {self.seeds} hold one twice")
        check_targets(self.targets)
        return self

    # --- from YAML ---------------------------------------------------------------------------------------------------

    @classmethod
    def read(cls, path: str | Path, changes: Sequence[str] = ()) -> Recipe:
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
        for change in changes:
            set_path(content, change)
        return cls.checked(content, str(path))

    @classmethod
    def checked(cls, content: Mapping[str, Any], origin: str = "recipe", *, files: bool = True) -> Recipe:
        """A recipe from its fields; `files`: the files it names must exist."""
        try:
            recipe = cls.model_validate(content)
        except ValidationError as error:
            raise RecipeError(f"{origin}:\n" + "\n".join(_explain(cls, item) for item in error.errors())) from error
        if files:
            recipe.check_files(origin)
        return recipe

    def check_files(self, origin: str) -> None:
        """Refuse paths that lead nowhere, before anything is loaded."""
        fields = {"data.train": self.data.train.path, "data.test": self.data.test.path}
        if isinstance(self.data.validation, DataPart):
            fields["data.validation"] = self.data.validation.path
        for who in ("teacher", "student"):
            if (weights := getattr(self, who).weights) is not None:
                fields[f"{who}.weights"] = weights
        for field, text in fields.items():
            path = Path(expand(text, f"{origin}: {field}"))
            if _looks_like_a_file(text, path) and not path.exists():
                raise RecipeError(f"{origin}: {field}: {missing(path)}")

    def write(self, path: Path) -> None:
        """The recipe with every default filled in."""
        from limbeck.verdict.files import write_whole

        write_whole(path, yaml.safe_dump(self.model_dump(mode="json"), sort_keys=False, allow_unicode=True))

    # --- to the parts ------------------------------------------------------------------------------------------------

    def load(self) -> tuple[Items, Items, Items | None, Items]:
        """(all labels, what the student sees, validation, test)."""
        train, test = load(self.data.train), load(self.data.test)
        validation = None
        if isinstance(self.data.validation, DataPart):
            validation = load(self.data.validation)
        elif self.data.validation > 0:
            validation, train = train.split(self.data.validation)
        seen = train if self.data.labels is None else train.keep_labels(self.data.labels, self.data.labels_seed)
        return train, seen, validation, test

    def distillation(
        self, teacher: nn.Module, train: Items, *, folder: Path | None = None, resume: bool = False
    ) -> Distillation:
        """The job that this recipe describes."""
        from limbeck.distillation import Distillation, Phase

        classes, channels = shape_of_data(train)
        training = self.training.build()
        if self.stages:
            phases = [
                Phase(
                    functools.partial(_build_terms, stage.terms),
                    _length(stage.epochs, stage.steps),
                    stage.optimizer.build() if stage.optimizer else None,
                    stage.freeze,
                    stage.name,
                )
                for stage in self.stages
            ]
        else:
            phases = [Phase(functools.partial(_build_terms, self.terms), training.length)]
        return Distillation(
            functools.partial(self.student.new, classes, channels),
            teacher,
            phases=phases,
            training=training,
            control=self.control,
            control_training=self.control_training.build() if self.control_training else None,
            seeds=self.seeds,
            folder=folder,
            targets=self.targets,
            name=self.name,
            teacher_layout="channels_last" if self.teacher.channels_last else None,
            resume=resume,
        )


def load(part: DataPart) -> Items:
    """The items of one data set."""
    import torch

    from limbeck.sources import load_items

    options = {name: getattr(part, name) for name in ("split", "input", "label", "size", "channels", "on_error")}
    items = load_items(expand(part.path, "data"), **options)
    return items if part.limit is None else items.select(torch.arange(min(part.limit, len(items))))


def shape_of_data(items: Items) -> tuple[int | None, int | None]:
    """(classes, channels) as the data shows them."""
    import torch

    first = items.fetch(torch.tensor([0]))
    return items.classes, (first.shape[1] if getattr(first, "ndim", 0) == 4 else None)


def expand(text: str, field: str) -> str:
    """Replace `${NAME}` by the environment's value."""

    def value(match: re.Match[str]) -> str:
        name = match[1]
        if name not in os.environ:
            raise RecipeError(f"{field}: {text!r} needs the environment variable {name}, which is not set")
        return os.environ[name]

    return os.path.expanduser(re.sub(r"\$\{(\w+)\}", value, text))


def read_yaml(text: str) -> Any:
    return yaml.load(text, _Loader)


def set_path(content: dict[str, Any], change: str) -> None:
    """Apply `training.epochs=3` or `terms.0.soft_targets.weight=0.5`; the value is read as YAML."""
    path, separator, text = change.partition("=")
    if not separator or not all(path.split(".")):
        raise RecipeError(f"--set {change!r}: expected path=value, such as training.epochs=3")
    try:
        value = read_yaml(text)
    except yaml.YAMLError as error:
        raise RecipeError(f"--set {change!r}: the value does not read as YAML: {error}") from error
    *parents, last = path.split(".")
    place: Any = content
    for depth, name in enumerate(parents):
        key = _key(place, name, change)
        below = path.split(".")[depth + 1]
        place[key] = _opened(place[key] if isinstance(place, list) else place.get(key), below, parents[0])
        place = place[key]
    place[_key(place, last, change)] = value


def _key(place: Any, name: str, change: str) -> Any:
    """Where `name` lies in what a path has come to."""
    if isinstance(place, dict):
        return name
    if isinstance(place, list):
        if not name.isdigit() or int(name) >= len(place):
            raise RecipeError(f"--set {change!r}: {name!r} is no position in a list of {len(place)}")
        return int(name)
    raise RecipeError(f"--set {change!r}: {name!r} lies within {place!r}, which has no fields")


def _opened(place: Any, below: str, part: str) -> Any:
    """The long form of a short one, where a path leads into it: `train: digits`, `- random_crop`, or nothing at all."""
    if place is None:
        return {}
    if isinstance(place, str) and part == "data":
        return {"path": place}
    if isinstance(place, str) and below == place:
        return {place: {}}
    return place


def _looks_like_a_file(text: str, path: Path) -> bool:
    """Whether a path cannot be the name of a built-in data set or of one on the hub."""
    return path.suffix != "" or path.is_absolute() or len(path.parts) > 2 or text.startswith((".", "~", "$"))


def missing(path: Path) -> str:
    """That a file is not there, and what is there instead."""
    folder = path.parent
    if not folder.is_dir():
        return f"there is no folder {folder}"
    offer = ", ".join(nearest(path.name, sorted(os.listdir(folder))))
    return f"there is no file {path}" + (f"; nearest: {offer}" if offer else "; the folder is empty")


def load_plugin(path: str | Path) -> None:
    """Run a Python file given by hand, so that what it registers can be named in recipes."""
    spec = importlib.util.spec_from_file_location(Path(path).stem, path)
    if spec is None or spec.loader is None or not Path(path).exists():
        raise RecipeError(f"--plugin {path}: there is no such Python file")
    spec.loader.exec_module(importlib.util.module_from_spec(spec))


def _build_terms(specs: Sequence[TermSpec]) -> list[Term]:
    return [spec.build() for spec in specs]


def _length(passes: float | None, count: int | None) -> Length:
    from limbeck.engine import epochs, steps

    return steps(count) if count is not None else epochs(passes or 30)


def _taps(value: str | list[str] | None) -> str | tuple[str, ...] | None:
    return tuple(value) if isinstance(value, list) else value


def _parameters_of(builder: Any) -> set[str]:
    import inspect

    return set(inspect.signature(builder).parameters)


def _explain(model: type[BaseModel], error: Any) -> str:
    """One line a problem: the field, the value and what was expected."""
    place = ".".join(str(step) for step in error["loc"] if step not in TAGS and not str(step).startswith("function-"))
    if error["type"] == "extra_forbidden":
        known = _fields_at(model, error["loc"][:-1])
        return f"  {place}: there is no such field; nearest: {', '.join(nearest(str(error['loc'][-1]), known))}"
    shown = repr(error.get("input"))
    shown = shown if len(shown) <= 80 else shown[:77] + "…"
    message = re.sub(r"^Value error, ", "", error["msg"])
    got = "" if isinstance(error.get("input"), Mapping) and error["type"] == "value_error" else f" (got {shown})"
    return f"  {place or 'recipe'}: {message}{got}"


def _fields_at(model: type[BaseModel], path: Sequence[Any]) -> list[str]:
    """The fields that exist where an unknown one was written."""
    schema = model.model_json_schema()
    here: Any = schema
    for step in path:
        here = _resolve(here, schema)
        here = here.get("items", {}) if isinstance(step, int) else here.get("properties", {}).get(step, here)
    return list(_resolve(here, schema).get("properties", {})) or list(model.model_fields)


def _resolve(node: Any, schema: Mapping[str, Any]) -> Any:
    for option in (node, *node.get("anyOf", ()), *node.get("allOf", ())):
        if "$ref" in option:
            return schema["$defs"][option["$ref"].rsplit("/", 1)[-1]]
    return node
