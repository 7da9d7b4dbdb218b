"""The parts of a recipe: data, models, terms, training, each checked by itself and turned into what it describes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Discriminator, Field, Tag, field_validator, model_validator

from limbeck.recipe.yaml_text import RecipeError, expand_variables

if TYPE_CHECKING:
    from torch import nn

    from limbeck.core.terms import Term
    from limbeck.engine import Length, Optimizer
    from limbeck.engine.training import Training
    from limbeck.teacher_cache import CacheConfig

TERM_FIELDS = ("student", "teacher", "adapter", "weight", "item_weight", "name", "trains")


class Spec(BaseModel):
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


NamedPart = Annotated[dict[str, dict[str, Any]], BeforeValidator(_named)]


def _check_buildable(build: Callable[[], Any]) -> None:
    """Build a part to see whether it can be; whatever it says against its arguments is about the recipe."""
    try:
        build()
    except (TypeError, AttributeError, ArithmeticError) as error:
        raise ValueError(f"its arguments cannot be used: {error}") from error


class DatasetSpec(Spec):
    """One data set: a path or a name, and which columns hold what."""

    path: str = Field(description="digits; a Parquet, CSV or JSON file; an image folder; or a data set on the hub")
    split: str | None = None
    input: str | list[str] | None = Field(
        None, description="the input column, where it is not found by itself; two columns of texts make pairs"
    )
    label: str | Literal[False] | None = Field(
        None, description="the label column, where it is not found by itself; false: there is none"
    )
    size: int | None = Field(None, gt=0, description="bring images to this many pixels a side")
    channels: Literal[1, 3] | None = None
    on_error: Literal["raise", "skip"] = Field("raise", description="what to do with an image that does not decode")
    limit: int | None = Field(None, gt=0, description="use the first so many items only")

    @model_validator(mode="before")
    @classmethod
    def _short_form(cls, value: Any) -> Any:
        return {"path": value} if isinstance(value, str) else value


Precision = Literal["float32", "bfloat16", "float16"]
Share = Annotated[float, Field(ge=0, lt=1)]
ValidationSpec = Annotated[
    Annotated[Share, Tag("Share")] | Annotated[DatasetSpec, Tag("DatasetSpec")],
    Discriminator(lambda value: "DatasetSpec" if isinstance(value, DatasetSpec | Mapping | str) else "Share"),
]


class WordReplacementSpec(Spec):
    """What may stand in place of a word: its neighbours in a table of word vectors, or a masked model's guesses."""

    neighbours: str | Literal[False] = Field(
        "embeddings", description="embeddings: the teacher's own, of whole words; or a file of word vectors, such as GloVe's"
    )
    minimum: float = Field(0.3, ge=-1, le=1, description="the least cosine of a neighbour")
    masked: str | None = Field(None, description="a masked language model (name or folder), asked before the neighbours")
    together: int = Field(1, gt=0, description="words hidden at once from the masked model; more is faster, and less exact")
    count: int = Field(15, gt=0, description="candidates for each word")

    @model_validator(mode="after")
    def _some(self) -> WordReplacementSpec:
        if not self.neighbours and self.masked is None:
            raise ValueError("neighbours is false and there is no masked model; words need candidates from one of the two")
        return self


class AugmentSpec(WordReplacementSpec):
    """Altered copies of the training texts, which the student sees beside them (TinyBERT)."""

    copies: int = Field(20, gt=0, description="of each text, at most")
    probability: float = Field(0.4, ge=0, le=1, description="that a word is replaced")
    seed: int = Field(0, description="what the copies are drawn by")
    cache: str | None = Field(None, description="a folder that keeps the altered texts; none: they are made at each start")


