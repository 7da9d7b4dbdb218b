from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

pytest.importorskip("executorch")
pytest.importorskip("torchao")

from limbeck import models
from limbeck.export.base import frozen_copy
from limbeck.export.executorch.xnnpack_lowering import capture_graph
from limbeck.export.quantization.qat import FakeQuantized, fold_batchnorm, quantization_aware
from tests.export.quantization.test_pt2e import QUIET, accuracy, digits, images, in_int8, trained_on_digits


@torch.no_grad()
def uneven(model: nn.Module, factor: float) -> nn.Module:
    """The same function, of which every fourth channel is `factor` times as loud inside: one range for all channels of an
    activation then leaves the others a few of its 256 steps (Nagel et al. 2019, arXiv:1906.04721, on MobileNets)."""
    loud = copy.deepcopy(model)
    for one, following in ((loud.layer1[0], loud.layer2[0]), (loud.layer2[0], loud.layer3[0])):  # type: ignore[index]
        norm, convolution = one[1], following[0]
        norm.weight[::4] *= factor
        norm.bias[::4] *= factor
        convolution.weight[:, ::4] /= factor
    return loud.eval()


def test_what_int8_takes_from_a_student_is_regained() -> None:
    train, teacher = digits()[0], trained_on_digits()
    student, calibration = uneven(teacher, 40), images(train)[:256]
    before, plain = accuracy(student), accuracy(in_int8(student, calibration))
    assert plain < before - 0.005, "the case must be one that needs it"
    hardened = quantization_aware(student, teacher, train, epochs=8, lr=3e-3, batch_size=64, settings=QUIET)
    assert accuracy(in_int8(hardened, calibration)) >= before - 0.005


def test_student_and_teacher_stay_as_they_are_and_the_result_is_one_like_them(tmp_path: Path) -> None:
    student, teacher, train = trained_on_digits(), models.get("tiny_cnn", width=4, size=8), digits()[0].select(torch.arange(64))
    before = copy.deepcopy([student.state_dict(), teacher.state_dict()])
    teacher.train()
    hardened = quantization_aware(student, teacher, train, epochs=1, lr=1e-3, batch_size=32, settings=QUIET)
    assert teacher.training
    for now, old in zip([student.state_dict(), teacher.state_dict()], before, strict=True):
        assert all(torch.equal(now[name], old[name]) for name in old)
    assert not torch.equal(hardened.linear.weight, student.linear.weight)  # type: ignore[union-attr, arg-type]
    assert [p.requires_grad for p in hardened.parameters()] == [p.requires_grad for p in student.parameters()]
    models.save_model(hardened, None, tmp_path / "student")
    x = images(train)
    assert torch.equal(models.load_model(tmp_path / "student")(x), hardened(x))


def test_a_stage_that_was_stopped_goes_on_as_if_it_had_not_been(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    train = digits()[0].select(torch.arange(96))
    options: dict[str, Any] = {
        "epochs": 4,
        "lr": 1e-3,
        "batch_size": 32,
        "views": [{"random_crop": {"padding": 1}}],
        "settings": QUIET,
    }
    whole = quantization_aware(trained_on_digits(), trained_on_digits(), train, **options)
    compute = FakeQuantized.forward

    def stopped(self: FakeQuantized, inputs: Tensor) -> Tensor:
        if int(self.seen) > 10:  # in the last epoch, when ranges stand still
            raise KeyboardInterrupt
        return compute(self, inputs)

    with monkeypatch.context() as patch:
        patch.setattr(FakeQuantized, "forward", stopped)
        with pytest.raises(KeyboardInterrupt):
            quantization_aware(trained_on_digits(), trained_on_digits(), train, folder=tmp_path, **options)
    resumed = quantization_aware(trained_on_digits(), trained_on_digits(), train, folder=tmp_path, resume=True, **options)
    expected = whole.state_dict()
    assert all(torch.equal(value, expected[name]) for name, value in resumed.state_dict().items())


@torch.no_grad()
def test_ranges_follow_the_first_batches_of_training_only() -> None:
    x = images(digits()[0])[:32]
    shadow = FakeQuantized(frozen_copy(trained_on_digits()), x, observed_batches=2)

    def ranges() -> list[Tensor]:
        return [each.scale.clone() for each in shadow._activations]

    def moved_by(inputs: Tensor) -> bool:
        before = ranges()
        shadow(inputs)
        return any(not torch.equal(old, new) for old, new in zip(before, ranges(), strict=True))

    assert not shadow.eval().training
    assert not moved_by(5 * x), "evaluation leaves no trace"
    shadow.train()
    assert moved_by(5 * x)
    assert moved_by(9 * x)
    assert not moved_by(20 * x)


@torch.no_grad()
def test_folding_keeps_the_function_and_leaves_a_bias() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Conv2d(2, 4, 3),  # with a bias of its own
        nn.BatchNorm2d(4, eps=0.1),
        nn.BatchNorm2d(4),  # behind the convolution too, once the first is folded
        nn.Conv2d(4, 4, 1, groups=2, bias=False),
        nn.BatchNorm2d(4, affine=False),
    )
    for each in (model[1], model[2], model[4]):
        each.running_mean.normal_()  # type: ignore[union-attr, operator]
        each.running_var.uniform_(0.5, 2)  # type: ignore[union-attr, operator]
    for each in (model[1], model[2]):
        each.weight.normal_()  # type: ignore[union-attr, operator]
        each.bias.normal_()  # type: ignore[union-attr, operator]
    x = torch.randn(3, 2, 6, 6)
    expected = model.eval()(x)
    graph = capture_graph(frozen_copy(model), x, any_batch=True)
    fold_batchnorm(graph)
    kept = [node for node in graph.graph.nodes if node.target is torch.ops.aten.batch_norm.default]
    assert len(kept) == 1, "the last has no parameters that could hold a bias"
    torch.testing.assert_close(graph(x), expected, atol=1e-5, rtol=1e-5)
    model.load_state_dict(graph.state_dict())
    torch.testing.assert_close(model(x), expected, atol=1e-5, rtol=1e-5)
