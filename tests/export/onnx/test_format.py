"""ONNX files: they compute what the model computes, any number of items at a time, and what cannot become one is explained."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import onnx
import pytest
import torch
from torch import Tensor, nn

from limbeck import models
from limbeck.export import ExportError, Format, formats
from limbeck.export.onnx.format import OPSET
from tests.export import students

SMALL: dict[str, tuple[dict[str, Any], tuple[int, ...]]] = {
    "resnet_cifar": ({"depth": 8, "width": 4}, (3, 12, 12)),
    "mobile_resnet": ({"widths": (4, 6, 8), "blocks": (1, 1, 2), "squeeze": True}, (3, 12, 12)),
    "vit_tiny": ({"size": 8, "patch": 4, "dim": 12, "depth": 1}, (3, 8, 8)),
    "mlp": ({"inputs": 12, "hidden": (8,)}, (12,)),
}


@pytest.fixture
def format() -> Format:
    found: Format = formats.get("onnx")
    return found


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("onnx") / "student.onnx"
    formats.get("onnx").write(students.learnt(), path, students.images(students.test(), 2))
    return path


@pytest.mark.parametrize("name", SMALL)
def test_a_file_computes_what_the_model_computes_and_leaves_it_as_it_was(name: str, format: Format, tmp_path: Path) -> None:
    args, shape = SMALL[name]
    torch.manual_seed(0)
    model = models.get(name, **args)
    with torch.no_grad():
        for _ in range(3):  # so that BatchNorm has statistics to be folded
            model(torch.rand(16, *shape))
    if len(shape) == 3:
        model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    layouts = [parameter.stride() for parameter in model.parameters()]
    assert model.training

    format.write(model, tmp_path / "model.onnx", torch.rand(1, *shape))

    assert model.training
    assert all(parameter.requires_grad for parameter in model.parameters())
    assert [parameter.stride() for parameter in model.parameters()] == layouts
    content = onnx.load(tmp_path / "model.onnx")
    onnx.checker.check_model(content, full_check=True)
    assert [(each.domain, each.version) for each in content.opset_import if each.domain == ""] == [("", OPSET)]
    runner = format.open(tmp_path / "model.onnx")
    assert runner.shape == shape
    model.eval()
    for count in (1, 2, 5):
        inputs = torch.rand(count, *shape)
        with torch.no_grad():
            assert torch.allclose(runner(inputs), model(inputs), atol=1e-4)


def test_int8_answers_like_the_student_from_a_smaller_file(format: Format, file: Path, tmp_path: Path) -> None:
    model, test = students.learnt(), students.test()
    inputs, target = students.images(test, len(test)), test.target
    calibration = students.images(students.train(), 256).split(64)
    format.write(model, tmp_path / "student.onnx", inputs, precision="int8", calibration=calibration)
    quantized, whole = format.open(tmp_path / "student.onnx")(inputs), format.open(file)(inputs)
    right = [(answer.argmax(-1) == target).double().mean() for answer in (quantized, whole)]
    assert right[1] > 0.8
    assert abs(right[0] - right[1]) < 0.02
    weights = [each for each in onnx.load(tmp_path / "student.onnx").graph.initializer if len(each.dims) == 4]
    assert weights
    assert all(each.data_type == onnx.TensorProto.INT8 for each in weights)


def test_a_file_says_nothing_of_the_machine_that_wrote_it(file: Path) -> None:
    content = file.read_bytes()
    for place in (Path(__file__).parents[3], Path.home(), Path(torch.__file__).parent):
        assert str(place).encode() not in content
    assert not onnx.load(file).graph.node[0].metadata_props


def test_models_of_other_libraries_return_more_than_a_tensor(format: Format, tmp_path: Path) -> None:
    class Output(nn.Module):
        def forward(self, inputs: Tensor) -> dict[str, Tensor]:
            return {"logits": inputs * 2, "hidden": inputs}

    format.write(Output(), tmp_path / "model.onnx", torch.rand(2, 3))
    assert torch.equal(format.open(tmp_path / "model.onnx")(torch.ones(4, 3)), torch.full((4, 3), 2.0))


# --- models that cannot be exported ----------------------------------------------------------------------------------


class Branching(nn.Module):
    def forward(self, inputs: Tensor) -> Tensor:
        if inputs.sum() > 0:  # the line to be named
            return inputs * 2
        return inputs


class Counting(nn.Module):
    def forward(self, inputs: Tensor) -> Tensor:
        return inputs[:, : int(inputs.max().item())]


class Particular(nn.Module):
    def forward(self, inputs: Tensor) -> Tensor:
        return inputs.reshape(2, -1)


class Looping(nn.Module):
    def forward(self, inputs: Tensor) -> Tensor:
        return torch.stack([item * 2 for item in inputs])  # the loop to be named


class Counted(nn.Module):
    def forward(self, inputs: Tensor) -> Tensor:
        found = []
        for row in range(len(inputs)):
            found.append(inputs[row] * 2)
        return torch.stack(found)


class Leaving(nn.Module):
    def forward(self, inputs: Tensor) -> Tensor:
        return torch.from_numpy(inputs.detach().numpy() * 2)


class TwoInputs(nn.Module):
    def forward(self, image: Tensor, text: Tensor) -> Tensor:
        return image + text


class NoTensor(nn.Module):
    def forward(self, inputs: Tensor) -> str:
        return "a cat"


class Determinant(nn.Module):
    def forward(self, inputs: Tensor) -> Tensor:
        return torch.linalg.eigvalsh(inputs @ inputs.mT)


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (Branching(), r"test_format\.py:\d+ \(if inputs\.sum\(\) > 0:.*torch\.where.*torch\.cond"),
        (Counting(), r"test_format\.py:\d+ \(return inputs\[.*the control flow depends on the values of a tensor"),
        (Particular(), r"number of items in a batch to a constant.*x\.shape\[0\]"),
        (Looping(), r"test_format\.py:\d+ \(return torch\.stack.*number of items in a batch.*not in a Python loop"),
        (Counted(), r"test_format\.py:\d+ \(for row in range.*number of items in a batch"),
        (Leaving(), r"test_format\.py:\d+ \(return torch\.from_numpy.*torch operators"),
        (TwoInputs(), r"TwoInputs does not run on one tensor.*'text'.*wrapper"),
        (NoTensor(), r"returns str.*wrapper"),
        (Determinant(), r"no operator for torch's aten[.:]\w*eigh"),
    ],
)
def test_what_cannot_be_exported_is_named_with_a_remedy(model: nn.Module, message: str, format: Format, tmp_path: Path) -> None:
    with pytest.raises(ExportError, match=message):
        format.write(model, tmp_path / "model.onnx", torch.rand(2, 3, 3))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("batches", [(), (torch.rand(1, 1, 8, 8),), (torch.zeros(5, 1, 8, 8), torch.zeros(2, 1, 8, 8))])
def test_ranges_are_not_guessed_from_one_item(batches: tuple[Tensor, ...], format: Format, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"at least two distinct.*a few hundred"):
        format.write(students.learnt(), tmp_path / "s.onnx", torch.rand(2, 1, 8, 8), precision="int8", calibration=batches)


def test_unknown_precisions_are_refused(format: Format, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no precision 'int4'; expected one of fp32, int8"):
        format.write(students.learnt(), tmp_path / "s.onnx", torch.rand(2, 1, 8, 8), precision="int4")


def test_a_missing_package_is_one_line(format: Format, file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(ImportError, match=r"^format 'onnx' needs onnxruntime: pip install 'limbeck\[export\]'$"):
        format.open(file)


# --- files that cannot be read ---------------------------------------------------------------------------------------


def test_damaged_and_foreign_files(format: Format, file: Path, tmp_path: Path) -> None:
    hurt = tmp_path / "hurt.onnx"
    for content in (file.read_bytes()[:1000], b"", b"\x89PNG no model at all"):
        hurt.write_bytes(content)
        with pytest.raises(ExportError, match=r"hurt\.onnx is truncated, or not an ONNX file"):
            format.open(hurt)
    with pytest.raises(FileNotFoundError, match=r"there is no file .*gone\.onnx"):
        format.open(tmp_path / "gone.onnx")


def test_an_operator_that_the_runtime_lacks_is_named(format: Format, tmp_path: Path) -> None:
    tensor = onnx.helper.make_tensor_value_info
    read, given = tensor("x", onnx.TensorProto.FLOAT, ["n", 3]), tensor("y", onnx.TensorProto.FLOAT, ["n", 3])
    for domain, operator in (("com.example", "Distil"), ("", "Bernstein")):
        node = onnx.helper.make_node(operator, ["x"], ["y"], domain=domain)
        graph = onnx.helper.make_graph([node], "one", [read], [given])
        opsets = [onnx.helper.make_opsetid("", OPSET), onnx.helper.make_opsetid("com.example", 1)]
        onnx.save(onnx.helper.make_model(graph, opset_imports=opsets, ir_version=10), tmp_path / "other.onnx")
        with pytest.raises(ExportError, match=rf"operator [\w.:]*{operator}, which this ONNX Runtime lacks"):
            format.open(tmp_path / "other.onnx")


def test_files_of_two_inputs_or_of_no_known_shape_are_refused(format: Format, tmp_path: Path) -> None:
    tensor = onnx.helper.make_tensor_value_info
    sides: list[Any] = [tensor(name, onnx.TensorProto.FLOAT, ["n", "w"]) for name in "ab"]
    given = [tensor("y", onnx.TensorProto.FLOAT, ["n", "w"])]
    for read, message in ((sides, "2 inputs and 1 outputs"), (sides[:1], "only the first axis dynamic")):
        node = onnx.helper.make_node("Add", ["a", read[-1].name], ["y"])
        graph = onnx.helper.make_graph([node], "sum", read, given)
        opsets = [onnx.helper.make_opsetid("", OPSET)]
        onnx.save(onnx.helper.make_model(graph, opset_imports=opsets, ir_version=10), tmp_path / "sum.onnx")
        with pytest.raises(ExportError, match=message):
            format.open(tmp_path / "sum.onnx")


def test_files_fixed_to_one_item_are_run_item_by_item(format: Format, tmp_path: Path) -> None:
    tensor = onnx.helper.make_tensor_value_info
    read, given = tensor("x", onnx.TensorProto.FLOAT, [1, 3]), tensor("y", onnx.TensorProto.FLOAT, [1, 3])
    graph = onnx.helper.make_graph([onnx.helper.make_node("Neg", ["x"], ["y"])], "minus", [read], [given])
    opsets = [onnx.helper.make_opsetid("", OPSET)]
    onnx.save(onnx.helper.make_model(graph, opset_imports=opsets, ir_version=10), tmp_path / "one.onnx")
    inputs = torch.rand(5, 3)
    assert torch.equal(format.open(tmp_path / "one.onnx")(inputs), -inputs)