class DataSpec(Spec):
    """Training, validation and test data."""

    train: DatasetSpec
    test: DatasetSpec
    validation: ValidationSpec = Field(
        0.0, description="a share of the training data, or a data set of its own; 0: none, the last state counts"
    )
    labels: int | None = Field(None, gt=0, description="keep so many training labels; all other items become unlabelled")
    labels_seed: int = 0
    tokenizer: str | None = Field(None, description="of texts: a name or folder for Transformers; none: the teacher's own")
    max_length: int = Field(128, gt=2, description="of texts: the most tokens of an item; longer ones are cut")
    stride: int = Field(64, ge=0, description="of contexts of questions: the tokens that a window shares with the next")
    unlabelled: bool = Field(True, description="whether the student sees items without a label; the teacher learns from all")
    augment: AugmentSpec | None = Field(None, description="altered copies of the texts that the student sees")


class OptimizerSpec(Spec):
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

        _check_buildable(lambda: self.build().build([nn.Parameter(zeros(1, 1))]))
        return self

    def build(self) -> Optimizer:
        from limbeck.engine import Optimizer

        return Optimizer(self.name, self.lr, self.schedule, dict(self.model_extra or {}), self.decay_vectors)


class TrainingSpec(Spec):
    """How models are trained."""

    epochs: float | None = Field(None, gt=0)
    steps: int | None = Field(None, gt=0)
    batch_size: int = Field(128, gt=0)
    views: list[NamedPart] = Field(default_factory=list, description="augmentation of the training images, in order")
    optimizer: OptimizerSpec = Field(default_factory=lambda: OptimizerSpec.model_validate({}))
    precision: Precision = "float32"
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
    def _known(cls, views: list[NamedPart]) -> list[NamedPart]:
        from limbeck.data import Pipeline

        _check_buildable(lambda: Pipeline.from_spec(views))
        return views

    @model_validator(mode="after")
    def _one_length(self) -> TrainingSpec:
        if self.epochs is not None and self.steps is not None:
            raise ValueError(f"epochs is {self.epochs:g} and steps is {self.steps}; give one of the two")
        return self

    def build(self) -> Training:
        from limbeck.engine import Settings
        from limbeck.engine.training import Training

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
            length=length(self.epochs, self.steps),
            batch_size=self.batch_size,
            views=self.views,
            optimizer=self.optimizer.build(),
            ema=self.ema,
            settings=settings,
            patience=self.patience,
            validate_every=self.validate_every,
            prefetch=self.prefetch,
        )


class ModelSpec(Spec):
    """A model by name, with its arguments."""

    model: str
    args: dict[str, Any] = Field(default_factory=dict)
    weights: str | None = Field(None, description="a safetensors file, or a .pt file that loads with weights_only=True")
    channels_last: bool = Field(False, description="memory layout; often faster for convolutional models on CPUs")
    precision: Precision | None = Field(None, description="of this model's computing; none: the training's")

    @field_validator("model")
    @classmethod
    def _known(cls, name: str) -> str:
        from limbeck import models

        models.require_known(name)
        return name

    def new(self, classes: int | None, channels: int | None) -> nn.Module:
        """Build it; class and channel counts come from the data where the recipe does not say."""
        from limbeck import models

        args = {
            name: expand_variables(value, f"args.{name}") if isinstance(value, str) else value
            for name, value in self.args.items()
        }
        accepted = _parameters_of(models.registry[self.model])
        if self.model == "transformers" and classes is not None:
            args.setdefault("num_labels", classes)
        for name, value in (("classes", classes), ("num_classes", classes), ("channels", channels)):
            if name in accepted and value is not None:
                args.setdefault(name, value)
        try:
            model = models.get(self.model, **args)
        except ValueError as error:
            raise RecipeError(f"model {self.model!r} with {args}: {error}") from error
        if self.weights is not None:
            models.load_weights(model, expand_variables(self.weights, "weights"))
        return model

    def options(self) -> dict[str, Any]:
        """How the model runs, as `Actor` takes it."""
        import torch

        precision = None if self.precision is None else getattr(torch, self.precision)
        return {"channels_last": self.channels_last, "precision": precision}


