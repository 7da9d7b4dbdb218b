"""The command line. Heavy imports wait until a command needs them, so that `--help` answers at once."""

from __future__ import annotations

import json
import os
import sys
import warnings
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="Knowledge distillation: a large teacher becomes a small student, and the gain is proven.",
)
console = Console()
errors = Console(stderr=True)

USER_ERROR, TARGETS_MISSED, INTERRUPTED = 2, 3, 130  # exit codes
USER_ERRORS = (ValueError, RuntimeError, ImportError, OSError)  # what a user can mend; all else is a fault of ours
Json = Annotated[bool, typer.Option("--json", help="Print JSON for machines.")]
Plugin = Annotated[list[Path] | None, typer.Option("--plugin", help="A Python file whose parts the recipe may name.")]


@app.command()
def distill(
    recipe: Annotated[str, typer.Argument(help="A recipe file, or the name of a built-in one.")],
    out: Annotated[Path | None, typer.Option(help="The run directory; runs/NAME when omitted.")] = None,
    seed: Annotated[int | None, typer.Option(help="One seed instead of the recipe's.")] = None,
    change: Annotated[list[str] | None, typer.Option("--set", help="Change one value: training.epochs=3")] = None,
    no_control: Annotated[bool, typer.Option("--no-control", help="Do not train the control.")] = False,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with a run that was stopped.")] = False,
    force: Annotated[bool, typer.Option("--force", help="Start over in a directory that holds a run.")] = False,
    plugin: Plugin = None,
    as_json: Json = False,
) -> None:
    """Distil a student as a recipe says, train its control, and judge both.

    Exits with 0 when the recipe's targets are met and with 3 when they are not.
    """
    from limbeck.evaluation import arms_table
    from limbeck.recipe import Recipe
    from limbeck.runs import resume_command, run_recipe
    from limbeck.utils.distributed import rank

    _load_plugins(plugin)
    changes = [*(change or []), *([f"seeds=[{seed}]"] if seed is not None else []), *(["control=false"] if no_control else [])]
    job = Recipe.read(find_recipe(recipe), changes)
    folder = out or Path("runs") / job.name
    listener = None if as_json else console
    try:
        verdict = run_recipe(job, folder, resume=resume, force=force, console=listener, progress=not as_json)
    except KeyboardInterrupt as stop:
        if rank() == 0:
            again = resume_command(folder) if (folder / "recipe.yaml").exists() else ""
            errors.print(f"{stop or 'stopped'}. {again and 'Go on with:'}", style="yellow", soft_wrap=True)
            errors.print(again, highlight=False, soft_wrap=True)
        raise typer.Exit(INTERRUPTED) from stop
    if rank() != 0:
        return
    if as_json:
        print(verdict.model_dump_json(indent=2))
    else:
        console.print(arms_table(verdict))
        console.print(verdict.sentence(), style="bold", markup=False, highlight=False)
        for name, target in verdict.targets.items():
            mark = "[green]met[/green]" if target.met else "[red]missed[/red]"
            console.print(f"  target {name}: {mark}, goal {target.goal:g}, value {_number(target.value)} {target.reason or ''}")
        console.print(f"{folder}/verdict.json · {folder}/report.html · {folder}/student/", style="dim", soft_wrap=True)
    raise typer.Exit(0 if verdict.met else TARGETS_MISSED)


@app.command()
def evaluate(
    run: Annotated[Path, typer.Argument(help="A run directory.")],
    data: Annotated[str, typer.Option(help="A data file, folder or name.")],
    split: Annotated[str | None, typer.Option(help="Which part of the data.")] = None,
    input_column: Annotated[str | None, typer.Option("--input", help="The input column.")] = None,
    label: Annotated[str | None, typer.Option(help="The label column.")] = None,
    plugin: Plugin = None,
    as_json: Json = False,
) -> None:
    """Evaluate the student of a run on other data."""
    from limbeck.runs import evaluate_run

    _load_plugins(plugin)
    figures = evaluate_run(run, data, split=split, input=input_column, label=label)
    if as_json:
        print(json.dumps(figures))
    else:
        from limbeck.evaluation import number_format
        from limbeck.metrics.measures import MEASURES

        name = figures["metric"]
        shown = number_format.measured(figures[name], figures["ci95"], as_percent=MEASURES[name].percent)
        sure = f", ECE {figures['ece']:.3f}" if "ece" in figures else ""
        console.print(f"{name} {shown} on {figures['items']:,} items{sure}", markup=False)


