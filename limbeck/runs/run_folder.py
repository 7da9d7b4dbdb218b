"""A run directory: from a recipe to a judged student on disk, and back."""

from __future__ import annotations

import errno
import functools
import hashlib
import json
import shlex
import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from torch import nn

from limbeck import models
from limbeck.data import Items, TokenStorage
from limbeck.engine.training import Training
from limbeck.evaluation import Export, Verdict
from limbeck.evaluation.report import write_report
from limbeck.experiment.distillation import teach
from limbeck.export import PYTORCH, Costs, ExportError, export_models, formats, merge_records
from limbeck.export import profile as costs
from limbeck.models.tokenizer import load_tokenizer
from limbeck.recipe import (
    DatasetSpec,
    ExportSpec,
    Recipe,
    RecipeError,
    classes_and_channels,
    describe_missing,
    loaded_plugins,
    read_yaml,
)
from limbeck.recipe.old_keys import rename_old_keys
from limbeck.utils import distributed
from limbeck.utils.folder_lock import LOCK_FILE, lock_folder

SHOWN_CLASSES = 8  # of the names that labels have, so many are told


class RunError(ValueError):
    """A run directory that cannot be used as asked."""


def run_recipe(
    recipe: Recipe,
    folder: Path,
    *,
    resume: bool = False,
    force: bool = False,
    console: Console | None = None,
    progress: bool = True,
) -> Verdict:
    """Do what a recipe says: teacher, student and control for every seed, the verdict, all of it in `folder`.

    An existing directory is never overwritten unless `resume` (go on) or `force` (start over) says so, and not before the data
    is loaded and the models are known to fit it and each other. Of several ranks the first writes, the others wait.

    Raises:
        RunError: the directory holds something else, or the disk is full.
        ValueError: data, models and terms do not fit.
    """
    distributed.initialize()
    console = console if console is not None and distributed.rank() == 0 else Console(quiet=True)
    check_folder(recipe, folder, resume=resume, force=force)
    barrier()  # nobody writes before all have looked
    everything, seen, validation, test = recipe.load()
    _print_data(console, seen, validation, test)
    if recipe.export is not None:
        check_export(recipe.export)  # or it would be found out after the training
        check_texts(recipe.export, test)
    teacher = build_teacher(recipe, everything)
    job = recipe.distillation(teacher, seen, folder=folder, resume=True)  # `_refuse` has looked at the directory
    job.check(seen, validation=validation, test=test)
    job.training, job.control_training = with_progress(job.training, progress), with_progress(job.control_training, progress)
    try:
        with lock_run(folder):
            prepare_folder(recipe, folder, resume=resume)
            job.teacher = load_or_train_teacher(recipe, teacher, everything, folder, progress=progress)
            job.fit(seen, validation)
            if job.answers is not None:
                save_cache_recipe(recipe, job.answers, folder)
            verdict = job.judge(test)
            if recipe.export is None:
                return verdict
            write_exports(recipe.export, recipe, job.best, job.teacher, seen, test, folder, console, progress=progress)
            return Verdict.load(folder)
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        raise RunError(f"{folder}: {error}. What was saved before is whole; make room, then go on with --resume") from error


def build_teacher(recipe: Recipe, train: Items) -> nn.Module:
    """The recipe's teacher with its weights; where it is to be trained first, as it starts."""
    classes, channels = classes_and_channels(train)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(recipe.seeds[0])
        return recipe.teacher.new(classes, channels).eval()


def load_or_train_teacher(
    recipe: Recipe, teacher: nn.Module, train: Items, folder: Path, *, progress: bool = True
) -> nn.Module:
    """The teacher as the students meet it: as it is, or trained on all labels and kept in the run's folder."""
    spec = recipe.teacher
    if spec.training is None:
        return teacher
    kept = folder / "teacher"
    is_kept = (kept / "config.json").exists()
    barrier()  # or a rank that comes late would find what the first has just written
    if is_kept:
        return models.load_model(kept)
    shared = _shared_folder(recipe, train, folder) if spec.shared else None
    if shared is None:
        learnt = _train_teacher(recipe, train, folder, progress=progress)
    else:
        with lock_run(shared):
            found = (shared / "config.json").exists()
            learnt = models.load_model(shared) if found else _train_teacher(recipe, train, shared, progress=progress)
            if distributed.rank() == 0 and not found:
                models.save_model(learnt, None, shared)
                shutil.rmtree(shared / "checkpoints", ignore_errors=True)
    if distributed.rank() == 0:
        models.save_model(learnt, None, kept)
        storage = train.for_actor("teacher").storage
        if isinstance(storage, TokenStorage):
            storage.tokenizer.save_pretrained(kept)
    return learnt


