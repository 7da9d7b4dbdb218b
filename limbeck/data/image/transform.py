"""Base classes of image transforms, and their registry.

A transform returns the same tensor bit for bit for the same (item, seed, view number), whatever else is in the batch. It
therefore uses gathers and separate elementwise multiplications and additions only: each is rounded correctly, so vectorised
loops and their scalar remainders agree. Sums are sums of integers. Logarithms, roots and the like are computed in double
precision, one item at a time.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

import torch
from torch import Tensor

from limbeck.core.batch import Target
from limbeck.data.image.affine import Affine, Size
from limbeck.data.keyed_random import KeyedGenerator
from limbeck.utils.registry import Registry

if TYPE_CHECKING:
    from limbeck.data.image.storage import OriginalImages

transforms = Registry("transform")


class Transform(ABC):
    """Changes images `[B, C, H, W]`, uint8 or float32 in [0, 1]. A transform that only moves pixels may keep uint8.

    Attributes:
        modality: the kind of inputs that it changes; those of other kinds are registered here too.
        in_place: whether all pixels stay where they are, so that boxes and masks do not move.
        reads_originals: whether `crop_originals` reads images before they are resized, if no transform comes before.
    """

    name: ClassVar[str]
    modality: ClassVar[str] = "image"
    in_place: ClassVar[bool] = False
    reads_originals: ClassVar[bool] = False

    @abstractmethod
    def __call__(self, images: Tensor, generator: KeyedGenerator) -> Tensor:
        """The transformed images."""

    def crop_originals(self, originals: OriginalImages, generator: KeyedGenerator) -> Tensor:
        """The transformed images, from those that are not resized yet; uint8."""
        raise NotImplementedError

    def affine(self, size: Size, generator: KeyedGenerator) -> Affine:
        """Where `__call__` moves the pixels of images of this size, from the same generator.

        Raises:
            ValueError: the transform does not say; targets with boxes, points or masks cannot follow it.
        """
        if not self.in_place:
            raise ValueError(
                f"{self.name}: it does not say where pixels move, which the boxes, points or masks of the target need; "
                "implement affine(), or set in_place = True"
            )
        return Affine.identity(len(generator.keys), size)


class MixTransform(ABC):
    """Mixes each image with an image of another item, its partner."""

    name: ClassVar[str]
    modality: ClassVar[str] = "image"

    @abstractmethod
    def __call__(self, images: Tensor, partners: Tensor, generator: KeyedGenerator) -> tuple[Tensor, Tensor]:
        """The mixed images, and the share λ of each that is the item itself, float32 `[B]`."""

    def draw(self, generator: KeyedGenerator, pool: PartnerPool, target: Target | None) -> Tensor:
        """The rows of the partners in the data set, int64 `[B]`; by default any.

        Args:
            generator: the random numbers, by the keys of the items.
            pool: the data set.
            target: of the items.
        """
        return generator.integers(1, len(pool))[:, 0]


class PartnerPool(Protocol):
    """The data set that partners are drawn from, such as `Items`."""

    @property
    def keys(self) -> Tensor: ...
    @property
    def target(self) -> Target | None: ...
    @property
    def classes(self) -> int | None: ...
    def __len__(self) -> int: ...
    def fetch(self, rows: Tensor) -> Any: ...
    def originals(self, rows: Tensor) -> Any: ...


def to_float(images: Tensor) -> Tensor:
    """uint8 as float32 in [0, 1]; tensors of other data types are returned as they are."""
    return images.to(torch.float32).div_(255) if images.dtype == torch.uint8 else images


def check_fraction(name: str, value: float) -> float:
    """Returns `value`; raises if it is not between 0 and 1."""
    if not 0 <= value <= 1:
        raise ValueError(f"{name}={value}: expected a number from 0 to 1")
    return value
