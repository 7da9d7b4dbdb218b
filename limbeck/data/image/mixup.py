"""Mixup and CutMix. Partners are drawn from the data set by key, so mixed images are as reproducible as any other view."""

from __future__ import annotations

import math
from typing import ClassVar

import torch
from torch import Tensor
from torch.nn import functional as F

from limbeck.data.image.decode import Box
from limbeck.data.image.geometry import box_mask
from limbeck.data.image.transform import MixTransform, to_float, transforms
from limbeck.data.keyed_random import KeyedGenerator
from limbeck.utils.finite import require_finite


@transforms.register(
    "mixup",
    cite="""
        @inproceedings{zhang2018mixup,
            title = {mixup: Beyond Empirical Risk Minimization},
            author = {Zhang, Hongyi and Cisse, Moustapha and Dauphin, Yann N. and Lopez-Paz, David},
            booktitle = {International Conference on Learning Representations},
            year = {2018},
            eprint = {1710.09412},
            archiveprefix = {arXiv},
        }
    """,
)
class Mixup(MixTransform):
    """λ · item + (1 − λ) · partner, with λ ~ Beta(α, α) for each item.

    Source: Zhang et al. 2018, mixup (arXiv:1710.09412).
    """

    name: ClassVar[str] = "mixup"

    def __init__(self, alpha: float = 0.2) -> None:
        self.alpha = _positive(alpha)

    def __call__(self, images: Tensor, partners: Tensor, generator: KeyedGenerator) -> tuple[Tensor, Tensor]:
        share = torch.tensor(beta_quantiles(self.alpha, generator.uniform(1)[:, 0]), dtype=torch.float32, device=images.device)
        by_item = share[:, None, None, None]
        return to_float(images) * by_item + to_float(partners) * (1 - by_item), share


@transforms.register(
    "cutmix",
    cite="""
        @inproceedings{yun2019cutmix,
            title = {{CutMix}: Regularization Strategy to Train Strong Classifiers with Localizable Features},
            author = {Yun, Sangdoo and Han, Dongyoon and Oh, Seong Joon and Chun, Sanghyuk and Choe, Junsuk and Yoo, Youngjoon},
            booktitle = {Proceedings of the IEEE/CVF International Conference on Computer Vision},
            year = {2019},
            eprint = {1905.04899},
            archiveprefix = {arXiv},
        }
    """,
)
class CutMix(MixTransform):
    """Pastes a box of the partner over the item; the box covers a share 1 − λ of the image, with λ ~ Beta(α, α).

    A box whose centre is near an edge is cut off there. The returned share counts the pixels that were pasted.

    Source: Yun et al. 2019, CutMix (arXiv:1905.04899).
    """

    name: ClassVar[str] = "cutmix"

    def __init__(self, alpha: float = 1.0) -> None:
        self.alpha = _positive(alpha)

    def __call__(self, images: Tensor, partners: Tensor, generator: KeyedGenerator) -> tuple[Tensor, Tensor]:
        height, width = images.shape[2:]
        drawn = generator.uniform(3)
        boxes = torch.tensor(
            [
                _centred_box(math.sqrt(1 - share), y, x, height, width)
                for share, (y, x) in zip(beta_quantiles(self.alpha, drawn[:, 0]), drawn[:, 1:].tolist(), strict=True)
            ],
            device=images.device,
        )
        pasted = box_mask(boxes[:, :2], boxes[:, 2:], height, width)
        share = 1 - pasted.sum(dim=(1, 2)).double() / (height * width)
        return torch.where(pasted[:, None], to_float(partners), to_float(images)), share.float()


def beta_quantiles(alpha: float, uniform: Tensor) -> list[float]:
    """Beta(α, α) numbers from uniform ones `[B]`: the inverse distribution function, in double precision item by item."""
    from scipy.special import betaincinv  # imported here: few runs mix, and the import takes long

    return [float(betaincinv(alpha, alpha, number + 2.0**-25)) for number in uniform.tolist()]


def mix_targets(own: Tensor, other: Tensor, share: Tensor, classes: int) -> Tensor:
    """λ · own + (1 − λ) · other as class probabilities; zeros (no label) if either of the two is unlabelled."""
    own, other = _probabilities(own, classes), _probabilities(other, classes)
    labelled = (own.amax(1, keepdim=True) > 0) & (other.amax(1, keepdim=True) > 0)
    share = share[:, None]
    return torch.where(labelled, own * share + other * (1 - share), torch.zeros_like(own))


def _probabilities(target: Tensor, classes: int) -> Tensor:
    if target.ndim == 2:
        return target
    labelled = (target >= 0)[:, None]
    return F.one_hot(target.clamp(min=0), classes).float() * labelled


def _centred_box(side: float, y: float, x: float, height: int, width: int) -> Box:
    box_height, box_width = int(height * side), int(width * side)
    return int(y * height) - box_height // 2, int(x * width) - box_width // 2, box_height, box_width


def _positive(alpha: float) -> float:
    require_finite("mixup", {"alpha": alpha})
    if alpha <= 0:
        raise ValueError(f"alpha={alpha}: expected a number above 0")
    return alpha