class VocabularySpec(Spec):
    """The part of the teacher's vocabulary that a student keeps: what the training texts use."""

    size: int | None = Field(None, gt=0, description="the most tokens; the frequent ones stay, words fall into smaller pieces")
    min_count: int = Field(1, gt=0, description="how often a token must occur to stay")
    texts: list[DatasetSpec] = Field(default_factory=list, description="further texts whose words stay")


def _vocabulary(value: Any) -> Any:
    """`true`, a size, or the whole of it."""
    if value is True:
        return {}
    return {"size": value} if isinstance(value, int) and not isinstance(value, bool) else (value or None)


class StudentSpec(ModelSpec):
    """The student: a model by name, one that is made from the teacher, or what a method makes."""

    model: str = ""
    from_teacher: NamedPart | None = Field(
        None, description="a way of limbeck.models.shrink with its arguments, such as {init_from_teacher: {layers: [0, 2, 4]}}"
    )
    vocabulary: Annotated[VocabularySpec | None, BeforeValidator(_vocabulary)] = Field(
        None, description="of texts: true keeps the words of the training texts, a number so many of them at most"
    )

    @field_validator("model")
    @classmethod
    def _known(cls, name: str) -> str:
        return ModelSpec._known(name) if name else name

    @model_validator(mode="after")
    def _one_way(self) -> StudentSpec:
        if self.model and self.from_teacher:
            raise ValueError("a student is a model: (by name) or made from_teacher:, one of the two")
        if self.from_teacher is not None:
            from limbeck.models.shrink import from_teacher

            from_teacher[next(iter(self.from_teacher))]  # raises with the nearest names
        if self.vocabulary is not None and self.model:
            raise ValueError(f"vocabulary: it is cut from the teacher's, and model {self.model!r} is not made from that")
        return self

    @property
    def named(self) -> bool:
        """Whether it says what the student is."""
        return bool(self.model or self.from_teacher)

    def builder(self, classes: int | None, channels: int | None) -> Callable[..., nn.Module]:
        """What makes the student: without arguments, or from the teacher."""
        import functools

        if self.from_teacher is None:
            return functools.partial(self.new, classes, channels)
        from limbeck.engine.training import FromTeacher
        from limbeck.models.shrink import from_teacher

        ((way, arguments),) = self.from_teacher.items()
        return FromTeacher(functools.partial(from_teacher[way], **arguments))


class TeacherSpec(ModelSpec):
    """The teacher: with weights, or trained first on all training labels."""

    training: TrainingSpec | None = Field(None, description="train it first, with these settings")
    shared: bool = Field(False, description="keep the trained teacher beside the runs, where others with the same one find it")

    @model_validator(mode="after")
    def _has_knowledge(self) -> TeacherSpec:
        ready_made = self.model in ("transformers", "sentence_transformers", "timm", "torchvision")
        if self.weights is None and self.training is None and not ready_made:
            raise ValueError("a teacher needs weights: (a file) or training: (to be trained first); it has neither")
        return self


class TermSpec(Spec):
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
        _check_buildable(self.build)
        return self

    def build(self) -> Term:
        from limbeck import objectives
        from limbeck.core import item_weights
        from limbeck.core.schedules import schedule
        from limbeck.core.terms import Term

        arguments = dict(self.hyperparameters)
        scheduled = arguments.get("temperature")
        temperature = schedule(arguments.pop("temperature")) if isinstance(scheduled, str | Mapping) else None
        objective = objectives.get(self.objective, **arguments)
        weigh = item_weights.registry.get(self.item_weight) if self.item_weight else None
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


class ActorSpec(StudentSpec):
    """A further model: an assistant, if a stage trains it; else one more teacher."""

    @model_validator(mode="after")
    def _says_what(self) -> ActorSpec:
        if not self.named:
            raise ValueError("a model is needed: model: (by name) or from_teacher:")
        return self


