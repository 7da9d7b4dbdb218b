"""Creates a recipe: loads the data, builds both networks, suggests the rest, checks the recipe and writes it."""

from __future__ import annotations

import math
import shlex
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
import yaml
from rich.console import Console
from torch import nn

from limbeck import models
from limbeck.cli.init import data as user_data
from limbeck.cli.init.data import UserData
from limbeck.cli.init.questions import InitError, Questions
from limbeck.cli.init.suggest import SHARE, suggest_student, suggest_taps, suggest_training
from limbeck.cli.init.text import RecipeDraft, format_args, write
from limbeck.evaluation import number_format
from limbeck.metrics.chance import is_at_chance
from limbeck.recipe import Recipe, load_plugin, read_yaml
from limbeck.recipe.schema.models import ModelSpec, TeacherSpec
from limbeck.tasks import Classification
from limbeck.utils.atomic_files import write_atomic

READY_MADE = ("transformers", "timm", "torchvision")  # libraries whose models come with weights
TRIAL_ITEMS = 512  # test items on which a teacher with weights is evaluated


@dataclass
class InitOptions:
    """Values of the flags; None if a flag is not given."""

    train: str | None = None
    test: str | None = None
    input: str | None = None
    label: str | None = None
    size: int | None = None
    channels: int | None = None
    teacher: str | None = None
    teacher_args: dict[str, Any] = field(default_factory=dict)
    teacher_weights: str | None = None
    student: str | None = None
    student_args: dict[str, Any] = field(default_factory=dict)
    mirror: bool | None = None
    features: bool | None = None
    formats: list[str] | None = None
    name: str | None = None
    plugins: list[Path] = field(default_factory=list)


def create_recipe(path: Path, options: InitOptions, questions: Questions, console: Console, *, force: bool = False) -> str:
    """Writes a recipe to `path`. Returns the command that runs it.

    The recipe is checked with data and models before it is written: it fails here if `limbeck distill` would fail.

    Raises:
        InitError: the file exists, or a value is missing.
        ValueError: data or models that do not load or do not fit.
    """
    if path.exists() and not force:
        raise InitError(f"{path} exists already; choose another name, or overwrite it with --force")
    if not path.resolve().parent.is_dir():
        raise InitError(f"{path}: there is no folder {path.parent}; make it first")
    plugins = [str(plugin) for plugin in options.plugins]
    data = _data(options, questions)
    _print(console, "data", data.describe())
    teacher, network = _teacher(options, questions, data, plugins)
    _print(console, "teacher", _size(teacher, network) + _teacher_accuracy(teacher, network, data))
    student, small = _student(options, questions, data, network, plugins)
    ratio = models.count_parameters(network) / models.count_parameters(small)
    _print(console, "student", f"{_size(student, small)}, {number_format.relative_size(ratio)}")
    pairs = suggest_taps(small, network, data)
    if pairs:
        _print(console, "taps", ", ".join(f"{ours} ← {theirs}" for ours, theirs in pairs))
    features = bool(pairs) and questions.confirm("Compare the features at these taps too", options.features, default=False)
    mirror = data.train_items.images and questions.confirm(
        "Is a mirrored image still of its class", options.mirror, default=False
    )
    command = ["limbeck", "distill", str(path), *(f"--plugin={plugin}" for plugin in plugins)]
    draft = RecipeDraft(
        name=questions.ask("--name", "Name of the run", options.name, default=path.stem),
        description=f"{data.describe()}; {teacher.model} into {student.model}.",
        train=data.train,
        test=data.test,
        teacher=teacher,
        student=student,
        pairs=pairs,
        features=features,
        training=suggest_training(data, mirror),
        compression=_rounded_down(ratio),
        formats=_formats(options, questions),
        command=shlex.join(command),
    )
    text = write(draft)
    _check(text, path, data, network)
    write_atomic(path, text.encode())
    return draft.command


def _data(options: InitOptions, questions: Questions) -> UserData:
    path = questions.ask("--train", "Training data (a folder with one subfolder per class, or a table of files)", options.train)
    train, test = user_data.find_splits(path, options.test, input=options.input, label=options.label)
    if test is None:
        test_path = questions.ask("--test", "Test data, on which the student is evaluated", None)
        test = train.model_copy(update={"path": test_path})
    side, channels = user_data.image_format(train)
    if side is not None or options.size is not None:
        answer = questions.ask(
            "--size", "Pixels a side", None if options.size is None else str(options.size), default=str(side)
        )
        side = _positive_int("--size", answer)
    update = {"size": side, "channels": options.channels or channels}
    return user_data.load_data(train.model_copy(update=update), test.model_copy(update=update))


