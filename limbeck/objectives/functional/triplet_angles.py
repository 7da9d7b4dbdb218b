"""Angles between all triplets of items, from the N×N products alone.

With G = XXᵀ of the centred items, ⟨x_j − x_i, x_k − x_i⟩ = G_jk − G_ij − G_ik + G_ii. The N³ cosines are computed for a few
anchors i at a time, and again in the backward pass, so that memory is O(N²) and time does not grow with N³·D.

Differences of products lose digits if two items nearly coincide. The products are therefore computed in float64, in which
distinct float32 items remain distinct.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

CHUNK = {"cpu": 2**15}  # cosines at a time: about a core's cache
CHUNK_ELSEWHERE = 2**22  # accelerators need few, large kernels


def angle_losses(student: Tensor, teacher: Tensor) -> Tensor:
    """mean_jk Huber(cos_ijk of student [N, D] − cos_ijk of teacher [N, D']) for each anchor i: [N]."""
    losses: Tensor = _AngleLosses.apply(_products(student), _products(teacher))  # type: ignore[no-untyped-call]
    return losses.to(student.dtype)


def _products(x: Tensor) -> Tensor:
    precise = x if x.device.type == "mps" else x.double()  # mps has no float64
    centred = precise - precise.mean(0)
    return centred @ centred.mT


class _AngleLosses(torch.autograd.Function):
    """Losses [N] from the two matrices of products."""

    @staticmethod
    def forward(ctx: Any, student: Tensor, teacher: Tensor) -> Tensor:
        ctx.save_for_backward(student, teacher)
        losses = student.new_empty(len(student))
        sides = _Side(student), _Side(teacher)
        for anchors in _chunks(student):
            difference, slope, _ = _compare(sides, anchors)
            losses[anchors] = slope.mul_(difference.sub_(slope, alpha=0.5)).sum((1, 2))  # Huber(d) = slope·(d − slope/2)
        return losses / len(student) ** 2

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        products = ctx.saved_tensors
        sides = _Side(products[0]), _Side(products[1])
        gradient = gradient / len(gradient) ** 2
        for anchors in _chunks(gradient):
            _, slope, cosines = _compare(sides, anchors)
            slope *= gradient[anchors, None, None]
            for side, angles, needed in zip(sides, cosines, ctx.needs_input_grad, strict=True):
                if needed:
                    side.accumulate(anchors, slope, angles)
        signs = zip(sides, (1, -1), ctx.needs_input_grad, strict=True)  # the loss sees student minus teacher
        return tuple(sign * side.gradient() if needed else None for side, sign, needed in signs)


class _Side:
    """The products of one side, and the accumulated gradient with respect to them."""

    def __init__(self, products: Tensor) -> None:
        squares = products.diagonal()
        both = squares[:, None] + squares
        squared_distance = both - 2 * products
        same = squared_distance <= 4096 * torch.finfo(products.dtype).eps * both  # below this it is rounding error
        self.products = products
        self.scale = torch.where(same, 0.0, squared_distance.clamp_min(torch.finfo(products.dtype).tiny).rsqrt())
        self.offset = products - squares[:, None] / 2
        self.pairs = torch.zeros_like(products)  # gradients of G_jk, then of the terms of anchor i and item j
        self.inner = torch.zeros_like(products)
        self.squared = torch.zeros_like(products)

    def cosines(self, anchors: slice) -> Tensor:
        """The cosines [anchors, j, k]; zero if an item coincides with the anchor."""
        scale, offset = self.scale[anchors], self.offset[anchors]
        cosines = self.products - offset[:, :, None]
        cosines -= offset[:, None, :]
        cosines *= scale[:, :, None]
        cosines *= scale[:, None, :]
        return cosines

    def accumulate(self, anchors: slice, slope: Tensor, cosines: Tensor) -> None:
        """Adds the gradient of the products, given that of the cosines, `slope`, which is symmetric in j and k."""
        scale = self.scale[anchors]
        self.squared[anchors] = -scale.square() * (slope * cosines).sum(2)
        weights = slope * scale[:, :, None]
        weights *= scale[:, None, :]
        self.inner[anchors] = weights.sum(2)
        self.pairs += weights.sum(0)

    def gradient(self) -> Tensor:
        """The gradient through cos = (G_jk − G_ij − G_ik + G_ii) / (d_ij d_ik) and d_ij² = G_ii + G_jj − 2 G_ij."""
        anchored = self.inner + self.squared
        diagonal = anchored.sum(1) + self.squared.sum(0)
        return self.pairs - 2 * anchored + diagonal.diag()


def _compare(sides: tuple[_Side, _Side], anchors: slice) -> tuple[Tensor, Tensor, tuple[Tensor, Tensor]]:
    """Difference of the cosines, the slope of its Huber loss (the difference clamped to [−1, 1]), and the cosines."""
    ours, theirs = (side.cosines(anchors) for side in sides)
    difference = ours - theirs
    return difference, difference.clamp(-1, 1), (ours, theirs)


def _chunks(items: Tensor) -> Iterator[slice]:
    count = len(items)
    step = max(1, CHUNK.get(items.device.type, CHUNK_ELSEWHERE) // count**2)
    return (slice(start, start + step) for start in range(0, count, step))
