"""Creates a recipe: loads the data, builds the networks, suggests the rest, checks the recipe and writes it."""

from __future__ import annotations

import os
import re
import shlex
from dataclasses import replace
from pathlib import Path

from rich.console import Console

from limbeck.cli.init import data as user_data
from limbeck.cli.init.choice import Chooser
from limbeck.cli.init.data import UserData
from limbeck.cli.init.options import InitOptions, parse_reads
from limbeck.cli.init.paradigms import DISTILL, Paradigm, find_paradigm
from limbeck.cli.init.questions import InitError, Questions
from limbeck.cli.init.suggest import suggest_training
from limbeck.cli.init.text import RecipeDraft, RecipeModels, write
from limbeck.data.loading.tar_shards import is_shard_pattern
from limbeck.recipe import DatasetSpec, Federation, Recipe, read_yaml
from limbeck.recipe.base import NAME
from limbeck.recipe.paths import describe_missing, expand_variables, is_file_path
from limbeck.runs.teacher import build_pretrained, check_model_trainings
from limbeck.utils.atomic_files import write_atomic

MIRROR = "Is a mirrored image still of its class"


def create_recipe(path: Path, options: InitOptions, questions: Questions, console: Console, *, force: bool = False) -> str:
    """Writes a recipe to `path`. Returns the command that runs it.

    The recipe is checked with data and models before it is written: it fails here if `limbeck distill` would fail.

    Raises:
        InitError: the file exists, a value is missing, or one that the paradigm has no use for is given.
        ValueError: an unknown paradigm; data or models that do not load or do not fit.
    """
    if path.exists() and not force:
        raise InitError(f"{path} exists already; choose another name, or overwrite it with --force")
    if not path.resolve().parent.is_dir():
        raise InitError(f"{path}: there is no folder {path.parent}; make it first")
    if options.name is not None and re.fullmatch(NAME, options.name) is None:
        raise InitError(f"--name is {options.name!r}; use letters, digits, '_', '+', '-' and '.', with no '-' or '.' in front")
    paradigm = find_paradigm(options.paradigm)
    paradigm.check(options, interactive=questions.interactive)
    if "reads" in paradigm.takes:
        options = replace(
            options, reads=questions.ask("--reads", "Fields that teacher and student read (image,audio)", options.reads)
        )
    data = _data(options, questions, needs_train=paradigm.train)
    _refuse_texts(data)
    chooser = Chooser(options, questions, data, [str(plugin) for plugin in options.plugins], console)
    chooser.show("data", data.describe())
    models = paradigm.choose(chooser)
    mirror = _mirrored(paradigm, models, data, options, questions)
    if mirror and paradigm.command != DISTILL:
        models = replace(models, training=[*models.training, "views: [horizontal_flip]"])
    command = ["limbeck", paradigm.command, str(path), *(f"--plugin={plugin}" for plugin in chooser.plugins)]
    draft = RecipeDraft(
        name=questions.ask("--name", "Name of the run", options.name, default=_name_of(path)),
        description=f"{data.describe()}; {paradigm.summary}.",
        train=data.train,
        test=data.test,
        models=models,
        training=replace(suggest_training(data, mirror), lr=models.lr),
        formats=_formats(options, questions) if paradigm.command == DISTILL else [],
        command=shlex.join(command),
    )
    text = write(draft)
    if paradigm.command == DISTILL:
        _check(text, path, data)
    else:
        _check_federation(text, path)
    write_atomic(path, text.encode())
    return draft.command


def _refuse_texts(data: UserData) -> None:
    """Refuses texts, which models read as tokens: with a tokenizer, and by terms and methods of their own."""
    if data.train_items.modality == "text":
        raise InitError(
            f"{data.test.path}: it holds texts, and recipes of texts are written by hand: copy the one of docs/guide/text.md, "
            "or that of a method (limbeck recipes show distilbert), and name this file as data.test"
        )


def _name_of(path: Path) -> str:
    """A name for the run of a recipe: that of its file, with '-' for what no name holds."""
    return re.sub(r"[^\w.+\-]+", "-", path.stem).lstrip("-.") or "run"


