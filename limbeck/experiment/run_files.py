"""The files that an experiment leaves in its folder: student and control, predictions, verdict, report."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from torch import nn

from limbeck.data import Items
from limbeck.data.fields import save_preprocessing
from limbeck.evaluation import Predictions, Verdict, save_predictions
from limbeck.models import save_model, save_weights, spec_of
from limbeck.models.saving import name_classes
from limbeck.utils.atomic_files import new_folder
from limbeck.utils.checksums import write_checksums


def write_run(
    folder: Path, models: Mapping[str, nn.Module], test: Items, predictions: Mapping[str, Predictions], verdict: Verdict
) -> None:
    """Writes the verdict after everything that it speaks of, and the report last, which is made from it.

    Of a module that Limbeck has not built only the weights are saved, since only its user knows how to build it.

    Args:
        models: by the path of their folder within that of the run; they read the same tokens.
    """
    from limbeck.evaluation.report import write_report

    for name, model in models.items():
        _save_with_preprocessing(model, test, folder / name)
    save_predictions(predictions, folder)
    verdict.save(folder / "verdict.json")
    write_report(folder)


def _save_with_preprocessing(model: nn.Module, items: Items, folder: Path) -> None:
    """Writes a model with the names of its classes, and how items become its inputs."""
    name_classes(model, items.class_names)
    with new_folder(folder) as draft:
        if spec_of(model) is not None:
            save_model(model, None, draft)
        else:
            save_weights(model, draft / "model.safetensors")
        save_preprocessing(items, draft)
        write_checksums(draft)