@app.command()
def compare(
    what: Annotated[list[str], typer.Argument(help="Run directories, or one comparison recipe.")],
    out: Annotated[Path | None, typer.Option(help="Where a comparison runs; runs/NAME when omitted.")] = None,
    change: Annotated[list[str] | None, typer.Option("--set", help="Change one value: training.epochs=3")] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with a comparison that was stopped.")] = False,
    plugin: Plugin = None,
    as_json: Json = False,
) -> None:
    """Several runs in one table; or, given a recipe with variants, carry them all out and rank them.

    A comparison may be worked on by several processes at once: start the same command with --resume in each.
    """
    _load_plugins(plugin)
    if len(what) == 1 and not Path(what[0]).is_dir():
        _run_comparison(what[0], out, change or [], resume=resume, as_json=as_json)
    else:
        _compare_runs([Path(run) for run in what], as_json=as_json)


def _run_comparison(recipe: str, out: Path | None, changes: list[str], *, resume: bool, as_json: bool) -> None:
    from limbeck.evaluation import methods_table
    from limbeck.recipe import Comparison
    from limbeck.runs.compare import run_comparison

    job = Comparison.read(find_recipe(recipe), changes)
    listener = None if as_json else console
    verdict = run_comparison(job, out or Path("runs") / job.name, resume=resume, console=listener, progress=not as_json)
    if verdict is None:
        return
    if as_json:
        print(verdict.model_dump_json(indent=2))
    else:
        console.print(methods_table(verdict))


def _compare_runs(runs: list[Path], *, as_json: bool) -> None:
    from limbeck.evaluation import compare as compare_verdicts
    from limbeck.evaluation import compare_table
    from limbeck.runs import load_verdicts

    found = load_verdicts(runs)
    if as_json:
        print(json.dumps(compare_verdicts(found), indent=2))
    else:
        console.print(compare_table(found, width=console.width))


@app.command()
def init(
    recipe: Annotated[Path, typer.Argument(metavar="[RECIPE]", help="The file to write.")] = Path("recipe.yaml"),
    train: Annotated[str | None, typer.Option(help="Training data: a folder of images by class, a table, or a name.")] = None,
    test: Annotated[str | None, typer.Option(help="Test data; found beside the training data where it is called test.")] = None,
    input_column: Annotated[str | None, typer.Option("--input", help="The input column.")] = None,
    label: Annotated[str | None, typer.Option(help="The label column.")] = None,
    size: Annotated[int | None, typer.Option(help="Bring images to this many pixels a side.")] = None,
    channels: Annotated[int | None, typer.Option(help="1: grey, 3: colours.")] = None,
    teacher: Annotated[str | None, typer.Option(help="my_models.py:FUNCTION, or a model that Limbeck knows.")] = None,
    teacher_args: Annotated[str | None, typer.Option(help="Its arguments: '{depth: 56}'")] = None,
    teacher_weights: Annotated[str | None, typer.Option(help="Its weights; without any it is trained first.")] = None,
    student: Annotated[str | None, typer.Option(help="As for the teacher; one is suggested where it is left out.")] = None,
    student_args: Annotated[str | None, typer.Option(help="Its arguments.")] = None,
    mirror: Annotated[bool | None, typer.Option(help="Whether a mirrored image is still of its class.")] = None,
    features: Annotated[bool | None, typer.Option(help="Compare feature maps too.")] = None,
    export: Annotated[list[str] | None, typer.Option(help="onnx, executorch or none; may be given twice.")] = None,
    name: Annotated[str | None, typer.Option(help="Name of the run; the file's name when left out.")] = None,
    plugin: Plugin = None,
    yes: Annotated[bool, typer.Option("--yes", help="Ask nothing: take the suggestions.")] = False,
    force: Annotated[bool, typer.Option("--force", help="Overwrite the file.")] = False,
) -> None:
    """Write a recipe for your own model and data. Every question has a flag; on no terminal nothing is asked."""
    from limbeck.cli.init import InitOptions, Questions, create_recipe, parse_args

    _load_plugins(plugin)
    options = InitOptions(
        train=train,
        test=test,
        input=input_column,
        label=label,
        size=size,
        channels=channels,
        teacher=teacher,
        teacher_args=parse_args("--teacher-args", teacher_args),
        teacher_weights=teacher_weights,
        student=student,
        student_args=parse_args("--student-args", student_args),
        mirror=mirror,
        features=features,
        formats=export,
        name=name,
        plugins=list(plugin or []),
    )
    command = create_recipe(recipe, options, Questions(sys.stdin.isatty() and not yes), console, force=force)
    console.print(f"{recipe} is written. Look it over, then run:", highlight=False, markup=False)
    console.print(command, style="bold", highlight=False, markup=False, soft_wrap=True)


