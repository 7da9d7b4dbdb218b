"""The files that a run leaves."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import safetensors.torch
import torch
from torch import nn

import limbeck
from limbeck.data import Items
from limbeck.models import load_weights
from tests.experiment.tiny_classifiers import QUICK, Own, equal


def test_a_module_of_ones_own_is_kept_with_its_folder(teacher: nn.Module, train: Items, test: Items, tmp_path: Path) -> None:
    outcome = limbeck.distill(teacher, Own(4), train, test, training=QUICK, folder=tmp_path / "run")
    again = Own(4)
    load_weights(again, tmp_path / "run" / "student" / "model.safetensors")
    assert equal(again, outcome.student)
    assert (tmp_path / "run" / "report.html").exists()
    with pytest.raises(ValueError, match=r"holds a run already; continue it with resume=True"):
        limbeck.distill(teacher, Own(4), train, test, training=QUICK, folder=tmp_path / "run")
    assert limbeck.Verdict.load(tmp_path / "run").arms == outcome.verdict.arms


@pytest.mark.parametrize(
    "wrap", [nn.DataParallel, lambda model: torch.compile(model, backend="eager")], ids=["parallel", "compiled"]
)
def test_wrappers_leave_no_trace_in_the_names_of_weights(
    wrap: Callable[[nn.Module], nn.Module], teacher: nn.Module, train: Items, test: Items, tmp_path: Path
) -> None:
    options = {"training": QUICK, "control": False}
    student = limbeck.distill(teacher, wrap(Own(4)), train, test, folder=tmp_path / "run", **options).student
    found = safetensors.torch.load_file(tmp_path / "run" / "student" / "model.safetensors")
    again = Own(4)
    again.load_state_dict(found)
    assert equal(again, student)