def _train_teacher(recipe: Recipe, train: Items, folder: Path, *, progress: bool) -> nn.Module:
    """The teacher, trained on all labels; what it leaves on the way lies in `folder`."""
    spec = recipe.teacher
    assert spec.training is not None
    build = functools.partial(spec.new, *classes_and_channels(train))
    training, task = with_progress(spec.training.build(), progress), recipe.new_task()
    place, log = folder / "checkpoints" / "teacher", folder / "log.jsonl"
    return teach(build, train, training, task=task, seed=recipe.seeds[0], folder=place, log=log, resume=True)


def _shared_folder(recipe: Recipe, train: Items, folder: Path) -> Path:
    """Where a teacher lies that runs side by side have in common: named by what it is made of and trained on."""
    by_the_way = ("threads", "trackers", "log_every", "checkpoint_every", "prefetch", "device")
    spec = recipe.teacher.model_dump(mode="json", exclude={"training": set(by_the_way), "shared": True})
    said = {
        "teacher": spec,
        "task": recipe.task,
        "seed": recipe.seeds[0],
        "data": train.fingerprint(),
        "read": getattr(train.for_actor("teacher").storage, "identity", str)(),
    }
    name = hashlib.blake2b(json.dumps(said, sort_keys=True).encode(), digest_size=6).hexdigest()
    return folder.parent / "teachers" / name


def save_cache_recipe(recipe: Recipe, answers: Path, folder: Path) -> None:
    """Leave a recipe with the teacher's answers that asks for them again: what `limbeck cache` goes by."""
    if distributed.rank() == 0 and not (answers / "recipe.yaml").exists():
        content = recipe.model_dump(mode="json")
        content["cache"] |= {"path": str(answers)}
        if recipe.teacher.training is not None:
            kept = (folder / "teacher" / "model.safetensors").resolve()
            content["teacher"] |= {"weights": str(kept), "training": None}
        Recipe.from_dict(content, files=False).write(answers / "recipe.yaml")


def lock_run(folder: Path) -> AbstractContextManager[None]:
    """The folder, made where there is none, and kept to this run: its first rank has the lock."""
    if distributed.rank() != 0:
        return nullcontext()
    folder.mkdir(parents=True, exist_ok=True)
    return lock_folder(folder)


def barrier() -> None:
    """Until every rank has come here."""
    if distributed.world_size() > 1:
        torch.distributed.barrier()


def open_run(folder: Path) -> tuple[Recipe, nn.Module]:
    """The recipe and the student of a finished run."""
    require_finished(folder, "student/config.json", "student")
    written = folder / "recipe.yaml"
    recipe = Recipe.from_dict(read_yaml(written.read_text(encoding="utf-8")), str(written), files=False)
    if recipe.student.vocabulary is not None:
        recipe.reader.student_tokenizer = load_tokenizer(str(folder / "student"), local_files_only=True)
    return recipe, models.load_model(folder / "student")


def evaluate_run(folder: Path, data: str, **columns: Any) -> dict[str, Any]:
    """The student of a run on other data: accuracy with its interval."""
    from limbeck.evaluation import Predictions, interval
    from limbeck.evaluation.model_cost import expected_calibration_error, softmax
    from limbeck.evaluation.verdict import value_of

    recipe, student = open_run(folder)
    like = recipe.data.test
    part = DatasetSpec(path=data, size=like.size, channels=like.channels, on_error=like.on_error, **columns)
    task = recipe.new_task()
    alone = not (task.needs_teacher or task.may_need_teacher)
    if alone and any((folder / "student").rglob("tokenizer.json")):
        recipe.reader.use_student_tokenizer(load_tokenizer(str(folder / "student"), local_files_only=True))
    items = recipe.items(part).align_classes(class_names_of(folder), data)
    task.prepare(None, items, [items], control=False)
    if task.needs_teacher:
        task.prepare(rebuild_teacher(recipe, items, folder, Console(quiet=True)), items, [items], control=False)
    task.check(student, items, "student", data)
    known = task.evaluation_items(items)
    answers = Predictions(**task.to_predictions([task.outputs(student, known)], known))
    scores = answers.parts(task.measure)
    value, ci95 = interval(scores, value=value_of(scores, task.measure))
    figures = {"run": str(folder), "data": data, "items": len(known), "metric": task.metric, task.metric: value}
    if answers.logits is None or answers.labels is None:
        return {**figures, "ci95": list(ci95)}
    return {**figures, "ci95": list(ci95), "ece": expected_calibration_error(softmax(answers.logits[0]), answers.labels)}