@app.command()
def runs(
    folder: Annotated[Path, typer.Argument(metavar="[DIR]", help="The folder that holds the runs.")] = Path("runs"),
    as_json: Json = False,
) -> None:
    """List the runs in a folder: state, progress, verdict, age."""
    from limbeck.runs.listing import list_runs, runs_table

    found = list_runs(folder)
    if as_json:
        print(json.dumps([one.as_json() for one in found], indent=2, ensure_ascii=False))
    elif found:
        console.print(runs_table(found))
    else:
        console.print(f"no runs in {folder}", markup=False, highlight=False)


@app.command()
def cite(
    what: Annotated[list[str], typer.Argument(help="Recipes, run directories, or names of methods and models.")],
    plugin: Plugin = None,
) -> None:
    """BibTeX of the papers behind recipes, runs or methods."""
    from limbeck.evaluation.citations import merge

    _load_plugins(plugin)
    print(merge(_cited(one) for one in what))


def _cited(what: str) -> str:
    from limbeck.evaluation.citations import bibtex, bibtex_of
    from limbeck.recipe import Comparison, Recipe, read_yaml

    if Path(what).is_dir():
        written = Path(what) / "recipe.yaml"
        if not written.exists():
            raise ValueError(f"{what}: it holds no recipe.yaml, so it is no run directory")
        return bibtex(read_yaml(written.read_text(encoding="utf-8")))  # a run's own recipe is whole as it is
    if not (what.endswith((".yaml", ".yml")) or Path(what).exists() or what in {path.stem for path in built_in()}):
        return bibtex_of(what)
    path = find_recipe(what)
    content = read_yaml(path.read_text(encoding="utf-8")) if path.is_file() else None
    if not isinstance(content, dict):
        return bibtex(Recipe.read(path))  # which says what is wrong with it
    kind = Comparison if "variants" in content else Recipe
    return bibtex(kind.from_dict(content, str(path), files=False))


@app.command()
def export(
    run: Annotated[Path, typer.Argument(help="A run directory.")],
    into: Annotated[list[str] | None, typer.Option("--format", help="onnx or executorch; may be given twice.")] = None,
    precision: Annotated[list[str] | None, typer.Option(help="fp32 or int8; may be given twice.")] = None,
    plugin: Plugin = None,
    as_json: Json = False,
) -> None:
    """Write the student of a run for devices, check and measure each file in its runtime, the teacher's beside it.

    Without options as the run's recipe says under export:, else as ONNX in fp32. Exits with 2 when a file could not be made.
    """
    from limbeck.evaluation import Verdict
    from limbeck.export import exports_table, remarks
    from limbeck.runs import export_run

    _load_plugins(plugin)
    records = export_run(run, into=into or (), precisions=precision or (), console=None if as_json else console)
    if as_json:
        print(json.dumps([record.model_dump(mode="json") for record in records], indent=2))
    else:
        console.print(exports_table(records, width=console.width, metric=Verdict.load(run).metric.name))
        for line in remarks(records):
            console.print(line, style="yellow", markup=False, highlight=False, soft_wrap=True)
        console.print(f"{run}/exports/ · {run}/report.html", style="dim", soft_wrap=True)
    if any(record.error for record in records):
        raise typer.Exit(USER_ERROR)


@app.command()
def profile(
    what: Annotated[Path, typer.Argument(help="A run directory, a student's folder, or an exported file.")],
    shape: Annotated[str, typer.Option(help="Of one input, where the file does not state it: 3,32,32")] = "",
    plugin: Plugin = None,
    as_json: Json = False,
) -> None:
    """Size, work, time and memory of one inference on one thread: of a run's models and exports, or of one file."""
    from dataclasses import asdict

    from limbeck.export import costs_table
    from limbeck.runs import profile_run

    _load_plugins(plugin)
    axes = [axis.strip() for axis in shape.split(",") if axis.strip()]
    if not all(axis.isdigit() and int(axis) for axis in axes):
        raise typer.BadParameter(f"--shape {shape!r}: expected whole numbers, such as 3,32,32")
    rows = profile_run(what, [int(axis) for axis in axes], console=None if as_json else console)
    if as_json:
        print(json.dumps({name: asdict(row) for name, row in rows.items()}, indent=2))
    else:
        console.print(costs_table(rows, width=console.width))


