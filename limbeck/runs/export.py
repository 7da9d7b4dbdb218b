"""The exports of a run: models written as files, checked and measured, and recorded in the verdict and the report."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rich.console import Console
from torch import nn

from limbeck.data import Items, TokenStorage
from limbeck.data.fields.views import view_of_field
from limbeck.evaluation import Export
from limbeck.evaluation.report import write_report
from limbeck.export import ExportError, export_models, failed_records, formats, merge_records
from limbeck.export.exporter import EXPORTS, file_name
from limbeck.export.file_info import beside, file_info
from limbeck.recipe import ExportSpec, Recipe, data_sizes
from limbeck.recipe.schema.task import task_name
from limbeck.runs.folder import TEACHER, VERDICT, RunError, lock_run, open_recipe, read_verdict, require_file
from limbeck.runs.results import load_results, reader_of, readers_of
from limbeck.runs.teacher import rebuild_teacher, with_progress
from limbeck.utils import distributed
from limbeck.utils.atomic_files import new_folder
from limbeck.utils.disk_full import explain_disk_full

TOKENIZER = "-tokenizer"  # end of the name of the folder with the tokenizer of a file of texts
LATER = "this is an older file, a later export failed: "


@dataclass(frozen=True)
class RunModels:
    """The models of a run and the data that their exports are calibrated and checked on.

    Attributes:
        results: the distilled models that are exported, by result.
        missing: results that cannot be exported, with the reason.
    """

    recipe: Recipe
    folder: Path
    results: Mapping[str, nn.Module]
    teacher: nn.Module | None
    train: Items
    test: Items
    missing: Mapping[str, str] = field(default_factory=dict)


def export_run(
    folder: Path,
    *,
    into: Sequence[str] = (),
    precisions: Sequence[str] = (),
    results: Sequence[str] = (),
    student_only: bool = False,
    console: Console | None = None,
    progress: bool = True,
) -> list[Export]:
    """Exports the results of a finished run, and its teacher to compare with.

    The records are written into the verdict and the report. They replace older records of the same model, format and
    precision.

    Args:
        into, precisions, results: replace those of the recipe.
        student_only: the teacher is neither exported nor loaded, and int8 has no quantization-aware training, which learns from
            it.

    Raises:
        RunError: the run is not finished, or its data cannot be loaded.
        ValueError: an unknown format, or an unknown result.
        MissingPackageError: a package of a format is not installed.
    """
    console = console or Console(quiet=True)
    recipe = open_recipe(folder)
    require_file(folder, VERDICT, "verdict")
    given = {"formats": list(into), "precisions": list(precisions), "results": list(results)}
    own = {} if recipe.export is None else recipe.export.model_dump(mode="json")
    alone = {"teacher": False, "quantization_aware": None} if student_only else {}
    spec = ExportSpec.model_validate(own | alone | {name: values for name, values in given.items() if values})
    check_formats(spec)
    saved = load_results(folder, spec.results)
    try:
        all_train, train, _, test = recipe.load()
        all_train, train = (test if items is None else items for items in (all_train, train))
    except (ValueError, OSError, ImportError) as error:
        raise RunError(f"run {folder}: an export is checked on the run's data, and that cannot be loaded: {error}") from error
    check_texts(spec, test)
    if student_only and recipe.new_task().needs_teacher:
        raise RunError(
            f"--student-only: the task {task_name(recipe.task)!r} compares with the teacher's outputs, so an export cannot be "
            "checked without it; leave the option out"
        )
    needs_teacher = spec.teacher or spec.quantization_aware is not None or recipe.new_task().needs_teacher
    teacher = rebuild_teacher(recipe, folder, data_sizes(all_train.for_actor("teacher")), console) if needs_teacher else None
    run = RunModels(recipe, folder, saved.models, teacher, train, test, saved.missing)
    with (
        explain_disk_full(folder / EXPORTS, "Files exported before are complete; make room, then export again"),
        lock_run(folder),
    ):
        return write_exports(spec, run, console, progress=progress)


def check_formats(spec: ExportSpec) -> None:
    """Raises an error for formats whose packages are missing, and for quantization-aware training in several processes."""
    for name in spec.formats:
        formats.get(name).require_packages(writing=True)
    if spec.quantization_aware is not None and distributed.world_size() > 1:
        raise ValueError("export.quantization_aware trains in one process; leave export out here, and run limbeck export after")


def check_texts(spec: ExportSpec, test: Items) -> None:
    """Raises `RunError` if models of texts cannot be exported as `spec` says."""
    if not isinstance(test.storage, TokenStorage):
        return
    for name in spec.formats:
        try:
            formats.get(name).require_texts()
        except ExportError as error:
            raise RunError(f"export.formats: {error}") from error
    if spec.quantization_aware is not None:
        raise RunError(
            "export.quantization_aware: models of texts are not trained for int8; leave it out: their int8 files need no "
            "calibration, and the loss, if any, stands in the record"
        )


def write_exports(spec: ExportSpec, run: RunModels, console: Console, *, progress: bool) -> list[Export]:
    """Writes the exports and records them in the verdict and the report. Only rank 0 exports; the others wait."""
    records: list[Export] = []
    if distributed.rank() == 0:
        if spec.quantization_aware is not None and run.teacher is None:
            console.print("int8 without quantization-aware training: there is no teacher to learn from", style="yellow")
        task = run.recipe.new_task()
        task.prepare(run.teacher, run.train, [run.test], control=False)
        exported = dict(run.results)
        if run.teacher is not None and spec.teacher:
            exported[TEACHER] = run.teacher
        records = export_models(
            exported,
            run.train,
            run.test,
            run.folder,
            into=spec.formats,
            precisions=spec.precisions,
            calibration_items=spec.calibration_items,
            aware=_quantization_aware_models(spec, run, progress=progress),
            task=task,
            readers=readers_of(run.recipe, list(run.results)),
            infos=_infos(run, exported),
            console=console,
            earlier=read_verdict(run.folder).exports,
            on_records=functools.partial(_record, run.folder),
        )
        for result, reason in run.missing.items():
            records += failed_records(result, reason, spec.formats, spec.precisions)
        _record(run.folder, records)
        write_report(run.folder)
    distributed.barrier()
    return records


def _infos(run: RunModels, exported: Mapping[str, nn.Module]) -> dict[str, dict[str, Any]]:
    """Returns what the files of each model say of themselves; puts the tokenizers of models of texts beside the files."""
    verdict, found = read_verdict(run.folder), dict[str, dict[str, Any]]()
    for name, model in exported.items():
        items = run.test.for_actor(reader_of(run.recipe, name))
        found[name] = file_info(model, items, verdict, name)
        if isinstance(items.storage, TokenStorage):
            found[name]["tokenizer"] = f"{name}{TOKENIZER}"
            with new_folder(run.folder / EXPORTS / found[name]["tokenizer"]) as draft:
                items.storage.tokenizer.save_pretrained(str(draft))
    return found


def is_failed(record: Export) -> bool:
    """Whether the export of a record failed; an older file of the run may then stand in for it."""
    return record.error is not None or (record.warning or "").startswith(LATER)


def _record(folder: Path, records: Sequence[Export]) -> None:
    """Writes records into the verdict. Of an export that failed, an older file that the verdict lists stays, and stays listed;
    one that it does not list is of another student, and is deleted."""
    verdict = read_verdict(folder)
    listed = {(record.model, record.format, record.precision): record for record in verdict.exports if record.path}
    new = []
    for record in records:
        older = listed.get((record.model, record.format, record.precision))
        if record.error is not None and older is not None and (folder / str(older.path)).exists():
            new.append(older.model_copy(update={"warning": f"{LATER}{record.error}", "remedy": record.remedy}))
            continue
        if record.error is not None:
            name = file_name(record.model, formats.get(record.format), record.precision)
            (folder / EXPORTS / name).unlink(missing_ok=True)
            beside(folder / EXPORTS / name).unlink(missing_ok=True)
        new.append(record)
    verdict.model_copy(update={"exports": merge_records(verdict.exports, new)}).save(folder / VERDICT)


def _quantization_aware_models(spec: ExportSpec, run: RunModels, *, progress: bool) -> dict[str, Callable[[], nn.Module]]:
    """Returns functions that train the results for int8; none if the recipe does not ask for it or has no teacher."""
    if spec.quantization_aware is None or run.teacher is None:
        return {}
    from limbeck.export.quantization.qat import quantization_aware

    found: dict[str, Callable[[], nn.Module]] = {}
    for result, model in run.results.items():
        reader = run.recipe.models.get(reader_of(run.recipe, result), run.recipe.student)
        found[result] = functools.partial(
            quantization_aware,
            model,
            run.teacher,
            run.train,
            epochs=spec.quantization_aware.epochs,
            lr=spec.quantization_aware.lr,
            batch_size=run.recipe.training.batch_size,
            views=view_of_field(run.recipe.training.views, reader.reads),
            seed=run.recipe.seeds[0],
            teacher_options=run.recipe.teacher.options() if run.recipe.teacher is not None else None,
            settings=with_progress(run.recipe.training.build(), progress).settings,
            folder=run.folder / "checkpoints" / ("quantization-aware" + ("" if len(found) == 0 else f"-{result}")),
            resume=True,
        )
    return found
