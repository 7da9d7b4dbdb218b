from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

pytest.importorskip("executorch")

from limbeck import models
from limbeck.export import ExportError
from limbeck.export.executorch.format import ExecuTorch
from limbeck.models import MissingPackageError
from limbeck.models.architectures.mobilenet_v3 import TABLES

SMALL: dict[str, tuple[dict[str, Any], tuple[int, ...]]] = {
    "resnet_cifar": ({"depth": 8}, (3, 12, 12)),
    "mobilenet_v3": ({"width": 0.25, "stride": 4, "classes": 5}, (3, 16, 16)),
    "mobile_resnet": ({"widths": (4, 6, 8), "blocks": (1, 1, 2), "squeeze": True}, (3, 12, 12)),
    "tiny_cnn": ({"width": 4, "size": 8, "separable": True}, (1, 8, 8)),
    "vit_tiny": ({"size": 8, "patch": 4, "dim": 12, "depth": 1}, (3, 8, 8)),
    "mlp": ({"inputs": 12, "hidden": (8,)}, (12,)),
}


@pytest.fixture(scope="module")
def executorch() -> ExecuTorch:
    return ExecuTorch()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("programs")


def written(name: str, precision: str, folder: Path) -> Path:
    """The small model as a file, made once for all tests."""
    path = folder / f"{name}-{precision}.pte"
    if not path.exists():
        model, items = lively(name)
        ExecuTorch().write(model, path, items, precision=precision, calibration=[items[:8], items[8:]])
    return path


@pytest.fixture
def file(folder: Path) -> Path:
    return written("mlp", "fp32", folder)


def lively(name: str) -> tuple[nn.Module, Tensor]:
    """A model of which every part matters to the result, and 16 items for it."""
    arguments, shape = SMALL[name]
    torch.manual_seed(0)
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(TABLES, "small", tuple(TABLES["small"][row] for row in (0, 1, 3, 4)))  # one block of each kind
        model, items = models.get(name, **arguments), torch.rand(16, *shape)
    with torch.no_grad():
        for module in model.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.weight.uniform_(0.5, 1.5)
                module.bias.uniform_(-0.5, 0.5)
                module.momentum = None
            if isinstance(module, nn.Linear):
                module.weight.normal_(std=module.in_features**-0.5)
        model.train()(items)  # statistics of real activations
    return model.eval(), items


@pytest.mark.parametrize("name", SMALL)
@torch.no_grad()
def test_every_model_agrees_with_pytorch(name: str, executorch: ExecuTorch, folder: Path) -> None:
    model, items = lively(name)
    run, expected = executorch.open(written(name, "fp32", folder)), model(items)
    assert run.shape == items.shape[1:]
    torch.testing.assert_close(run(items), expected, atol=1e-4, rtol=0)
    torch.testing.assert_close(run(items[3:4]), expected[3:4], atol=1e-4, rtol=0)


@pytest.mark.parametrize("name", SMALL)
@torch.no_grad()
def test_every_model_in_int8_stays_near(name: str, executorch: ExecuTorch, folder: Path) -> None:
    model, items = lively(name)
    found, expected = executorch.open(written(name, "int8", folder))(items), model(items)
    error = (found - expected).pow(2).mean() / (expected - expected.mean(0)).pow(2).mean()
    assert 0 < error < 0.1, "int8 differs, and by little of what tells these items apart to an untrained network"


def test_the_model_stays_as_it_is(executorch: ExecuTorch, tmp_path: Path) -> None:
    model, items = lively("tiny_cnn")
    model.train()
    before = copy.deepcopy(model.state_dict())
    executorch.write(model, tmp_path / "int8.pte", items, precision="int8", calibration=[items])
    assert model.training
    assert all(parameter.requires_grad for parameter in model.parameters())
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())


@torch.no_grad()
def test_images_in_channels_last_memory_are_read_as_they_are(executorch: ExecuTorch, tmp_path: Path) -> None:
    model, items = lively("tiny_cnn")
    model = model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    executorch.write(model, tmp_path / "plain.pte", items.to(memory_format=torch.channels_last))
    run = executorch.open(tmp_path / "plain.pte")
    torch.testing.assert_close(run(items.to(memory_format=torch.channels_last)), model(items), atol=1e-4, rtol=0)
    turned = items.transpose(2, 3)
    torch.testing.assert_close(run(turned), model(turned), atol=1e-4, rtol=0)