def _teacher(options: InitOptions, questions: Questions, data: UserData, plugins: list[str]) -> tuple[TeacherSpec, nn.Module]:
    named = questions.ask("--teacher", "Teacher (my_models.py:FUNCTION, or a registered model)", options.teacher)
    fields: dict[str, Any] = {"model": _model_name(named, plugins), "args": options.teacher_args}
    optional = None if questions.interactive else ""
    weights = questions.ask(
        "--teacher-weights", "Its weights (nothing: it is trained first)", options.teacher_weights or optional, ""
    )
    if weights:
        fields["weights"] = weights
    elif fields["model"] not in READY_MADE:
        fields["training"] = {}
    spec = TeacherSpec.model_validate(fields)
    network = spec.new(*data.sizes).eval()
    Classification().check(network, data.test_items, "teacher", data.test.path)
    return spec, network


def _student(
    options: InitOptions, questions: Questions, data: UserData, teacher: nn.Module, plugins: list[str]
) -> tuple[ModelSpec, nn.Module]:
    named, args = options.student, options.student_args
    if named is None:
        best = suggest_student(teacher, data)
        size = number_format.relative_size(models.count_parameters(teacher) / best.parameters)
        shown = f"{best.model}{format_args(best.args)}, {number_format.count(best.parameters)} parameters, {size}"
        named = questions.ask("--student", f"Student (nearest to 1/{SHARE} of the teacher: {shown})", None, default=best.model)
        args = (best.args | args) if named == best.model else args
    spec = ModelSpec.model_validate({"model": _model_name(named, plugins), "args": args})
    with torch.random.fork_rng(devices=[]):
        network = spec.new(*data.sizes).eval()
    Classification().check(network, data.test_items, "student", data.test.path)
    return spec, network


def _model_name(named: str, plugins: list[str]) -> str:
    """Returns the name for the recipe. A Python file given here is given explicitly, so it is run as a plugin."""
    file, _, function = named.partition(":")
    if not file.endswith(".py"):
        return named
    if file not in plugins:
        load_plugin(file)
        plugins.append(file)
    name = Path(file).name
    if not function:
        raise InitError(
            f"{named}: which of its models? {', '.join(known for known in models.names() if known.startswith(name))}"
        )
    return f"{name}:{function}"


def _formats(options: InitOptions, questions: Questions) -> list[str]:
    if options.formats is not None:
        return [name for name in options.formats if name != "none"]
    answer = questions.ask("--export", "Export the student as (onnx, executorch, none)", None, default="onnx")
    return [name.strip() for name in answer.split(",") if name.strip() not in ("", "none")]


def _teacher_accuracy(spec: TeacherSpec, teacher: nn.Module, data: UserData) -> str:
    """Returns the accuracy of a teacher with weights on some test data; it is that of guessing for wrong inputs or classes."""
    if spec.training is not None:
        return ", to be trained first"
    some = data.test_items.labelled()
    some = some.select(torch.randperm(len(some), generator=torch.Generator().manual_seed(0))[:TRIAL_ITEMS])
    task = Classification()
    right = task.compute_metrics(task.outputs(teacher, some), some)[task.metric.name]
    text = f", right on {number_format.percent(right)} of {len(some)} test items"
    assert some.target is not None
    most_frequent = float(some.target.bincount().max()) / len(some)
    if is_at_chance(round(right * len(some)), len(some), most_frequent):
        text += (
            ":\n         no better than guessing. Are its classes in the order of the data's? "
            "Does it normalise its inputs itself? Images come as numbers in [0, 1]"
        )
    return text


def _check(text: str, path: Path, data: UserData, teacher: nn.Module) -> None:
    """Raises the errors that `limbeck distill` would raise, before the recipe is written."""
    recipe = Recipe.from_dict(read_yaml(text), str(path))
    recipe.distillation(teacher, data.train_items).check(data.train_items, test=data.test_items)


def _size(spec: ModelSpec, network: nn.Module) -> str:
    return f"{spec.model}{format_args(spec.args)}, {number_format.count(models.count_parameters(network))} parameters"


def _print(console: Console, what: str, text: str) -> None:
    console.print(f"{what:<8} {text}", highlight=False, markup=False, soft_wrap=True)


def _rounded_down(ratio: float) -> float:
    """Rounds down to two digits, so that the target is met."""
    digits: int = 1 - math.floor(math.log10(ratio))
    return float(math.floor(ratio * 10**digits) / 10**digits)


def _positive_int(flag: str, text: str) -> int:
    if not text.isdigit() or int(text) < 1:
        raise InitError(f"{flag} is {text!r}; expected a whole number above 0")
    return int(text)


def parse_args(flag: str, text: str | None) -> dict[str, Any]:
    """Parses `depth: 56, width: 16`, with or without braces, as arguments of a model.

    Raises:
        InitError: text of another shape.
    """
    inner = (text or "").strip().removeprefix("{").removesuffix("}")
    try:
        content = read_yaml("{" + inner + "}")
    except yaml.YAMLError:
        content = {inner: None}
    if None in content.values():
        raise InitError(f"{flag} is {text!r}; expected names and values such as '{{depth: 56, width: 16}}'")
    return dict(content)