@app.command()
def report(
    runs: Annotated[list[Path], typer.Argument(help="A run directory, several of them, or that of a comparison.")],
    out: Annotated[Path | None, typer.Option(help="The page; in the directory, or above several, when omitted.")] = None,
) -> None:
    """Make the page that people look at: report.html of one run or comparison, or several runs side by side.

    It is made from what the runs left, verdict.json and log.jsonl: no data and no models are needed.
    """
    from limbeck.evaluation.report import beside, is_comparison, write_comparison, write_report, write_side_by_side
    from limbeck.runs import load_verdicts, require_verdict

    if len(runs) > 1:
        found = load_verdicts(runs)
        page = write_side_by_side(found, dict(zip(found, runs, strict=True)), out or beside(runs))
    elif is_comparison(runs[0]):
        page = write_comparison(runs[0], out)
    else:
        require_verdict(runs[0])
        page = write_report(runs[0], out)
    console.print(str(page), soft_wrap=True, highlight=False, markup=False)


@app.command()
def methods(name: Annotated[str | None, typer.Argument(help="One method.")] = None, as_json: Json = False) -> None:
    """The objectives: name, kind of knowledge, formula, source, defaults."""
    from rich.markup import escape

    from limbeck.objectives import names
    from limbeck.objectives.description import describe

    rows = [describe(one) for one in ([name] if name else names())]
    if as_json:
        print(json.dumps(rows if name is None else rows[0], indent=2, ensure_ascii=False))
    elif name:
        for field, value in rows[0].items():
            console.print(f"[bold]{field}[/bold]  {escape(str(value))}", highlight=False)
    else:
        _table(rows, ("name", "knowledge", "formula", "source"))


@app.command()
def recipes(
    action: Annotated[str | None, typer.Argument(help="show")] = None,
    name: Annotated[str | None, typer.Argument(help="Which recipe.")] = None,
) -> None:
    """List the built-in recipes, or show one: limbeck recipes show NAME."""
    if action is None:
        import yaml

        contents = {path.stem: yaml.safe_load(path.read_text(encoding="utf-8")) for path in built_in()}
        rows = [{"name": name, "description": content.get("description", "")} for name, content in contents.items()]
        _table(rows, ("name", "description"))
    elif action == "show" and name:
        print(find_recipe(name).read_text(encoding="utf-8"), end="")
    else:
        raise typer.BadParameter("expected: limbeck recipes, or limbeck recipes show NAME")


@app.command()
def schema() -> None:
    """The JSON schema of recipes, for editors."""
    from limbeck.recipe import Recipe

    print(json.dumps(Recipe.model_json_schema(), indent=2))


@app.command()
def version() -> None:
    """The version."""
    from importlib.metadata import version as installed

    print(installed("limbeck"))


cache = typer.Typer(no_args_is_help=True, help="The teacher's answers, kept: build, look, verify, clear up.")
app.add_typer(cache, name="cache")
Answers = Annotated[Path, typer.Argument(help="A folder of kept answers.")]


@cache.command(name="build")
def cache_build(
    recipe: Annotated[str, typer.Argument(help="A recipe file, or the name of a built-in one.")],
    out: Annotated[Path | None, typer.Option(help="Where the answers go; where the recipe says when omitted.")] = None,
    change: Annotated[list[str] | None, typer.Option("--set", help="Change one value: cache.views=4")] = None,
    batch_size: Annotated[int, typer.Option(help="Items that the teacher is asked about at a time.")] = 256,
    plugin: Plugin = None,
) -> None:
    """Ask the recipe's teacher about all training items, in every view, ahead of any training.

    Stopped, the same command goes on. Under torchrun several processes share the work.
    """
    from limbeck.recipe import Recipe
    from limbeck.runs.cache import build_cache

    _load_plugins(plugin)
    place = build_cache(Recipe.read(find_recipe(recipe), change or []), out, console=console, batch_size=batch_size)
    _show_cache(place)


@cache.command(name="info")
def cache_info(folder: Answers, as_json: Json = False) -> None:
    """What is in a store, its bytes per item and view, and what one more view would cost."""
    from limbeck.runs.cache import describe_cache

    if as_json:
        from dataclasses import asdict

        print(json.dumps({tap: asdict(found) for tap, found in describe_cache(folder).items()}, indent=2))
    else:
        _show_cache(folder)


