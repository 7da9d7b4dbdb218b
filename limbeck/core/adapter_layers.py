"""Layers of adapters that change the layout of a signal."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn


class Resize(nn.Module):
    """Maps [B, C, H, W] to another height and width: average pooling to shrink, bilinear interpolation to grow."""

    def __init__(self, size: tuple[int, int]) -> None:
        super().__init__()
        self.size = size

    def forward(self, x: Tensor) -> Tensor:
        if x.shape[2] >= self.size[0] and x.shape[3] >= self.size[1]:
            return F.adaptive_avg_pool2d(x, self.size)
        return F.interpolate(x, self.size, mode="bilinear", align_corners=False)

    def extra_repr(self) -> str:
        return f"size={self.size}"


class MapToTokens(nn.Module):
    """[B, C, H, W] → [B, H·W, C]."""

    def forward(self, x: Tensor) -> Tensor:
        return x.flatten(2).transpose(1, 2)


class TokensToMap(nn.Module):
    """[B, prefix + S·S, D] → [B, D, S, S]; prefix tokens (a class token) are dropped."""

    def __init__(self, prefix: int, side: int) -> None:
        super().__init__()
        self.prefix, self.side = prefix, side

    def forward(self, x: Tensor) -> Tensor:
        patches = x[:, self.prefix :].transpose(1, 2)
        return patches.reshape(*patches.shape[:2], self.side, self.side)


class DropPrefix(nn.Module):
    """[..., prefix + T, D] → [..., T, D]: tokens, or the queries, keys or values of several heads."""

    def __init__(self, prefix: int) -> None:
        super().__init__()
        self.prefix = prefix

    def forward(self, x: Tensor) -> Tensor:
        return x[..., self.prefix :, :]


class PoolMap(nn.Module):
    """[B, C, H, W] → [B, C], the mean over positions."""

    def forward(self, x: Tensor) -> Tensor:
        return x.mean((2, 3))
