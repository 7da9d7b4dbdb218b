"""A model that does not take the images of the data is told from its message, with the images that it takes."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from limbeck import Distillation, models
from limbeck.data import Items
from limbeck.tasks.image_limits import accepted_images

IMAGES = Items.from_tensors(torch.rand(20, 1, 16, 16), torch.arange(20) % 10)


def conv(channels: int) -> nn.Module:
    return nn.Sequential(nn.Conv2d(channels, 4, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 10))


@pytest.mark.parametrize("role", ["student", "teacher"])
@pytest.mark.parametrize(
    ("model", "taken", "change"),
    [
        (conv(3), "3×16×16", "channels: 3"),
        (models.get("vit_tiny", classes=10, channels=1), "1×32×32", "size: 32"),
        (nn.Sequential(nn.Conv2d(3, 1, 1), nn.Flatten(), nn.Linear(28 * 28, 10)), "3×28×28", "channels: 3 and size: 28"),
    ],
)
def test_channels_and_size_are_named_before_training(role: str, model: nn.Module, taken: str, change: str) -> None:
    pair = {"student": conv(1), "teacher": conv(1), role: model}
    said = rf"training data: the {role} .* it takes images of {taken}, and these are 1×16×16: set {change} of all data"
    with pytest.raises(ValueError, match=said):
        Distillation(pair["student"], pair["teacher"]).check(IMAGES)


class Unnamed(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.net = conv(1)

    def forward(self, x: torch.Tensor) -> dict[str, torch.Tensor]:
        return {"out": self.net(x)}


@pytest.mark.parametrize(
    ("teacher", "said"),
    [
        (conv(1).bfloat16(), r"its parameters are bfloat16, and inputs are float32: hand over model\.float\(\)"),
        (Unnamed(), r"cannot read it: the model returned dict with the keys out, in which no logits"),  # the images fit
    ],
)
def test_a_model_that_fails_on_something_else_is_not_said_to_want_other_images(teacher: nn.Module, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        Distillation(conv(1), teacher).check(IMAGES, test=IMAGES.select(torch.arange(5)))


@pytest.mark.parametrize("kind", [torch.float64, torch.float16])
def test_inputs_of_another_precision_are_told_with_the_remedy(kind: torch.dtype) -> None:
    inputs = torch.rand(20, 5, generator=torch.Generator().manual_seed(0)).to(kind)
    given = Items.from_tensors(inputs, torch.arange(20) % 2)
    said = rf"inputs are {str(kind).removeprefix('torch.')}, and its parameters are float32: hand over inputs\.float\(\)"
    with pytest.raises(ValueError, match=said):
        Distillation(nn.Linear(5, 2), nn.Linear(5, 2)).check(given)


def test_other_inputs_and_unusual_sizes_are_left_to_the_message_of_torch() -> None:
    assert accepted_images(nn.Sequential(nn.Flatten(), nn.Linear(17, 2)), IMAGES) is None
    vectors = Items.from_tensors(torch.rand(20, 5), torch.arange(20) % 2)
    assert accepted_images(nn.Linear(4, 2), vectors) is None