@pytest.mark.parametrize("name", ["resnet_cifar", "mobile_resnet"])
@pytest.mark.parametrize("precision", ["fp32", "int8"])
def test_a_convolutional_network_runs_in_one_piece(name: str, precision: str, folder: Path) -> None:
    from executorch.exir._serialize._program import deserialize_pte_binary

    (plan,) = deserialize_pte_binary(written(name, precision, folder).read_bytes()).program.execution_plan
    assert [delegate.id for delegate in plan.delegates] == ["XnnpackBackend"]
    assert plan.operators == []


def test_int8_weights_take_a_byte_each(folder: Path) -> None:
    plain, small = (written("resnet_cifar", precision, folder).stat().st_size for precision in ("fp32", "int8"))
    parameters = models.count_parameters(lively("resnet_cifar")[0])
    assert plain < 4 * parameters + 20_000
    assert small < parameters + 20_000


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lambda content: content[:-1], "truncated"),
        (lambda content: content[: len(content) // 2], "truncated"),
        (lambda content: content[:7], "not an ExecuTorch file"),
        (lambda _: b"", "not an ExecuTorch file"),
        (lambda _: b"\x08\x07onnx" * 100, "not an ExecuTorch file"),
        (lambda content: content[:8] + b"XXXX" + content[12:], "unknown header"),
        (lambda content: content[:40] + bytes(400) + content[440:], "damaged"),
        (lambda content: content[:64] + b"\xff" * 64 + content[128:], "damaged"),
    ],
)
def test_files_that_are_no_programs_are_refused(
    damage: Any, said: str, file: Path, executorch: ExecuTorch, tmp_path: Path
) -> None:
    path = tmp_path / "hostile.pte"
    path.write_bytes(damage(file.read_bytes()))
    with pytest.raises(ExportError, match=said) as caught:
        executorch.open(path)
    assert "hostile.pte" in str(caught.value)


def test_a_missing_file_and_inputs_of_another_shape(file: Path, executorch: ExecuTorch, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"nowhere\.pte"):
        executorch.open(tmp_path / "nowhere.pte")
    with pytest.raises(ExportError, match=r"inputs \[2, 3\]"):
        executorch.open(file)(torch.rand(2, 3))


class Applied(nn.Module):
    """A linear layer, then a function."""

    def __init__(self, name: str) -> None:
        super().__init__()
        self.linear, self.name = nn.Linear(4, 4), name

    def forward(self, x: Tensor) -> Tensor:
        x = self.linear(x)
        if self.name == "sort":
            return x.sort(-1).values
        if self.name == "custom":
            out: Tensor = torch.ops.limbeck_tests.twice(x)
            return out
        return torch.special.erfinv(x)


@torch.library.custom_op("limbeck_tests::twice", mutates_args=())
def twice(x: Tensor) -> Tensor:
    return x * 2


@twice.register_fake
def _(x: Tensor) -> Tensor:
    return torch.empty_like(x)


@pytest.mark.parametrize(("name", "operator"), [("sort", "aten::sort"), ("erfinv", "aten.erfinv"), ("custom", "limbeck_tests")])
def test_an_operator_that_the_runtime_lacks_is_named(name: str, operator: str, executorch: ExecuTorch, tmp_path: Path) -> None:
    with pytest.raises(ExportError, match=operator) as caught:
        executorch.write(Applied(name).eval(), tmp_path / "plain.pte", torch.rand(2, 4))
    assert "Replace the layer" in caught.value.remedy
    assert not (tmp_path / "plain.pte").exists()


def test_one_item_is_no_calibration(executorch: ExecuTorch, tmp_path: Path) -> None:
    model, items = lively("mlp")
    with pytest.raises(ValueError, match="at least two"):
        executorch.write(model, tmp_path / "int8.pte", items, precision="int8", calibration=[items[:1]])


def test_nothing_is_printed(file: Path, executorch: ExecuTorch, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    model, items = lively("mlp")
    executorch.write(model, tmp_path / "int8.pte", items, precision="int8", calibration=[items])
    executorch.open(file)(items)
    heard = capfd.readouterr()
    assert (heard.out, heard.err) == ("", "")


def test_without_executorch_the_install_command_is_said(
    file: Path, executorch: ExecuTorch, monkeypatch: pytest.MonkeyPatch
) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "executorch.runtime", None)
    with pytest.raises(MissingPackageError, match=r"pip install 'limbeck\[export\]'"):
        executorch.open(file)
