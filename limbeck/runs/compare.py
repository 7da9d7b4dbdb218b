"""Runs a comparison: one teacher, one run per method, one verdict."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from rich.console import Console

from limbeck.engine import DeadTermError, NonFiniteError
from limbeck.evaluation import ComparisonVerdict, Predictions, build_comparison, environment, load_predictions
from limbeck.evaluation.arms import STUDENT, ArmName
from limbeck.evaluation.report import write_comparison
from limbeck.recipe import CONTROL, Comparison, Recipe
from limbeck.runs.distill import Loaded, check_recipe, run_recipe
from limbeck.runs.folder import RECIPE, RunError, lock_run, read_verdict
from limbeck.runs.own_files import MARKER, is_left_over, is_resolved, is_run, mark_run
from limbeck.runs.resume import changed_fields, read_resolved
from limbeck.runs.teacher import build_teacher, load_or_train_teacher
from limbeck.utils import distributed
from limbeck.utils.atomic_files import write_atomic
from limbeck.utils.folder_lock import FolderInUseError
from limbeck.utils.folder_names import child_folder
from limbeck.utils.terminal import shown

VERDICT_FILE = "comparison.json"
OLD_CONTROL = "alone"  # the folder of the control before verdict format 2
FAILURE_FILE = "failure.txt"  # why a variant failed; delete its folder to run it again


def run_comparison(
    comparison: Comparison, folder: Path, *, resume: bool = False, console: Console | None = None, progress: bool = True
) -> ComparisonVerdict | None:
    """Runs every variant in a folder of its own under `folder`, then compares them.

    Finished variants are kept; a stopped variant continues from its checkpoint. Several processes may work on one comparison
    (on one machine, or on a shared disk): each runs the variants that no other process runs. Returns None if other processes
    are still running variants; the process that finishes last writes the verdict.

    If the training of a variant fails (a loss that is NaN, a term without gradient), the reason is written to its folder, and
    the other variants continue.

    Raises:
        RunError: the folder holds another comparison, or this one and `resume` is not set.
        ValueError: data, models and terms of a variant do not fit; nothing is trained then.
    """
    distributed.initialize()
    console = console if console is not None and distributed.rank() == 0 else Console(quiet=True)
    _check_variants(comparison, folder, resume=resume)
    _prepare_folder(comparison, folder, resume=resume)
    weights = _teacher(comparison, folder, progress=progress)
    busy = []
    for place, name in enumerate(comparison.variants, start=1):
        run = child_folder(folder, name, "variants")
        if _is_finished(run):
            continue
        console.print(f"[bold]{shown(name)}[/bold]  {place} of {len(comparison.variants)}")
        try:
            run_recipe(comparison.variant(name, weights), run, resume=run.exists(), console=console, progress=progress)
        except FolderInUseError:
            busy.append(name)
        except (NonFiniteError, DeadTermError) as error:
            console.print(f"[red]{shown(name)} failed[/red]: {shown(error)}", highlight=False)
            write_atomic(run / FAILURE_FILE, f"{error}\n".encode())
    unfinished = [name for name in busy if not _is_finished(folder / name)]
    if unfinished:
        console.print(f"[yellow]still running in other processes: {shown(', '.join(unfinished))}[/yellow]")
        return None
    verdict = comparison_verdict(comparison, folder)
    if distributed.rank() == 0:
        verdict.save(folder / VERDICT_FILE)
        write_comparison(folder)
    return verdict


def comparison_verdict(comparison: Comparison, folder: Path) -> ComparisonVerdict:
    """Returns the verdict of all variants, from the files of their runs."""
    failed = {name: (folder / name / FAILURE_FILE) for name in comparison.variants if (folder / name / FAILURE_FILE).exists()}
    finished = [name for name in comparison.variants if name not in failed]
    if CONTROL in failed or not finished:
        raise RunError(f"{folder / CONTROL}: the control failed, so there is nothing to compare with; see {FAILURE_FILE} there")
    verdicts = {name: read_verdict(folder / name) for name in finished}
    predictions = {name: load_predictions(folder / name) for name in finished}
    first = next(iter(verdicts.values()))
    return build_comparison(
        {name: by_arm[str(ArmName(next(iter(verdicts[name].results)), STUDENT))] for name, by_arm in predictions.items()},
        _teacher_predictions(predictions),
        name=comparison.name,
        task=first.task,
        metric=first.metric,
        control=CONTROL,
        seeds=comparison.seeds,
        failed={name: path.read_text(encoding="utf-8").strip() for name, path in failed.items()},
        seconds={name: verdict.cost.wall_s for name, verdict in verdicts.items() if verdict.cost},
        environment=environment(),
    )


def _is_finished(run: Path) -> bool:
    return (run / "verdict.json").exists() or (run / FAILURE_FILE).exists()


def _teacher_predictions(predictions: Mapping[str, Mapping[str, Predictions]]) -> Predictions | None:
    return next((by_arm["teacher"] for by_arm in predictions.values() if "teacher" in by_arm), None)


def _prepare_folder(comparison: Comparison, folder: Path, *, resume: bool) -> None:
    """Checks that the folder is new or of this comparison, and writes the recipe. Other files are not changed."""
    _check_folder(comparison, folder, resume=resume)
    if distributed.rank() != 0:
        return
    try:
        with lock_run(folder):
            _check_folder(comparison, folder, resume=resume)  # since then another process may have started one here
            mark_run(folder)
            if (folder / OLD_CONTROL).is_dir() and OLD_CONTROL not in comparison.variants and not (folder / CONTROL).exists():
                (folder / OLD_CONTROL).rename(folder / CONTROL)
            comparison.write(folder / RECIPE)
    except FolderInUseError:  # by a process of the same comparison, which has written the recipe
        if not (resume and (folder / RECIPE).exists()):
            raise


def _check_variants(comparison: Comparison, folder: Path, *, resume: bool) -> None:
    """Checks all variants of a new comparison, before the teacher is trained and the folder holds anything."""
    _check_folder(comparison, folder, resume=resume)
    if (folder / RECIPE).exists():
        return
    loaded: Loaded | None = None  # all variants have the same data, models and training
    checked: set[tuple[bool, bool]] = set()
    for name in comparison.variants:
        try:
            place = child_folder(folder, name, "variants")
            models, data, _ = check_recipe(comparison.variant(name), place, Console(quiet=True), loaded, checked)
            loaded = models, data
        except ValueError as error:
            raise ValueError(f"variant {name}: {error}") from error


def _check_folder(comparison: Comparison, folder: Path, *, resume: bool) -> None:
    """Raises `RunError` if the folder holds anything but this comparison."""
    written = folder / RECIPE
    left = [path.name for path in folder.iterdir()] if folder.exists() else []
    if not all(is_left_over(name) for name in left) and not _is_comparison(folder):
        raise RunError(f"{folder} holds files that are no comparison; they are not changed; choose another --out")
    if written.exists():
        if not resume:
            raise RunError(f"{folder} holds a comparison already; continue it with --resume, or choose another --out")
        before = read_resolved(Comparison, written)
        now = comparison.model_dump(mode="json")
        common = set(before.get("variants", {})) & set(now["variants"])  # variants may be added and removed
        for side in (before, now):
            side["variants"] = {name: terms for name, terms in side.get("variants", {}).items() if name in common}
        changed = changed_fields(before, now)
        if changed:
            raise RunError(f"{folder} was started with another recipe: {'; '.join(changed)}. Choose another --out")


def _is_comparison(folder: Path) -> bool:
    """Whether a folder is that of a comparison: it has the marker, or it is from before there was one and holds runs."""
    if (folder / MARKER).exists() or (folder / VERDICT_FILE).exists():
        return (folder / RECIPE).exists()
    if not (folder / RECIPE).exists():
        return False
    return is_run(folder) or is_resolved(folder / RECIPE) or any(is_run(run.parent) for run in folder.glob(f"*/{RECIPE}"))


def _teacher(comparison: Comparison, folder: Path, *, progress: bool) -> str | None:
    """Trains the teacher once, if the recipe trains it. Returns the path of its weights, or None."""
    if comparison.teacher is None or comparison.teacher.training is None:
        return None
    recipe: Recipe = comparison.variant(next(iter(comparison.variants)))
    everything, *_ = recipe.load()
    assert everything is not None, "a comparison has training data"
    with lock_run(folder):
        load_or_train_teacher(recipe, build_teacher(recipe, everything), everything, folder, progress=progress)
    return str((folder / "teacher" / "model.safetensors").resolve())
