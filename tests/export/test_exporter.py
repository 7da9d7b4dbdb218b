"""Shipping: every file measured in its own runtime, and a failure that is a record and no end."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest
import torch
from rich.console import Console
from torch import Tensor, nn

from limbeck import models
from limbeck.evaluation import Export
from limbeck.evaluation.model_cost import Latency
from limbeck.export import (
    ExportError,
    Format,
    export_models,
    exporter,
    exports_table,
    formats,
    merge_records,
    peak_memory,
    profile,
    remarks,
)
from limbeck.export.costs import costs_table
from limbeck.export.onnx.format import Onnx
from limbeck.export.pytorch import PyTorch
from tests.export import students


@pytest.fixture
def no_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """Processes take seconds to start; one test below starts them."""
    monkeypatch.setattr(exporter, "peak_memory", lambda kind, path, shape: 10**6 * path.name.count("student"))


class Branching(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Linear(64, 10)

    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = self.head(images.flatten(1))
        if logits.sum() > 1e6:
            return -logits
        return logits


@pytest.mark.usefixtures("no_memory")
def test_each_file_is_measured_and_a_failure_leaves_the_others(tmp_path: Path) -> None:
    student, test = students.learnt(), students.test()
    models_by_role = {"student": student, "teacher": Branching()}
    records = export_models(
        models_by_role, students.train(), test, tmp_path, precisions=("fp32", "int8"), calibration_items=128
    )
    assert [(each.model, each.format, each.precision) for each in records] == [
        (model, *kind) for kind in (("pytorch", "fp32"), ("onnx", "fp32"), ("onnx", "int8")) for model in ("student", "teacher")
    ]
    by = {(each.model, each.format, each.precision): each for each in records}
    whole, small = by["student", "onnx", "fp32"], by["student", "onnx", "int8"]
    right = (student(students.images(test, len(test))).argmax(-1) == test.target).double().mean().item()
    assert whole.metric == by["student", "pytorch", "fp32"].metric == pytest.approx(right)
    assert whole.ci95 is not None
    assert whole.ci95[0] < right < whole.ci95[1]
    assert whole.max_abs_diff is not None
    assert whole.max_abs_diff < 1e-4
    for record in (whole, small):
        assert record.path == f"exports/student-{record.precision}.onnx"
        assert record.bytes == (tmp_path / record.path).stat().st_size
        assert record.latency_ms is not None
        assert 0 < record.latency_ms.median <= record.latency_ms.p95
        assert (record.opset, record.error, record.peak_memory_bytes) == (Onnx.opset, None, 10**6)
    assert small.bytes is not None
    assert whole.bytes is not None
    assert small.bytes < whole.bytes
    for precision in ("fp32", "int8"):
        failed = by["teacher", "onnx", precision]
        assert failed.path is None
        assert failed.metric is None
        assert "test_exporter.py" in str(failed.error)
        assert "torch.where" in str(failed.remedy)
    assert by["teacher", "pytorch", "fp32"].metric is not None
    assert sorted(path.name for path in (tmp_path / "exports").iterdir()) == ["student-fp32.onnx", "student-int8.onnx"]
    console = Console(width=120, record=True, quiet=False, file=(tmp_path / "shown").open("w"))
    console.print(exports_table(records))
    assert console.export_text().count("failed") == 2
    assert len([line for line in remarks(records) if "teacher" in line]) == 2


class Lossy(Format):
    """A format whose int8 answers always the same, and whose fp32 is not what the model computes."""

    name, suffix = "lossy", ".lossy"

    def _write(self, model: nn.Module, path: Path, example: Tensor, precision: str, *_: object) -> None:
        path.write_text(precision)

    def open(self, path: Path) -> exporter.Runner:
        return exporter.Runner(lambda inputs: torch.eye(10)[:1].repeat(len(inputs), 1), (1, 8, 8))


@pytest.mark.usefixtures("no_memory")
def test_lost_accuracy_and_wrong_files_are_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(formats._parts, "lossy", Lossy)
    made = []

    def aware() -> nn.Module:
        made.append(1)
        return students.learnt()

    job = {"student": students.learnt()}
    plain = export_models(job, students.train(), students.test(), tmp_path, into=("lossy",), precisions=("fp32", "int8"))
    trained = export_models(
        job, students.train(), students.test(), tmp_path, into=("lossy",), precisions=("int8",), aware=aware
    )
    assert plain[1].error is not None
    assert "does not compute what the model computes" in plain[1].error
    assert str(plain[2].error).startswith("no int8, since the float32 file of the model fails: the file does not compute")
    assert str(trained[1].error).startswith(
        "no int8, since the float32 file of the model fails"
    )  # checked although not asked for
    assert made == [1]
    monkeypatch.setattr(Lossy, "is_checked", False)
    lost = export_models(job, students.train(), students.test(), tmp_path, into=("lossy",), precisions=("int8",))
    assert str(lost[1].warning).startswith("int8 loses ")
    assert "export.quantization_aware in the recipe" in str(lost[1].remedy)
    trained = export_models(
        job, students.train(), students.test(), tmp_path, into=("lossy",), precisions=("int8",), aware=aware
    )
    assert "more epochs" in str(trained[1].remedy)
    assert {path.name for path in (tmp_path / "exports").iterdir()} == {"student-int8.lossy", "student-int8.lossy.json"}


class Forgetful(nn.Module):
    """A model whose dropout stays on."""

    def __init__(self) -> None:
        super().__init__()
        self.model = students.learnt()

    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = self.model(nn.functional.dropout(images, 0.3, training=True))
        return logits


@pytest.mark.usefixtures("no_memory")
@pytest.mark.parametrize("precisions", [("int8",), ("int8", "fp32")])
def test_there_is_no_int8_of_a_model_whose_float32_file_fails(tmp_path: Path, precisions: Sequence[str]) -> None:
    made = export_models({"student": Forgetful()}, students.train(), students.test(), tmp_path, precisions=precisions)
    int8 = next(record for record in made if record.precision == "int8")
    assert "no int8, since the float32 file of the model fails" in str(int8.error)
    assert "dropout left on" in str(int8.remedy)
    assert not list((tmp_path / "exports").iterdir())
    path, items = tmp_path / "student.onnx", students.images(students.test(), 4)
    path.write_bytes(b"an older file")
    with pytest.raises(ExportError, match="no int8, since"):
        formats.get("onnx").write(Forgetful(), path, items, precision="int8", calibration=[items])
    assert path.read_bytes() == b"an older file"
    assert [each.name for each in tmp_path.iterdir() if each.is_file()] == ["student.onnx"]


@pytest.mark.usefixtures("no_memory")
def test_precisions_of_a_model_are_timed_in_turns(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    together: list[list[str]] = []

    def latencies(models: dict[str, object], inputs: object, **options: object) -> dict[str, Latency]:
        together.append([name.replace("\n", " ") for name in models])
        return {name: Latency(float(len(together)), 9.0) for name in models}

    monkeypatch.setattr(exporter, "latencies", latencies)
    job = ({"student": students.learnt()}, students.train(), students.test(), tmp_path)
    first = export_models(*job, precisions=("fp32",))
    listed: list[Export] = []
    second = export_models(*job, precisions=("int8",), earlier=first, on_records=listed.extend)
    assert together == [["student"], ["student onnx fp32"], ["student"], ["student onnx int8", "student onnx fp32"]]
    assert [(record.format, record.precision) for record in second] == [("pytorch", "fp32"), ("onnx", "int8")]
    latest = {record.precision: record.latency_ms for record in listed}
    assert latest == {"fp32": Latency(4.0, 9.0), "int8": Latency(4.0, 9.0)}


@pytest.mark.usefixtures("no_memory")
@pytest.mark.usefixtures("no_memory")
@pytest.mark.parametrize("form", ["scripted", "traced", "part"])
def test_torchscript_is_named_with_what_to_do(tmp_path: Path, form: str) -> None:
    plain = nn.Sequential(nn.Flatten(), nn.Linear(64, 10)).eval()
    script = torch.jit.trace(plain, torch.zeros(2, 1, 8, 8)) if form == "traced" else torch.jit.script(plain)
    model, data = nn.Sequential(script) if form == "part" else script, (students.train(), students.test())
    (found,) = {
        (record.error, record.remedy)
        for record in export_models({"student": model}, *data, tmp_path, into=["onnx", "executorch"])
        if record.format != "pytorch"
    }
    what = "its part '0'" if form == "part" else "the model"
    remedy = "Build the Python model that it was made from and load the weights of its state_dict() into that"
    assert found == (f"{what} is TorchScript (Sequential), which no format can be made from", remedy)


def test_one_training_item_is_no_calibration(tmp_path: Path) -> None:
    one = students.train().select(torch.tensor([0]))
    records = export_models({"student": students.learnt()}, one, students.test(), tmp_path, precisions=("int8",))
    assert "at least two distinct" in str(records[1].error)


def test_new_records_take_the_place_of_older_ones_of_their_kind() -> None:
    def row(precision: str, size: int, model: str = "student") -> Export:
        return Export(model=model, format="onnx", precision=precision, path="exports/x", bytes=size)

    before = [row("fp32", 1), row("int8", 2), row("int8", 3, "teacher")]
    assert merge_records(before, [row("int8", 9)]) == [row("fp32", 1), row("int8", 3, "teacher"), row("int8", 9)]


def test_a_fresh_process_grows_by_what_a_model_holds(tmp_path: Path) -> None:
    sizes = {}
    for name, hidden in (("small", 8), ("large", 20_000)):
        model = models.get("mlp", inputs=256, hidden=(hidden,))
        PyTorch().write(model, tmp_path / name, torch.rand(2, 256))
        sizes[name] = peak_memory(PyTorch(), tmp_path / name, (256,))
        weights = sum(parameter.nbytes for parameter in model.parameters())
        assert sizes[name] > weights
    assert sizes["large"] - sizes["small"] > 20e6
    with pytest.raises(ExportError, match="a fresh process could not run gone"):
        peak_memory(PyTorch(), tmp_path / "gone", (256,))


def test_files_are_profiled_by_the_shape_that_they_state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from limbeck.export import costs

    monkeypatch.setattr(costs, "peak_memory", lambda kind, path, shape: 10**6)
    student = students.learnt()
    models.save_model(student, None, tmp_path / "student")
    formats.get("onnx").write(student, tmp_path / "s.onnx", torch.rand(2, 1, 8, 8))
    rows = profile({"folder": tmp_path / "student", "file": tmp_path / "s.onnx"})
    assert rows["folder"].parameters == models.count_parameters(student)
    assert rows["folder"].macs
    assert rows["file"].bytes == (tmp_path / "s.onnx").stat().st_size
    assert min(row.latency_ms.median for row in rows.values()) > 0
    assert len(costs_table(rows).rows) == 2
    models.save_model(models.get("resnet_cifar", depth=8, width=4), None, tmp_path / "conv")
    with pytest.raises(ExportError, match="--shape 3,32,32"):
        profile({"conv": tmp_path / "conv"})
    assert profile({"conv": tmp_path / "conv"}, (3, 8, 8))["conv"].macs
    with pytest.raises(ExportError, match=r"no run, no student's folder .* no \.pte or \.onnx file|no \.onnx or \.pte file"):
        profile({"x": Path(__file__)})
    with pytest.raises(FileNotFoundError):
        profile({"x": tmp_path / "gone.onnx"})