def export_run(
    folder: Path,
    *,
    into: Sequence[str] = (),
    precisions: Sequence[str] = (),
    console: Console | None = None,
    progress: bool = True,
) -> list[Export]:
    """Ship the student of a finished run, and its teacher beside it, as the run's recipe says; `into` and `precisions` go
    before it. The verdict and the report hold the new records afterwards, in place of older ones of the same kind.

    Raises:
        RunError: the run is not finished.
        ValueError: the data of the recipe is gone, an unknown format.
        MissingPackageError: a format's packages are not installed.
    """
    console = console or Console(quiet=True)
    recipe, student = open_run(folder)
    require_finished(folder, "verdict.json", "verdict")
    asked = {"formats": list(into), "precisions": list(precisions)}
    own = {} if recipe.export is None else recipe.export.model_dump(mode="json")
    spec = ExportSpec.model_validate(own | {name: given for name, given in asked.items() if given})
    check_export(spec)
    try:
        everything, seen, _, test = recipe.load()
    except (ValueError, OSError, ImportError) as error:
        raise RunError(f"run {folder}: an export is checked on the run's data, and that cannot be loaded: {error}") from error
    check_texts(spec, test)
    needed = spec.teacher or spec.quantization_aware is not None or recipe.new_task().needs_teacher
    teacher = rebuild_teacher(recipe, everything, folder, console) if needed else None
    with lock_run(folder):
        return write_exports(spec, recipe, student, teacher, seen, test, folder, console, progress=progress)


def check_texts(spec: ExportSpec, test: Items) -> None:
    """Refuse to export models of texts as what takes none."""
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


def check_export(spec: ExportSpec) -> None:
    """Refuse formats whose packages are not there, and what only one process can do."""
    for name in spec.formats:
        formats.get(name).require_packages(writing=True)
    if spec.quantization_aware is not None and distributed.world_size() > 1:
        raise ValueError("export.quantization_aware trains in one process; leave export out here, and run limbeck export after")


def write_exports(
    spec: ExportSpec,
    recipe: Recipe,
    student: nn.Module,
    teacher: nn.Module | None,
    train: Items,
    test: Items,
    folder: Path,
    console: Console,
    *,
    progress: bool,
) -> list[Export]:
    """Make the exports and put them into the run's verdict and report. The first rank does it, alone; the others wait."""
    records: list[Export] = []
    if distributed.rank() == 0:
        if spec.quantization_aware is not None and teacher is None:
            console.print("int8 without quantization-aware training: there is no teacher to learn from", style="yellow")
        task = recipe.new_task()
        task.prepare(teacher, train, [test], control=False)
        records = export_models(
            {"student": student} | ({"teacher": teacher} if teacher is not None and spec.teacher else {}),
            train,
            test,
            folder,
            into=spec.formats,
            precisions=spec.precisions,
            calibration_items=spec.calibration_items,
            aware=_quantization_aware_training(spec, recipe, student, teacher, train, folder, progress=progress),
            task=task,
            console=console,
        )
        verdict = Verdict.load(folder)
        verdict.model_copy(update={"exports": merge_records(verdict.exports, records)}).save(folder / "verdict.json")
        write_report(folder)
    barrier()
    return records


def _quantization_aware_training(
    spec: ExportSpec,
    recipe: Recipe,
    student: nn.Module,
    teacher: nn.Module | None,
    train: Items,
    folder: Path,
    *,
    progress: bool,
) -> Callable[[], nn.Module] | None:
    """What makes the student that int8 files are written from, where the recipe asks for it and there is a teacher for it."""
    if spec.quantization_aware is None or teacher is None:
        return None
    from limbeck.export.quantization.qat import quantization_aware

    return functools.partial(
        quantization_aware,
        student,
        teacher,
        train,
        epochs=spec.quantization_aware.epochs,
        lr=spec.quantization_aware.lr,
        batch_size=recipe.training.batch_size,
        views=recipe.training.views,
        seed=recipe.seeds[0],
        teacher_options=recipe.teacher.options(),
        settings=with_progress(recipe.training.build(), progress).settings,
        folder=folder / "checkpoints" / "quantization-aware",
        resume=True,
    )


