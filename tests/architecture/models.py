"""Models of the recipes in `recipes/`, as a user's plugin: each function and class is `models.py:NAME`."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from limbeck.core.actors import Variant


class Generator(nn.Module):
    """Turns noise into grey images, [B, noise] → [B, 1, 8, 8] in [0, 1]."""

    def __init__(self, noise: int = 16) -> None:
        super().__init__()
        self.first, self.norm = nn.Linear(noise, 16 * 4 * 4), nn.BatchNorm1d(16 * 4 * 4)
        self.last = nn.Conv2d(16, 1, 3, padding=1)

    def forward(self, z: Tensor) -> Tensor:
        small = F.relu(self.norm(self.first(z))).view(-1, 16, 4, 4)
        return self.last(F.interpolate(small, scale_factor=2)).sigmoid()


class ElasticCNN(nn.Module):
    """A supernet for images of 8×8 pixels: the first channels of its layers are networks of their own."""

    def __init__(self, width: int = 16, classes: int = 10) -> None:
        super().__init__()
        self.width = width
        self.first, self.first_norm = nn.Conv2d(1, width, 3, padding=1, bias=False), nn.BatchNorm2d(width)
        self.second, self.second_norm = nn.Conv2d(width, width, 3, 2, 1, bias=False), nn.BatchNorm2d(width)
        self.linear = nn.Linear(width, classes)
        shares = {"max": 1, "half": 2, "min": 4}
        self.variants = {name: Variant(at_width(width // share), recalibrate=True) for name, share in shares.items()}

    def forward(self, x: Tensor, width: int | None = None) -> Tensor:
        width = width or self.width
        x = self._norm(self.first_norm, F.conv2d(x, self.first.weight[:width], padding=1))
        x = self._norm(self.second_norm, F.conv2d(x, self.second.weight[:width, :width], stride=2, padding=1))
        return F.linear(x.mean((2, 3)), self.linear.weight[:, :width], self.linear.bias)

    def _norm(self, norm: nn.BatchNorm2d, x: Tensor) -> Tensor:
        width = x.shape[1]
        scale, shift = norm.weight[:width], norm.bias[:width]
        mean, variance = norm.running_mean[:width], norm.running_var[:width]
        return F.relu(F.batch_norm(x, mean, variance, scale, shift, self.training, norm.momentum or 0.0))


class at_width:  # noqa: N801  called like a function, and saved and copied with its model
    """Runs the first channels of a supernet."""

    def __init__(self, width: int) -> None:
        self.width = width

    def __call__(self, model: nn.Module, inputs: Tensor, generator: object) -> Tensor:
        return model(inputs, self.width)
