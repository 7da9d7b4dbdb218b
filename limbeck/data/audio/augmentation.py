"""Transforms of spectrograms, `[B, 1, n_mels, frames]` in [0, 1], keyed by item and view like those of images."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor

from limbeck.data.image.transform import Transform, check_fraction, transforms
from limbeck.data.keyed_random import KeyedGenerator

SPECAUGMENT = """
    @inproceedings{park2019specaugment,
        title = {SpecAugment: A Simple Data Augmentation Method for Automatic Speech Recognition},
        author = {Park, Daniel S. and Chan, William and Zhang, Yu and Chiu, Chung-Cheng and Zoph, Barret and Cubuk, Ekin D. and
            Le, Quoc V.},
        booktitle = {Interspeech},
        year = {2019},
        eprint = {1904.08779},
        archiveprefix = {arXiv},
    }
"""


@transforms.register("noise")
class Noise(Transform):
    """Adds uniform noise from [−strength, strength] to every value; results stay in [0, 1]."""

    name: ClassVar[str] = "noise"
    modality: ClassVar[str] = "audio"

    def __init__(self, strength: float = 0.1) -> None:
        self.strength = check_fraction("strength", strength)

    def __call__(self, images: Tensor, generator: KeyedGenerator) -> Tensor:
        drawn = generator.uniform(images[0].numel()).view_as(images)
        return (images + (drawn * (2 * self.strength) - self.strength)).clamp_(0, 1)


@transforms.register("time_shift")
class TimeShift(Transform):
    """Moves a sound by up to `share` of its length in either direction; what is moved out leaves silence at the other end."""

    name: ClassVar[str] = "time_shift"
    modality: ClassVar[str] = "audio"

    def __init__(self, share: float = 0.1) -> None:
        self.share = check_fraction("share", share)

    def __call__(self, images: Tensor, generator: KeyedGenerator) -> Tensor:
        frames = images.shape[-1]
        most = int(frames * self.share)
        start = torch.arange(frames, device=images.device) + (generator.integers(1, 2 * most + 1) - most)  # [B, frames]
        outside = (start < 0) | (start >= frames)
        index = start.clamp(0, frames - 1)[:, None, None].expand_as(images)
        return images.gather(-1, index).masked_fill(outside[:, None, None], 0.0)


class _Mask(Transform):
    """Silences a band of random place and width along one axis."""

    modality: ClassVar[str] = "audio"
    axis: ClassVar[int]

    def __init__(self, share: float = 0.15) -> None:
        self.share = check_fraction("share", share)

    def __call__(self, images: Tensor, generator: KeyedGenerator) -> Tensor:
        size = images.shape[self.axis]
        widest = int(size * self.share)
        drawn = generator.uniform(2)
        width = (drawn[:, :1] * (widest + 1)).long()
        start = (drawn[:, 1:] * (size - width + 1)).long()
        places = torch.arange(size, device=images.device)
        masked = (places >= start) & (places < start + width)  # [B, size]
        return images.masked_fill(masked[:, None, None] if self.axis == 3 else masked[:, None, :, None], 0.0)


@transforms.register("time_mask", cite=SPECAUGMENT)
class TimeMask(_Mask):
    """Silences a stretch of at most `share` of the frames (SpecAugment, Park et al. 2019, arXiv 1904.08779)."""

    name: ClassVar[str] = "time_mask"
    axis: ClassVar[int] = 3


@transforms.register("frequency_mask", cite=SPECAUGMENT)
class FrequencyMask(_Mask):
    """Silences a band of at most `share` of the mel bands (SpecAugment, Park et al. 2019, arXiv 1904.08779)."""

    name: ClassVar[str] = "frequency_mask"
    axis: ClassVar[int] = 2
