"""Writes the recipe as YAML with a comment for each field."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import yaml

from limbeck.cli.init.suggest import SuggestedTraining
from limbeck.recipe import DatasetSpec
from limbeck.recipe.schema.models import ModelSpec, TeacherSpec

ATTENTION = 30  # divided by the number of pairs; the papers' 1,000 dominates the other terms in a short training


@dataclass(frozen=True)
class RecipeDraft:
    """The values in the recipe."""

    name: str
    description: str
    train: DatasetSpec
    test: DatasetSpec
    teacher: TeacherSpec
    student: ModelSpec
    pairs: Sequence[tuple[str, str]]
    features: bool
    training: SuggestedTraining
    compression: float
    formats: Sequence[str]
    command: str


def format_args(args: Mapping[str, Any]) -> str:
    """Returns the arguments of a model to follow its name: ` {depth: 8}`, or an empty string."""
    return f" {_value(dict(args))}" if args else ""


def write(draft: RecipeDraft) -> str:
    """Returns the recipe as YAML, to be edited by hand."""
    return "\n".join(
        [*_head(draft), *_data(draft), *_models(draft), *_terms(draft), *_training_section(draft), *_ending(draft), ""]
    )


def _head(draft: RecipeDraft) -> list[str]:
    short = "--no-control --seed 0 --set training.epochs=1"
    short += " --set teacher.training.epochs=1" if draft.teacher.training is not None else ""
    return [
        f"# Run with: {draft.command}",
        f"# For a short trial, add: --out runs/trial {short}",
        f"name: {draft.name}                # the run is written to runs/{draft.name}",
        f"description: {_value(draft.description)}",
        "task: classification",
    ]


def _data(draft: RecipeDraft) -> list[str]:
    return [
        "",
        "data:",
        f"  train: {_part(draft.train)}",
        f"  test: {_part(draft.test)}    # used once, at the end, for the verdict",
        "  validation: 0.1    # share of the training data that selects the best epoch",
        "  # labels: 1000     # keep this many labels and treat the other items as unlabelled",
    ]


def _models(draft: RecipeDraft) -> list[str]:
    lines = ["", "teacher:", *_model(draft.teacher)]
    if draft.teacher.weights is not None:
        lines.append(f"  weights: {_value(draft.teacher.weights)}    # .safetensors, or a .pt that holds a state_dict")
    if draft.teacher.training is not None:
        lines += ["  training:          # no weights given: it is trained on all training labels first"]
        lines += [f"    {line}" for line in _training(draft.training)]
    return [*lines, "", "student:", *_model(draft.student)]


def _model(spec: ModelSpec) -> list[str]:
    return [f"  model: {_value(spec.model)}"] + ([f"  args: {_value(spec.args)}"] if spec.args else [])


def _terms(draft: RecipeDraft) -> list[str]:
    lines = [
        "",
        "terms:               # the losses of the student; `limbeck methods` lists all objectives",
        "  - hard_targets: {weight: 0.1}                    # the labels; items without a label are skipped",
        "  - soft_targets: {temperature: 4, weight: 0.9}    # the teacher's probabilities, softened",
    ]
    if draft.pairs:
        mark = "" if draft.features else "# "
        weight = round(ATTENTION / len(draft.pairs), 1)
        lines.append("  # attention maps of layers at equal relative depth" + ("" if draft.features else ":"))
        pairs = [{"student": student, "teacher": teacher, "weight": weight} for student, teacher in draft.pairs]
        lines += [f"  {mark}- attention_transfer: {_value(pair)}" for pair in pairs]
    return lines


def _training_section(draft: RecipeDraft) -> list[str]:
    return ["", "training:", *(f"  {line}" for line in _training(draft.training))]


def _training(training: SuggestedTraining) -> list[str]:
    views = [f"  - {_value(view)}" for view in training.views]
    return [
        f"epochs: {training.epochs}",
        f"batch_size: {training.batch_size}",
        *(["views:             # augmentation, the same for student and teacher", *views] if views else []),
        "optimizer: {name: adamw, lr: 2.0e-3, weight_decay: 0.05, decay_vectors: false}",
    ]


def _ending(draft: RecipeDraft) -> list[str]:
    lines = [
        "",
        "seeds: [0, 1, 2]     # each trains a student and its control; three give an interval over seeds",
        "control: true        # the same student without a teacher, the baseline of the gain",
        "targets:             # `limbeck distill` exits with 3 if one is missed",
        "  gain: 0            # points over the control; 0: any gain whose interval excludes zero",
        "  retention: 0.95    # of the teacher's accuracy",
        f"  compression: {draft.compression:g}    # times fewer parameters than the teacher",
    ]
    if draft.formats:
        lines += ["export:              # files of the student, checked and measured in their runtimes"]
        lines += [f"  formats: {_value(list(draft.formats))}", "  precisions: [fp32]    # int8 too: [fp32, int8]"]
    return lines


def _part(part: DatasetSpec) -> str:
    fields = part.model_dump(mode="json", exclude_defaults=True)
    return _value(part.path if set(fields) == {"path"} else fields)


def _value(value: Any) -> str:
    """Returns a value as YAML on one line."""
    text = yaml.safe_dump(value, default_flow_style=True, width=10_000, allow_unicode=True, sort_keys=False)
    return text.removesuffix("...\n").strip()
