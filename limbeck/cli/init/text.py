"""Writes the recipe as YAML with a comment for each field."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from string import ascii_lowercase
from typing import Any

import yaml

from limbeck.cli.init.suggest import SuggestedTraining
from limbeck.recipe import DatasetSpec
from limbeck.recipe.schema.models import ActorSpec, ModelSpec, StudentSpec, TeacherSpec


@dataclass(frozen=True)
class RecipeModels:
    """What a paradigm puts into a recipe: who takes part, and what they learn.

    Attributes:
        learning: the lines of `terms:` or `method:`, and of `evaluate:` where the method decides otherwise.
        control: whether the same models learn from labels alone, with its comment.
        controls: further controls, line by line.
        targets: by name, each with its value and its comment.
        views: how many views of each item are made, one for each peer.
        lr: the learning rate.
        training: the lines of `training:`, where they do not follow from the data.
        shares: the lines of `data:` that say what becomes of the training data.
        trial: flags of a short run.
    """

    learning: Sequence[str]
    teacher: TeacherSpec | None = None
    student: StudentSpec | None = None
    actors: Mapping[str, ActorSpec] = field(default_factory=dict)
    control: str = "true        # the same without a teacher, the baseline of the gain"
    controls: Sequence[str] = ()
    targets: Mapping[str, tuple[float, str]] = field(default_factory=dict)
    views: int = 1
    lr: float = 2e-3
    training: Sequence[str] = ()
    shares: Sequence[str] = (
        "validation: 0.1    # share of the training data that selects the best epoch",
        "# labels: 1000     # keep this many labels and treat the other items as unlabelled",
    )
    trial: str = "--no-control --seed 0 --set training.epochs=1"

    @property
    def trained_first(self) -> list[str]:
        """The fields of the models that are trained on the labels before the run."""
        found = ["teacher"] if self.teacher is not None and self.teacher.training is not None else []
        return found + [f"actors.{name}" for name, spec in self.actors.items() if spec.training is not None]


@dataclass(frozen=True)
class RecipeDraft:
    """The values in the recipe."""

    name: str
    description: str
    train: DatasetSpec | None
    test: DatasetSpec
    models: RecipeModels
    training: SuggestedTraining
    formats: Sequence[str]
    command: str


def format_args(args: Mapping[str, Any]) -> str:
    """Returns the arguments of a model to follow its name: ` {depth: 8}`, or an empty string."""
    return f" {format_value(dict(args))}" if args else ""


def format_value(value: Any) -> str:
    """Returns a value as YAML on one line."""
    text = yaml.safe_dump(value, default_flow_style=True, width=10_000, allow_unicode=True, sort_keys=False)
    return text.removesuffix("...\n").strip()


def view_names(count: int) -> list[str]:
    """Returns the names of the views that peers see, one each."""
    return ["default", *(f"view_{letter}" for letter in ascii_lowercase[1:count])]


def write(draft: RecipeDraft) -> str:
    """Returns the recipe as YAML, to be edited by hand."""
    models = draft.models
    return "\n".join(
        [
            *_head(draft),
            *_data(draft),
            *_models(draft),
            "",
            *models.learning,
            "",
            "training:",
            *(f"  {line}" for line in models.training or _training(draft.training, models.views)),
            *_ending(draft),
            "",
        ]
    )


def _head(draft: RecipeDraft) -> list[str]:
    short = draft.models.trial
    short += " --set controls={}" if draft.models.controls else ""
    short += "".join(f" --set {name}.training.epochs=1" for name in draft.models.trained_first)
    return [
        f"# Run with: {draft.command}",
        f"# For a short trial, add: --out runs/trial {short}",
        f"name: {format_value(draft.name)}                # the run is written to runs/{draft.name}",
        f"description: {format_value(draft.description)}",
        "task: classification",
    ]


def _data(draft: RecipeDraft) -> list[str]:
    return [
        "",
        "data:",
        *([] if draft.train is None else [f"  train: {_part(draft.train)}"]),
        f"  test: {_part(draft.test)}    # used once, at the end, for the verdict",
        *(f"  {line}" for line in draft.models.shares),
    ]


def _models(draft: RecipeDraft) -> list[str]:
    models, lines = draft.models, []
    if models.teacher is not None:
        lines += ["", "teacher:", *_teacher(models.teacher, draft.training)]
    if models.actors:
        lines += ["", "actors:"]
    for name, spec in models.actors.items():
        lines += [f"  {name}:", *(f"  {line}" for line in _teacher(spec, draft.training))]
    if models.student is not None:
        lines += ["", "student:", *_model(models.student)]
    return lines


def _teacher(spec: TeacherSpec | ActorSpec, training: SuggestedTraining) -> list[str]:
    if isinstance(spec, ActorSpec) and spec.snapshot:
        return [f"  snapshot: {spec.snapshot}    # a frozen copy from before the first step"]
    lines = _model(spec)
    if spec.training is not None:
        lines += ["  training:          # no weights given: it is trained on all training labels first"]
        lines += [f"    {line}" for line in _training(training)]
    return lines


def _model(spec: ModelSpec) -> list[str]:
    lines = [f"  model: {format_value(spec.model)}"] + ([f"  args: {format_value(spec.args)}"] if spec.args else [])
    if spec.weights is not None:
        lines.append(f"  weights: {format_value(spec.weights)}    # .safetensors, or a .pt that holds a state_dict")
    if spec.reads is not None:
        lines.append(f"  reads: {spec.reads}")
    if spec.exits:
        lines.append(f"  exits: {format_value(spec.exits)}    # each gets a small classifier: student:exits.NAME")
    return lines


def _training(training: SuggestedTraining, views: int = 1) -> list[str]:
    lines = [f"epochs: {training.epochs}", f"batch_size: {training.batch_size}"]
    if training.views and views > 1:
        named = [f"  {name}: {format_value(training.views)}" for name in view_names(views)]
        lines += ["views:             # augmentation, drawn for each peer by itself", *named]
    elif training.views:
        own = [f"  - {format_value(view)}" for view in training.views]
        lines += ["views:             # augmentation, the same for student and teacher", *own]
    return [*lines, f"optimizer: {{name: adamw, lr: {training.lr}, weight_decay: 0.05, decay_vectors: false}}"]


def _ending(draft: RecipeDraft) -> list[str]:
    models = draft.models
    lines = [
        "",
        "seeds: [0, 1, 2]     # each trains all models and controls; three give an interval over seeds",
        f"control: {models.control}",
        *(["controls:            # compared with too", *(f"  {line}" for line in models.controls)] if models.controls else []),
    ]
    if models.targets:
        lines.append(f"targets:             # `{' '.join(draft.command.split()[:2])}` exits with 3 if one is missed")
        lines += [f"  {name}: {value:g}{comment}" for name, (value, comment) in models.targets.items()]
    if draft.formats:
        lines += ["export:              # files of what is evaluated, checked and measured in their runtimes"]
        lines += [f"  formats: {format_value(list(draft.formats))}", "  precisions: [fp32]    # int8 too: [fp32, int8]"]
    return lines


def _part(part: DatasetSpec) -> str:
    fields = part.model_dump(mode="json", exclude_defaults=True)
    return format_value(part.path if set(fields) == {"path"} else _short_fields(fields))


def _short_fields(part: dict[str, Any]) -> dict[str, Any]:
    """Modalities without options by their name alone."""
    if "fields" in part:
        part["fields"] = {
            name: next(iter(one)) if not next(iter(one.values())) else one for name, one in part["fields"].items()
        }
    return part