def _data(options: InitOptions, questions: Questions, *, needs_train: bool) -> UserData:
    """The user's data; training data may be left out where it is not needed."""
    if options.train is None and not needs_train:
        test_path = questions.ask("--test", "Test data, on which the student is evaluated", options.test)
        alone = user_data.as_test_data(test_path, input=options.input, label=options.label)
        return user_data.load_test_data(_in_one_size(alone, options, questions))
    path = questions.ask("--train", "Training data (a folder with one subfolder per class, or a table of files)", options.train)
    fields, reads = (None, {}) if options.reads is None else parse_reads(options.reads)
    user_data.check_fields(path, fields or {})
    _require_path("--train", path)
    train, test = user_data.find_splits(path, options.test, input=options.input, label=options.label, fields=fields)
    if test is None:
        test_path = questions.ask("--test", "Test data, on which the student is evaluated", None)
        test = train.model_copy(update={"path": test_path})
    sized = _in_one_size(train, options, questions)
    update = {"size": sized.size, "channels": sized.channels}
    return user_data.load_data(sized, test.model_copy(update=update), reads)


def _require_path(flag: str, text: str) -> None:
    """Raises `InitError` for a path that leads nowhere, before other data is asked for."""
    path = Path(expand_variables(text, flag))
    is_path = text.endswith(("/", os.sep)) or is_file_path(text, path)
    if is_path and not is_shard_pattern(path.name) and not path.exists():
        raise InitError(f"{flag}: {describe_missing(path)}")


def _in_one_size(part: DatasetSpec, options: InitOptions, questions: Questions) -> DatasetSpec:
    """The data with its images in one size, as given or found."""
    side, channels = user_data.image_format(part)
    if side is not None or options.size is not None:
        answer = questions.ask(
            "--size", "Pixels a side", None if options.size is None else str(options.size), default=str(side)
        )
        side = _positive_int("--size", answer)
    return part.model_copy(update={"size": side, "channels": options.channels or channels})


def _mirrored(paradigm: Paradigm, models: RecipeModels, data: UserData, options: InitOptions, questions: Questions) -> bool:
    """Whether training images are mirrored.

    Raises:
        InitError: `--mirror` is given, and nobody is trained on images of the data.
    """
    images = data.train_items.images and not data.reads
    trained_on_data = paradigm.command != DISTILL or not models.training or bool(models.trained_first)
    if options.mirror and not images:
        why = "with --reads each field has views of its own" if data.reads else "the data has no images"
        raise InitError(f"--mirror: {why}; leave it out")
    if options.mirror and not trained_on_data:
        raise InitError(f"--mirror: with --paradigm {paradigm.name} nobody learns from images of the data; leave it out")
    return images and trained_on_data and questions.confirm(MIRROR, options.mirror, default=False)


def _formats(options: InitOptions, questions: Questions) -> list[str]:
    if options.formats is not None:
        return [name for name in options.formats if name != "none"]
    answer = questions.ask("--export", "Export the student as (onnx, executorch, none)", None, default="onnx")
    return [name.strip() for name in answer.split(",") if name.strip() not in ("", "none")]


def _check(text: str, path: Path, data: UserData) -> None:
    """Raises the errors that `limbeck distill` would raise, before the recipe is written."""
    recipe = Recipe.from_dict(read_yaml(text), str(path))
    frozen = build_pretrained(recipe, data.train_items)
    train = None if data.train is None else data.train_items
    job = recipe.distillation(frozen.get("teacher"), train, like=data.test_items)
    for name, model in frozen.items():
        job.experiment.set_module(name, model)
    job.check(train, test=data.test_items)
    check_model_trainings(recipe, frozen, data.train_items)


def _check_federation(text: str, path: Path) -> None:
    """Raises the errors that `limbeck federate` would raise, before the recipe is written."""
    job = Federation.from_dict(read_yaml(text), str(path))
    for seed in job.seeds:
        job.simulated(seed)


def _positive_int(flag: str, text: str) -> int:
    if not text.isdigit() or int(text) < 1:
        raise InitError(f"{flag} is {text!r}; expected a whole number above 0")
    return int(text)
