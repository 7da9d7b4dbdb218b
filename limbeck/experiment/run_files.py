"""The files that an experiment leaves in its folder: student, predictions, verdict, report."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from torch import nn

from limbeck.data import Items, TokenStorage
from limbeck.data.audio import SpectrogramStorage
from limbeck.data.table import EncodedTable
from limbeck.evaluation import Predictions, Verdict, save_predictions
from limbeck.models import save_model, save_weights, spec_of


def write_run(folder: Path, student: nn.Module, test: Items, predictions: Mapping[str, Predictions], verdict: Verdict) -> None:
    """Writes the verdict after everything that it speaks of, and the report last, which is made from it.

    Of a module that Limbeck has not built only the weights are saved, since only its user knows how to build it.
    """
    from limbeck.evaluation.report import write_report

    if spec_of(student) is not None:
        save_model(student, None, folder / "student")
    else:
        (folder / "student").mkdir(parents=True, exist_ok=True)
        save_weights(student, folder / "student" / "model.safetensors")
    if isinstance(test.storage, TokenStorage):
        test.storage.tokenizer.save_pretrained(folder / "student")
    if isinstance(test.storage, EncodedTable):
        test.storage.encoder.save(folder / "student")
    if isinstance(test.storage, SpectrogramStorage):
        test.storage.options.save(folder / "student")
    save_predictions(predictions, folder)
    verdict.save(folder / "verdict.json")
    write_report(folder)