def rebuild_teacher(recipe: Recipe, train: Items, folder: Path, console: Console) -> nn.Module | None:
    """The teacher of a finished run; None, and a word about it, where it cannot be had any more."""
    try:
        if (folder / "teacher" / "config.json").exists():
            return models.load_model(folder / "teacher")
        if recipe.teacher.training is None:
            return build_teacher(recipe, train)
        reason = f"{folder / 'teacher'} is gone"
    except (ValueError, OSError, ImportError, RuntimeError) as error:
        reason = str(error)
    console.print(f"the student alone: its teacher cannot be built again ({reason})", style="yellow", markup=False)
    return None


def profile_run(path: Path, shape: Sequence[int] = (), *, console: Console | None = None) -> dict[str, Costs]:
    """What a run's models and exports cost on this machine, or one file or student's folder alone.

    Args:
        path: a run directory; a file of one of the export formats; a folder as `save_model` writes it.
        shape: of one input, where the file does not state it.

    Raises:
        FileNotFoundError: nothing is there.
        RuntimeError: it is none of these, its runtime cannot open it, or the shape of its input is unknown.
    """
    if not (path / "recipe.yaml").exists():
        return costs({path.name: path}, shape, console=console)
    recipe, _ = open_run(path)
    verdict = Verdict.load(path)
    kept = [record for record in verdict.exports if record.path is not None and (path / record.path).exists()]
    files = {f"{record.model} {record.format} {record.precision}": path / str(record.path) for record in kept}
    with tempfile.TemporaryDirectory() as place:
        teacher = _teacher_of(recipe, verdict, path, Path(place))
        found = costs({f"student {PYTORCH} fp32": path / "student"} | teacher | files, shape, console=console)
    return {name: _of_run(row, found.get(f"{name.split()[0]} {PYTORCH} fp32"), path) for name, row in found.items()}


def _of_run(row: Costs, in_pytorch: Costs | None, folder: Path) -> Costs:
    """A file of a run: it has the parameters and the work of the model that it was written from, and a path within the run."""
    model = in_pytorch or row
    return replace(row, parameters=model.parameters, macs=model.macs, path=_within(folder, row.path))


def _teacher_of(recipe: Recipe, verdict: Verdict, folder: Path, place: Path) -> dict[str, Path]:
    """The teacher of a run as a folder that can be opened; nothing where it is gone. The run's data is not needed."""
    name, kept = f"teacher {PYTORCH} fp32", folder / "teacher"
    if (kept / "config.json").exists():
        return {name: kept}
    try:
        models.save_model(recipe.teacher.new(len(verdict.classes) or None, None), None, place)
    except (ValueError, OSError, ImportError, RuntimeError):
        return {}
    return {name: place}


def _within(folder: Path, path: str) -> str:
    """A path as the run's own, empty where it lies outside."""
    return str(Path(path).relative_to(folder)) if Path(path).is_relative_to(folder) else ""


def load_verdicts(folders: list[Path]) -> dict[str, Verdict]:
    """The verdicts of several runs, by the shortest names that tell them apart."""
    for folder in folders:
        require_verdict(folder)
    names = [folder.resolve().name for folder in folders]
    labels = [name if names.count(name) == 1 else str(folder) for name, folder in zip(names, folders, strict=True)]
    return {label: Verdict.load(folder) for label, folder in zip(labels, folders, strict=True)}


def require_verdict(folder: Path) -> None:
    """Refuse a directory without a verdict; one whose recipe is gone will do."""
    if not (folder / "verdict.json").exists():
        require_finished(folder, "verdict.json", "verdict")


def require_finished(folder: Path, file: str, what: str) -> None:
    if not folder.is_dir():
        raise RunError(f"run {folder}: {describe_missing(folder)}")
    if not (folder / "recipe.yaml").exists():
        raise RunError(f"run {folder}: it holds no recipe.yaml, so it is no run directory")
    if not (folder / file).exists():
        raise RunError(f"run {folder}: it has no {what} yet; finish it with: {resume_command(folder)}")