@cache.command(name="verify")
def cache_verify(
    folder: Answers,
    sample: Annotated[int, typer.Option(help="Items to ask the teacher about again; 0: checksums only.")] = 256,
    plugin: Plugin = None,
) -> None:
    """Check every checksum, ask the teacher again about some items, and print the worst error. Exits with 3 where it is bad."""
    from limbeck.runs.cache import verify_cache

    _load_plugins(plugin)
    compared = verify_cache(folder, sample)
    for one in compared:
        same = "" if one.agreement is None else f", same largest logit {100 * one.agreement:.1f} %"
        told = f"{one.samples} answers asked again, worst error {one.worst:.2g} of the largest value{same}"
        console.print(f"{one.name}: {told if not one.damaged else f'{len(one.damaged)} damaged files'}", markup=False)
        for line in one.damaged:
            console.print(f"  {line}", style="red", markup=False, soft_wrap=True)
    raise typer.Exit(0 if all(one.good for one in compared) else TARGETS_MISSED)


@cache.command(name="prune")
def cache_prune(folder: Answers, remove: Annotated[bool, typer.Option("--remove", help="Delete them too.")] = False) -> None:
    """List, or remove, what lies in a store without being part of it: left-overs of builds that were killed."""
    from limbeck.runs.cache import prune_cache

    for path in prune_cache(folder, remove=remove):
        console.print(f"{'removed' if remove else 'left over'}: {path}", markup=False, soft_wrap=True)


def _show_cache(folder: Path) -> None:
    from rich.table import Table

    from limbeck.evaluation import number_format
    from limbeck.runs.cache import describe_cache

    stores = describe_cache(folder)
    table = Table("", *stores, header_style="bold")  # a column each, so that a narrow terminal shows it whole
    found = list(stores.values())
    table.add_row("kept as", *(", ".join(one.taps.values()) for one in found))
    table.add_row("samples", *(f"{one.samples:,}" for one in found))
    table.add_row("views of each", *(str(one.views) for one in found))
    table.add_row("answers", *(f"{one.rows:,} of {one.samples * one.views:,}" for one in found))
    table.add_row(
        "bytes of an answer", *(number_format.NONE if one.per_item is None else f"{one.per_item:.1f}" for one in found)
    )
    table.add_row("in all", *(number_format.size(one.total) for one in found))
    table.add_row("one more view", *(number_format.size(one.per_view) for one in found))
    console.print(table)
    console.print(str(folder), style="dim", soft_wrap=True)


def built_in() -> list[Path]:
    """The recipes that come with Limbeck: beside the modules where it is installed, at the top of its repository otherwise."""
    here = Path(__file__).parents[1]
    return sorted((here / "recipes").glob("*.yaml")) or sorted((here.parent / "recipes").glob("*.yaml"))


def find_recipe(name: str) -> Path:
    """A recipe by path, or a built-in one by name."""
    path = Path(name)
    by_name = {file.stem: file for file in built_in()}
    if path.is_file() or (path.suffix in (".yaml", ".yml") and path.stem not in by_name):
        return path
    if name not in by_name:
        from limbeck.utils.registry import UnknownNameError

        raise UnknownNameError("recipe", name, list(by_name))
    return by_name[name]


def _load_plugins(paths: list[Path] | None) -> None:
    from limbeck.recipe import load_plugin

    for path in dict.fromkeys(paths or []):
        load_plugin(path)


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.4g}"


def _table(rows: list[dict[str, Any]], columns: tuple[str, ...]) -> None:
    from rich.markup import escape
    from rich.table import Table

    table = Table(header_style="bold")
    for position, column in enumerate(columns):
        table.add_column(column, no_wrap=position == 0, overflow="fold")  # the first is what one types
    for row in rows:
        table.add_row(*(escape(str(row[column])) for column in columns))
    console.print(table)


def main() -> None:
    """Run the command line; what a user can mend is one message, not a traceback."""
    warnings.showwarning = _warn
    code: int | str | None = 0
    try:
        app()
    except SystemExit as stop:
        code = stop.code
    except USER_ERRORS as error:
        errors.print("error:", style="bold red", end=" ")
        errors.print(str(error), markup=False, highlight=False, soft_wrap=True)
        code = USER_ERROR
    if int(os.environ.get("WORLD_SIZE", "1")) > 1 and (isinstance(code, int) or code is None):
        from limbeck.utils.distributed import exit_process

        exit_process(code or 0)
    sys.exit(code)


def _warn(message: Warning | str, *_: object, **__: object) -> None:
    errors.print("warning:", style="yellow", end=" ")
    errors.print(str(message), markup=False, highlight=False, soft_wrap=True)


if __name__ == "__main__":
    main()
