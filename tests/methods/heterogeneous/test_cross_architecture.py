"""Cross-architecture distillation: both projectors learn with the student, and the teacher gets no gradient."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from limbeck import methods, models
from limbeck.core.actors import frozen
from limbeck.core.batch import Batch
from limbeck.core.errors import TermError
from tests.methods.two_samples import TASK, Y, criterion

IMAGES = torch.rand(2, 3, 16, 16, generator=torch.Generator().manual_seed(0))
GIVEN = Batch({"default": IMAGES}, target=Y)


def cnn() -> Any:
    torch.manual_seed(0)
    return models.resnet_cifar(depth=8, width=4, classes=3)


def vit() -> Any:
    torch.manual_seed(1)
    return models.vit_tiny(dim=8, depth=2, heads=2, size=16, patch=4, classes=3)


def made(student: Any, teacher: Any, **arguments: Any) -> Any:
    terms = methods.cross_architecture(task=TASK, **arguments)["terms"]
    return criterion(terms, {"student": student, "teacher": frozen(teacher)}, GIVEN)


def test_attention_of_the_teacher_is_learned_by_the_layers_below_the_tap_and_the_projector() -> None:
    student, teacher = cnn(), vit()
    loss = made(student, teacher, attention={"layer2": "blocks.1.attn"})
    values = loss(GIVEN)
    values["partial_cross_attention"].backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in student.layer2.parameters() if p.ndim > 1)
    assert all(p.grad is None for p in [*student.layer3.parameters(), *student.linear.parameters(), *teacher.parameters()])
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in loss.adapters.parameters() if p.ndim > 1)


def test_the_loss_is_that_of_the_teachers_own_matrices() -> None:
    student, teacher = cnn().eval(), vit().eval()
    loss = made(student, teacher, attention={"layer2": "blocks.1.attn"}).eval()
    found = loss(GIVEN)["partial_cross_attention"]
    seen: dict[str, torch.Tensor] = {}
    student.layer2.register_forward_hook(lambda module, args, out: seen.update(map=out))
    teacher.blocks[1].attn.qkv.register_forward_hook(lambda module, args, out: seen.update(qkv=out))
    student(IMAGES), teacher(IMAGES)
    theirs = [part[:, 1:].unflatten(-1, (2, 4)).transpose(1, 2) for part in seen["qkv"].chunk(3, -1)]
    pooled = torch.nn.functional.avg_pool2d(seen["map"], 2)  # 8 × 8 positions to the teacher's 4 × 4 patches
    convolutions = [m for m in loss.adapters.modules() if isinstance(m, torch.nn.Conv2d)]
    ours = [layer(pooled).flatten(2).mT.unflatten(-1, (2, 4)).transpose(1, 2) for layer in convolutions]

    def attend(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
        return (q @ k.mT / 2).softmax(-1) @ v

    relations = ours[2] @ ours[2].mT / 2 - theirs[2] @ theirs[2].mT / 2
    expected = (attend(*ours) - attend(*theirs)).square().mean() + relations.square().mean()
    torch.testing.assert_close(found, expected)


@pytest.mark.parametrize("inverse", [False, True])
def test_features_are_projected_group_by_group_in_both_directions(inverse: bool) -> None:
    student, teacher = (vit(), cnn()) if inverse else (cnn(), vit())
    pair = {"blocks.1": "layer3"} if inverse else {"layer3": "blocks.1"}
    loss = made(student, teacher, features=pair)
    loss(GIVEN)["group_linear"].backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in loss.adapters.parameters())
    assert all(p.grad is None for p in teacher.parameters())


def test_a_teacher_without_attention_has_none_to_teach() -> None:
    with pytest.raises(ValueError, match="holds no attention modules"):
        made(vit(), cnn(), attention={"blocks.1": "layer3"})


def test_a_tap_behind_the_pooling_is_refused() -> None:
    with pytest.raises(TermError, match="no positions in common"):
        made(cnn(), vit(), features={"linear": "blocks.1"})


@pytest.mark.parametrize(
    ("arguments", "message"),
    [({}, "neither features nor attention"), ({"features": {"a": "b"}, "feature_weight": 0.0}, "feature_weight is 0")],
)
def test_values_out_of_range_are_refused(arguments: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        methods.cross_architecture(task=TASK, **arguments)