def class_names_of(folder: Path) -> list[str] | None:
    """The names of a run's classes in their order, where they have names."""
    return (Verdict.load(folder).classes or None) if (folder / "verdict.json").exists() else None


def resume_command(folder: Path, *options: str) -> str:
    """The line that goes on with a run. Its own recipe holds every change that the command line made to the first one, but no
    plugins, which are given by hand each time."""
    plugins = [f"--plugin={path}" for path in loaded_plugins]
    return shlex.join(["limbeck", "distill", str(folder / "recipe.yaml"), "--out", str(folder), "--resume", *plugins, *options])


def check_folder(recipe: Recipe, folder: Path, *, resume: bool, force: bool) -> None:
    """Refuse a directory that holds anything else than what `resume` or `force` was meant for; nothing is touched yet."""
    if resume and force:
        raise RunError("--resume goes on with a run and --force starts it over; give one of the two")
    if folder.exists() and not folder.is_dir():
        raise RunError(f"--out {folder} is a file; choose a directory")
    left = [path.name for path in folder.iterdir()] if folder.exists() else []
    if all(
        name == LOCK_FILE or name.startswith(".recipe.yaml.") for name in left
    ):  # left by a run that was killed at its start
        return
    written = folder / "recipe.yaml"
    if not written.exists():
        raise RunError(f"{folder} holds files that are no run, and they stay as they are; choose another --out")
    if not (resume or force):
        raise RunError(f"{folder} holds a run already; go on with --resume, start over with --force, or choose another --out")
    if resume:
        before = rename_old_keys(read_yaml(written.read_text(encoding="utf-8")), str(written))
        changed = changed_fields(before, recipe.model_dump(mode="json"))
        if changed:
            raise RunError(
                f"{folder} was begun with another recipe: {'; '.join(changed)}. Go on with its own: {resume_command(folder)}"
            )


def changed_fields(before: dict[str, Any], now: dict[str, Any]) -> list[str]:
    """What has changed since a run was begun, field by field; goals and exports may change, and seeds may be added."""
    free = ("targets", "description", "export")
    now, before = ({name: part[name] for name in part if name not in free} for part in (now, before))
    seeds = before.get("seeds")
    if isinstance(seeds, list) and now["seeds"][: len(seeds)] == seeds:
        now["seeds"] = seeds
    return list(_changed_fields(before, now, ""))


def _changed_fields(before: Any, now: Any, path: str) -> Iterator[str]:
    if isinstance(before, dict) and isinstance(now, dict):
        for name in dict.fromkeys([*before, *now]):
            yield from _changed_fields(before.get(name), now.get(name), f"{path}.{name}" if path else name)
    elif before != now:
        yield f"{path} was {before!r} and is {now!r}"


def prepare_folder(recipe: Recipe, folder: Path, *, resume: bool) -> None:
    """Make the directory and write the resolved recipe; what was there, `_refuse` has allowed to go."""
    if distributed.rank() == 0:
        if not resume:
            _clear(folder)
        recipe.write(folder / "recipe.yaml")
    barrier()


def _clear(folder: Path) -> None:
    """Empty a run directory, its recipe last: killed half-way, it is still seen to be a run."""
    left = [path for path in folder.iterdir() if path.name != LOCK_FILE]
    for path in sorted(left, key=lambda path: path.name == "recipe.yaml"):
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink()


def _print_data(console: Console, seen: Items, validation: Items | None, test: Items) -> None:
    labelled = len(seen.labelled())
    text = f"train {len(seen):,} items" + (f" ({labelled:,} with a label)" if labelled < len(seen) else "")
    console.print(f"[dim]{text} · validation {len(validation) if validation else 0:,} · test {len(test):,}[/dim]")
    if seen.class_names:
        named = ", ".join(f"{number} {name}" for number, name in enumerate(seen.class_names[:SHOWN_CLASSES]))
        more = f", … {len(seen.class_names)} in all" if len(seen.class_names) > SHOWN_CLASSES else ""
        console.print(f"[dim]classes: {named}{more}[/dim]", highlight=False)


def with_progress(training: Training, progress: bool) -> Training:
    return replace(training, settings=replace(training.settings, progress=progress))


__all__ = [
    "RecipeError",
    "RunError",
    "evaluate_run",
    "export_run",
    "load_or_train_teacher",
    "load_verdicts",
    "open_run",
    "profile_run",
    "require_verdict",
    "resume_command",
    "run_recipe",
]