class StageSpec(Spec):
    """One of several stages."""

    name: str = ""
    terms: list[TermSpec] = Field(min_length=1)
    epochs: float | None = Field(None, gt=0)
    steps: int | None = Field(None, gt=0)
    optimizer: OptimizerSpec | None = None
    freeze: list[str] = Field(
        default_factory=list, description="parts of the model that stay as they are from here on; '': all"
    )
    unfreeze: list[str] = Field(default_factory=list, description="parts that learn again, at the full rate")
    slow: dict[str, float] = Field(default_factory=dict, description="parts that learn at this share of the rate from here on")
    trains: str = Field("student", description="whom the stage trains: the student, or one of the actors")
    actors: dict[str, ActorSpec] = Field(default_factory=dict, description="further models, from this stage on")
    data: DatasetSpec | None = Field(None, description="other training data, such as texts without labels")

    @model_validator(mode="after")
    def _one_length(self) -> StageSpec:
        if (self.epochs is None) == (self.steps is None):
            raise ValueError("a stage needs its length: epochs or steps, one of the two")
        return self


class QuantizationAwareSpec(Spec):
    """A last stage in which the student, quantized as it will be shipped, learns from the teacher."""

    epochs: float = Field(1.0, gt=0)
    lr: float = Field(1e-3, gt=0)


class ExportSpec(Spec):
    """The files that the student is shipped as. Each is compared with PyTorch and measured in its own runtime."""

    formats: list[str] = Field(["onnx"], min_length=1, description="onnx, executorch, or what a package of yours adds")
    precisions: list[Literal["fp32", "int8"]] = Field(["fp32"], min_length=1)
    calibration_items: int = Field(512, gt=1, description="training items that show the ranges of activations, for int8")
    quantization_aware: QuantizationAwareSpec | None = Field(None, description="where int8 loses more than can be borne")
    teacher: bool = Field(True, description="export the teacher in the same ways, to compare with")

    @field_validator("formats")
    @classmethod
    def _known(cls, names: list[str]) -> list[str]:
        from limbeck.export import formats

        for name in names:
            formats[name]  # raises with the nearest names, after asking installed packages
        return names


class CacheSpec(Spec):
    """The teacher's answers, kept on disk: each is asked for once, whatever number of epochs, seeds and students."""

    path: str = Field("auto", description="a folder; auto: one beside the run, which other runs and seeds find again")
    views: int | None = Field(None, gt=0, le=9999, description="augmented views of each item; none: 8, or 1 without views")
    logits: Literal["auto", "fp16", "bf16", "fp32"] | dict[str, Any] = Field(
        "auto", description="auto, fp16, bf16, fp32, or the largest only, such as {k: 16, values: steps}"
    )
    features: Literal["fp16", "bf16", "fp32", "int8"] = Field("fp16", description="of all taps but the logits")
    strict: bool = Field(False, description="never ask the teacher; an answer that is not there is an error")
    view_seed: int = Field(0, description="what the views are keyed by, for all runs that share the answers")

    def build(self) -> CacheConfig:
        from limbeck.teacher_cache import CacheConfig

        return CacheConfig(**self.model_dump() | {"path": expand_variables(self.path, "cache.path")})


def _cache(value: Any) -> Any:
    """`auto`, `off` (which YAML reads as false), a folder, or the whole of it."""
    if value is False or value == "off":
        return None
    return {"path": "auto" if value is True else value} if isinstance(value, str | bool) else value


CacheField = Annotated[CacheSpec | None, BeforeValidator(_cache)]


def _method(value: Any) -> Any:
    return None if value is None else _named(value)


MethodField = Annotated[dict[str, dict[str, Any]] | None, BeforeValidator(_method)]


def build_terms(specs: Sequence[TermSpec]) -> list[Term]:
    return [spec.build() for spec in specs]


def length(passes: float | None, count: int | None) -> Length:
    from limbeck.engine import epochs, steps

    return steps(count) if count is not None else epochs(passes or 30)


def _taps(value: str | list[str] | None) -> str | tuple[str, ...] | None:
    return tuple(value) if isinstance(value, list) else value


def _parameters_of(builder: Any) -> set[str]:
    import inspect

    return set(inspect.signature(builder).parameters)
