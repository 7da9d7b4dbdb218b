"""`limbeck init`: write a recipe."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from limbeck.cli.shared import PluginOption, console, load_plugins

ParadigmOption = Annotated[
    str,
    typer.Option(
        help="Who teaches whom: offline (a teacher, a student), mutual, self, multi-teacher, heterogeneous, cross-modal, "
        "dynamic, forgetting, data-free, federated."
    ),
]
ReadsOption = Annotated[
    str | None, typer.Option(help="Of --paradigm cross-modal: the fields that teacher and student read, image,audio.")
]
TeacherOption = Annotated[
    list[str] | None, typer.Option(help="my_models.py:FUNCTION, or a registered model; once for each teacher.")
]


def init(
    recipe: Annotated[Path, typer.Argument(metavar="[RECIPE]", help="The file to write.")] = Path("recipe.yaml"),
    paradigm: ParadigmOption = "offline",
    train: Annotated[str | None, typer.Option(help="Training data: a folder of images by class, a table, or a name.")] = None,
    test: Annotated[str | None, typer.Option(help="Test data; a split called test beside --train when omitted.")] = None,
    input_column: Annotated[str | None, typer.Option("--input", help="The input column.")] = None,
    label: Annotated[str | None, typer.Option(help="The label column.")] = None,
    reads: ReadsOption = None,
    size: Annotated[int | None, typer.Option(help="Resize images to this many pixels a side.")] = None,
    channels: Annotated[int | None, typer.Option(help="1: grey, 3: colours.")] = None,
    teacher: TeacherOption = None,
    teacher_args: Annotated[list[str] | None, typer.Option(help="Arguments of each: '{depth: 56}'")] = None,
    teacher_weights: Annotated[list[str] | None, typer.Option(help="Weights of each; without any it is trained first.")] = None,
    peer: Annotated[list[str] | None, typer.Option(help="Of --paradigm mutual: as for the teacher, twice or more.")] = None,
    peer_args: Annotated[list[str] | None, typer.Option(help="Arguments of each.")] = None,
    student: Annotated[str | None, typer.Option(help="As for the teacher; one is suggested when omitted.")] = None,
    student_args: Annotated[str | None, typer.Option(help="Its arguments.")] = None,
    student_weights: Annotated[str | None, typer.Option(help="Of --paradigm forgetting: those that it starts from.")] = None,
    mirror: Annotated[bool | None, typer.Option(help="Whether a mirrored image keeps its class.")] = None,
    features: Annotated[bool | None, typer.Option(help="Compare feature maps too.")] = None,
    export: Annotated[list[str] | None, typer.Option(help="onnx, executorch or none; may be given twice.")] = None,
    name: Annotated[str | None, typer.Option(help="Name of the run; the file's name when omitted.")] = None,
    plugin: PluginOption = None,
    yes: Annotated[bool, typer.Option("--yes", help="No prompts: use the suggestions.")] = False,
    force: Annotated[bool, typer.Option("--force", help="Overwrite the file.")] = False,
) -> None:
    """Write a recipe for your own model and data. Every prompt has a flag; without a terminal there are no prompts."""
    from limbeck.cli.init.create import create_recipe
    from limbeck.cli.init.options import InitOptions, ModelOptions, model_options, parse_args
    from limbeck.cli.init.questions import Questions

    load_plugins(plugin)
    options = InitOptions(
        paradigm=paradigm,
        train=train,
        test=test,
        input=input_column,
        label=label,
        reads=reads,
        size=size,
        channels=channels,
        teachers=model_options("--teacher", teacher, teacher_args, teacher_weights),
        peers=model_options("--peer", peer, peer_args),
        student=ModelOptions(student, parse_args("--student-args", student_args), student_weights),
        mirror=mirror,
        features=features,
        formats=export,
        name=name,
        plugins=list(plugin or []),
    )
    command = create_recipe(recipe, options, Questions(sys.stdin.isatty() and not yes), console, force=force)
    console.print(f"{recipe} is written. Check it, then run:", highlight=False, markup=False)
    console.print(command, style="bold", highlight=False, markup=False, soft_wrap=True)
