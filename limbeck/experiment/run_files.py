"""The files that an experiment leaves in its folder: student and control, predictions, verdict, report."""

from __future__ import annotations

import shutil
import warnings
from collections.abc import Mapping
from pathlib import Path

from torch import nn

from limbeck.data import Items
from limbeck.data.fields import save_preprocessing
from limbeck.evaluation import Export, Predictions, Verdict, save_predictions
from limbeck.models import save_weights
from limbeck.models.base import spec_of
from limbeck.models.read_back import can_be_saved_whole, saving_problem
from limbeck.models.saving import name_classes
from limbeck.models.weights import weights_digest
from limbeck.utils import distributed
from limbeck.utils.atomic_files import new_folder
from limbeck.utils.checksums import write_checksums
from limbeck.utils.disk_full import explain_disk_full

KEPT = "What was saved before is complete; make room, then continue with --resume (in Python: resume=True)"


def write_run(
    folder: Path, models: Mapping[str, nn.Module], test: Items, predictions: Mapping[str, Predictions], verdict: Verdict
) -> None:
    """Writes the verdict after everything that it speaks of, and the report last, which is made from it.

    Each model is loaded again and compared. Of one that Limbeck cannot build, or that was altered after it was built, only the
    weights are saved, since only its user knows how to build it.

    Args:
        models: by the path of their folder within that of the run; they read the same tokens.

    Raises:
        DiskFullError: the disk is full; every file is whole, the older one or the new one.
    """
    from limbeck.evaluation.report import write_report

    with explain_disk_full(folder, KEPT):
        for name, model in models.items():
            _save_with_preprocessing(model, test, folder / name)
        save_predictions(predictions, folder)
        verdict.save(folder / "verdict.json")
        write_report(folder)


def kept_exports(folder: Path, models: Mapping[str, nn.Module]) -> list[Export]:
    """Returns the records of the verdict in a folder whose files are there and have the weights of these models.

    Args:
        models: by the name of the result; the teacher too.
    """
    try:
        earlier = Verdict.load(folder).exports
    except (OSError, ValueError):  # there is none yet, or a damaged one
        return []
    weights = {name: weights_digest(model) for name, model in models.items() if earlier}
    same = [record for record in earlier if record.weights is not None and record.weights == weights.get(record.model)]
    return [record for record in same if record.path is None or (folder / record.path).is_file()]


def _save_with_preprocessing(model: nn.Module, items: Items, folder: Path) -> None:
    """Writes a model with the names of its classes, and how items become its inputs."""
    name_classes(model, items.class_names)
    with new_folder(folder) as draft:
        problem = saving_problem(model, draft) if can_be_saved_whole(model) else ""
        if problem is not None:
            _keep_weights_only(model, draft, problem, folder.name)
        save_preprocessing(items, draft)
        write_checksums(draft)


def warn_if_not_loadable(model: nn.Module, who: str) -> None:
    """Warns, before a training, of a model of which only the weights can be kept.

    Only the first process does: it is the one that writes, and Transformers writes no weights in the others.
    """
    if distributed.rank() == 0 and can_be_saved_whole(model) and (problem := _known_problem(model)):
        warnings.warn(f"{who}: {_NOT_LOADABLE} ({problem}): {_REMEDY}", stacklevel=2)


def _known_problem(model: nn.Module) -> str | None:
    """Returns what is wrong with saving a model; saves it once for all models that are built and altered alike."""
    layout = [(name, tuple(tensor.shape), str(tensor.dtype)) for name, tensor in model.state_dict().items()]
    key = repr((spec_of(model), model, layout))
    if spec_of(model) is None:  # a library writes its configuration
        return saving_problem(model)
    if key not in _PROBLEMS:
        _PROBLEMS[key] = saving_problem(model)
    return _PROBLEMS[key]


_PROBLEMS: dict[str, str | None] = {}
_NOT_LOADABLE = "it would not be loaded as it is from a folder of its own, as if it had been altered after it was built"
_REMEDY = (
    "only its weights are kept, and limbeck evaluate and export do not find it. Alter it in a function that builds it "
    "(a plugin, or limbeck.models.registry.register)"
)


def _keep_weights_only(model: nn.Module, folder: Path, problem: str, name: str) -> None:
    """Leaves nothing in a folder but the weights, because its configuration builds another model.

    Args:
        name: what the warning calls the model.
    """
    if problem:
        warnings.warn(f"{name}: {_NOT_LOADABLE} ({problem}): {_REMEDY}", stacklevel=3)
    for path in folder.iterdir():
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    save_weights(_unwrapped(model), folder / "model.safetensors")


def _unwrapped(model: nn.Module) -> nn.Module:
    """The model within the wrappers of torch.compile and DataParallel, whose names of weights no other model has."""
    while isinstance(inner := getattr(model, "module" if isinstance(model, nn.DataParallel) else "_orig_mod", None), nn.Module):
        model = inner
    return model
