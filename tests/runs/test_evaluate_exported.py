"""Exported files on other data: in the folder of their run, and elsewhere with options."""

from __future__ import annotations

import shutil
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest
import torch
from torch import nn

from limbeck import models, runs
from limbeck.evaluation import Verdict
from limbeck.export import ExportError, exporter, formats
from limbeck.models import MissingPackageError
from limbeck.runs import FileOptions, RunError, evaluate_file
from tests import tiny
from tests.runs.images import write_images


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs") / "exported"
    kinds = "[onnx, executorch]" if find_spec("executorch") else "[onnx]"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(exporter, "peak_memory", lambda kind, path, shape: 10**6)
        runs.run_recipe(tiny.recipe(f"export={{formats: {kinds}, precisions: [fp32, int8]}}"), folder, progress=False)
    return folder


def accuracy(path: Path, options: FileOptions | None = None, split: str = "test") -> float:
    return float(evaluate_file(path, "digits", options, split=split).as_json()["accuracy"])


def test_every_file_of_a_run_has_the_accuracy_that_its_record_states(run: Path) -> None:
    records = [record for record in Verdict.load(run).exports if record.path is not None]
    assert {(record.model, record.precision) for record in records} >= {("student", "int8"), ("teacher", "fp32")}
    for record in records:
        found = evaluate_file(run / str(record.path), "digits", split="test").as_json()
        assert found["accuracy"] == pytest.approx(record.metric), record.path
        assert found["ci95"] == pytest.approx(list(record.ci95 or ())), record.path
        assert found["items"] == 599
        assert 0 <= found["ece"] <= 1
        assert found["file"] == str(run / str(record.path))
        assert (list(found["arms"]), found["gain"], found["retention"]) == (["student"], None, None)


def test_the_folder_of_a_student_is_evaluated_as_a_file_is(run: Path) -> None:
    assert accuracy(run / "student") == pytest.approx(Verdict.load(run).student.metric)


def test_a_file_elsewhere_states_its_own_input_shape(run: Path, tmp_path: Path) -> None:
    moved = tmp_path / "student.onnx"
    shutil.copy(run / "exports" / "student-fp32.onnx", moved)
    assert accuracy(moved) == pytest.approx(accuracy(run / "exports" / "student-fp32.onnx"))
    f1 = evaluate_file(moved, "digits", FileOptions(metric="f1"), split="test").as_json()
    assert f1["metric"] == "f1"
    write_images(tmp_path / "photos", [str(digit) for digit in range(10)], side=20)
    assert evaluate_file(moved, str(tmp_path / "photos")).as_json()["items"] == 30  # 20×20 pixels brought to 8×8


def test_class_names_of_the_run_number_the_classes(tmp_path: Path) -> None:
    """By themselves dog and emu would be 0 and 1."""
    write_images(tmp_path / "data", ["cat", "dog", "emu"])
    (tmp_path / "part").mkdir()
    for name in ("dog", "emu"):
        (tmp_path / "part" / name).symlink_to(tmp_path / "data" / name)
    where = f"{{path: {tmp_path}/data}}"
    changes = [
        f"data.train={where}",
        f"data.test={where}",
        "data.allow_shared_items=true",
        "data.validation=0",
        "control=false",
        "training.steps=30",
        "training.batch_size=4",
        "teacher.training.steps=1",
    ]
    folder = tmp_path / "run"
    runs.run_recipe(tiny.recipe(*changes), folder, progress=False)
    file = folder / "exports" / "student-fp32.onnx"
    formats.get("onnx").write(models.load_model(folder / "student"), file, torch.zeros(2, 1, 8, 8))
    for data in ("data", "part"):
        in_pytorch = runs.evaluate_run(folder, str(tmp_path / data)).as_json()
        assert evaluate_file(file, str(tmp_path / data)).as_json()["accuracy"] == in_pytorch["accuracy"]
    shutil.copy(file, tmp_path / "student.onnx")
    with pytest.raises(RunError, match=r"part: it has 2 classes, and .*student.onnx outputs 3.*classes.json"):
        evaluate_file(tmp_path / "student.onnx", str(tmp_path / "part"))


class Narrow(nn.Module):
    """Five classes, for the ten digits."""

    def __init__(self, inputs: int = 64) -> None:
        super().__init__()
        self.layer = nn.Linear(inputs, 5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.layer(x.flatten(1))


def test_what_does_not_fit_is_named_with_its_remedy(run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = run / "exports" / "student-fp32.onnx"
    with pytest.raises(FileNotFoundError, match=r"there is no file .*no.onnx"):
        evaluate_file(tmp_path / "no.onnx", "digits")
    with pytest.raises(ExportError, match=r"recipe.yaml is no run, no student's folder \(config.json\) and no .*\.onnx"):
        evaluate_file(run / "recipe.yaml", "digits")
    (tmp_path / "broken.onnx").write_bytes(file.read_bytes()[:200])
    with pytest.raises(ExportError, match=r"broken.onnx is truncated, or not an ONNX file"):
        evaluate_file(tmp_path / "broken.onnx", "digits")
    formats.get("onnx").write(Narrow(), tmp_path / "narrow.onnx", torch.zeros(2, 1, 8, 8))
    with pytest.raises(ValueError, match=r"digits: labels go up to 9, but the file narrow.onnx outputs 5 classes"):
        evaluate_file(tmp_path / "narrow.onnx", "digits")
    formats.get("onnx").write(Narrow(128), tmp_path / "wide.onnx", torch.zeros(2, 2, 8, 8))
    with pytest.raises(RunError, match=r"digits: its inputs are 1×8×8, and .*wide.onnx reads 2×8×8; give data of that kind"):
        evaluate_file(tmp_path / "wide.onnx", "digits")
    with pytest.raises(ValueError, match=r"unknown task 'clasification'; nearest: classification"):
        accuracy(tmp_path / "narrow.onnx", FileOptions(task="clasification"))
    with pytest.raises(ValueError, match=r"metric: 'pearson' is no metric of classification; choose one of accuracy"):
        accuracy(file, FileOptions(metric="pearson"))
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(MissingPackageError, match=r"format 'onnx' needs onnxruntime: pip install 'limbeck\[export\]'"):
        evaluate_file(file, "digits")
