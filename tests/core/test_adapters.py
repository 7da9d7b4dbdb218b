"""How shapes meet."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from limbeck.core.adapter_layers import Resize
from limbeck.core.adapters import Adapter, build_adapter
from limbeck.core.errors import AdapterError
from limbeck.core.signals import Match
from limbeck.utils.registry import UnknownNameError

MAP, WIDE, SMALL = (2, 3, 8, 8), (2, 5, 8, 8), (2, 5, 4, 4)


def build(spec, student, teacher, match=Match.EVERYTHING) -> Adapter | None:
    torch.manual_seed(0)
    return build_adapter(spec, student, teacher, match)


def kinds(adapter) -> list[str]:
    """The names of the layers that the student's signal passes."""
    return [type(m).__name__ for m in adapter.student_path.modules() if not list(m.children())]


@pytest.mark.parametrize(
    ("student", "teacher"),
    [
        (MAP, WIDE),
        (MAP, SMALL),
        (SMALL, MAP),
        ((2, 3, 4, 8), (2, 5, 8, 4)),
        ((2, 3), (2, 5)),
        ((2, 7, 3), (2, 7, 5)),
        ((2, 17, 3), (2, 65, 5)),  # class tokens on both sides, 4×4 and 8×8 patches
        ((2, 16, 3), (2, 17, 5)),  # a class token on the teacher's side only
        ((2, 18, 3), (2, 16, 5)),  # class and distillation token on the student's
        (MAP, (2, 17, 5)),
        ((2, 17, 3), WIDE),
        (MAP, (2, 5)),
    ],
)
def test_every_pair_of_kinds_ends_in_one_shape(student, teacher):
    adapter = build("auto", student, teacher)
    ours, theirs = adapter(torch.randn(student), torch.randn(teacher))
    assert ours.shape == theirs.shape
    assert not list(adapter.teacher_path.parameters())
    assert list(adapter.student_path.parameters())  # before any optimizer exists
    ours.square().sum().backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in adapter.parameters() if p.ndim > 1)


def test_class_tokens_are_dropped_and_patches_keep_their_places():
    teacher = torch.randn(2, 17, 3)
    ours, theirs = build("auto", (2, 3, 4, 4), (2, 17, 3))(teacher[:, 1:].transpose(1, 2).reshape(2, 3, 4, 4), teacher)
    assert torch.equal(ours, theirs)
    assert torch.equal(theirs, teacher[:, 1:])


def test_nothing_is_built_that_the_objective_does_not_need():
    assert build("auto", MAP, MAP) is None
    assert build("auto", MAP, WIDE, Match.SPACE) is None
    assert build("auto", WIDE, SMALL, Match.CHANNELS) is None
    assert build("auto", (2, 9), (2, 4), Match.NOTHING) is None
    assert build("none", MAP, SMALL) is None
    assert build(None, MAP, SMALL) is None


def test_only_the_axes_that_must_agree_are_changed():
    assert kinds(build("auto", MAP, SMALL, Match.SPACE)) == ["Resize"]
    assert kinds(build("auto", MAP, SMALL, Match.CHANNELS)) == ["Conv2d", "BatchNorm2d"]
    assert kinds(build("conv", MAP, SMALL, Match.NOTHING)) == ["Conv2d"]


def test_resizing_comes_where_there_is_less_to_compute():
    assert kinds(build("conv", MAP, SMALL)) == ["Resize", "Conv2d"]
    assert kinds(build("conv", SMALL, MAP)) == ["Conv2d", "Resize"]


def test_resizing_averages_down_and_interpolates_up():
    x = torch.randn(2, 3, 8, 8)
    torch.testing.assert_close(Resize((4, 4))(x), F.avg_pool2d(x, 2))
    torch.testing.assert_close(Resize((16, 16))(x), F.interpolate(x, (16, 16), mode="bilinear", align_corners=False))


def test_named_bridges_are_built_even_where_channels_agree():
    assert kinds(build("conv", MAP, MAP)) == ["Conv2d"]
    assert kinds(build("conv_bn", MAP, WIDE)) == ["Conv2d", "BatchNorm2d"]
    assert kinds(build("linear", (2, 3), (2, 3))) == ["Linear"]
    adapter = build("conv", MAP, WIDE)
    x = torch.randn(MAP)
    weight, bias = adapter.parameters()
    expected = torch.einsum("oc,bchw->bohw", weight[:, :, 0, 0], x) + bias[:, None, None]
    torch.testing.assert_close(adapter(x, torch.randn(WIDE))[0], expected)


def test_a_module_of_your_own_sees_the_students_signal_only():
    double = nn.Linear(3, 3, bias=False)
    x, t = torch.randn(2, 3), torch.randn(2, 4)
    ours, theirs = build(double, (2, 3), (2, 4))(x, t)
    assert torch.equal(ours, double(x))
    assert theirs is t


@pytest.mark.parametrize(
    ("spec", "student", "teacher"),
    [
        ("auto", (2, 3), MAP),
        ("auto", (2, 3), (2, 7, 3)),
        ("auto", (2, 7, 3), (2, 3)),
        ("auto", (2, 3, 4, 4, 4), MAP),
        ("auto", MAP, (2, 15, 3)),
        ("auto", (2, 15, 3), (2, 16, 3)),
        ("linear", MAP, WIDE),
        ("conv", (2, 3), (2, 5)),
        ("conv_bn", (2, 7, 3), (2, 7, 5)),
    ],
)
def test_a_refusal_names_both_shapes(spec, student, teacher):
    with pytest.raises(AdapterError) as refusal:
        build(spec, student, teacher)
    assert str(student) in str(refusal.value)
    assert str(teacher) in str(refusal.value)


def test_an_unknown_bridge_offers_the_nearest():
    with pytest.raises(UnknownNameError, match=r"unknown adapter 'cov'; nearest: conv"):
        build("cov", MAP, WIDE)
