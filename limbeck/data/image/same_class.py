"""Another image of the same class in place of each image."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor

from limbeck.core.batch import Target
from limbeck.core.labels import is_labelled, single_target
from limbeck.data.image.transform import MixTransform, PartnerPool, transforms
from limbeck.data.keyed_random import KeyedGenerator

YUN_2020 = """
    @inproceedings{yun2020regularizing,
        title = {Regularizing Class-wise Predictions via Self-knowledge Distillation},
        author = {Yun, Sukmin and Park, Jongjin and Lee, Kimin and Shin, Jinwoo},
        booktitle = {Conference on Computer Vision and Pattern Recognition},
        year = {2020},
        eprint = {2003.13964},
        archiveprefix = {arXiv},
    }
"""


@transforms.register("same_class", cite=YUN_2020)
class SameClass(MixTransform):
    """Replaces each image by one of another item of its class, drawn anew for each view; first in a list of transforms.

    A second view of this kind pairs the items of a class (CS-KD, 2003.13964): `{default: […], partner: [same_class, …]}`. An
    item without a label, or alone in its class, is paired with itself.

    Raises:
        ValueError: targets that are not one class for each item.
    """

    name: ClassVar[str] = "same_class"

    def __init__(self) -> None:
        self._pool: PartnerPool | None = None  # whose rows are sorted by class in `_order`
        self._order = self._starts = self._by_key = torch.empty(0, dtype=torch.long)

    def __call__(self, images: Tensor, partners: Tensor, generator: KeyedGenerator) -> tuple[Tensor, Tensor]:
        return partners, torch.zeros(len(images), device=images.device)

    def draw(self, generator: KeyedGenerator, pool: PartnerPool, target: Target | None) -> Tensor:
        labels = _classes(target)
        self._sort(pool)
        known = labels >= 0
        first, last = self._starts[labels.clamp(min=0)], self._starts[labels.clamp(min=0) + 1]
        size = (last - first).clamp(min=1)
        place = (generator.uniform(1)[:, 0].double() * size).long()
        first = torch.where(known, first, 0)
        rows = self._order[first + place]
        own = pool.keys[rows] == generator.keys  # the item itself: the next of its class takes its place
        rows = torch.where(own, self._order[first + (place + 1) % size], rows)
        itself = torch.searchsorted(pool.keys[self._by_key], generator.keys).clamp(max=len(pool) - 1)
        return torch.where(known, rows, self._by_key[itself])

    def _sort(self, pool: PartnerPool) -> None:
        """Sorts the rows of the data set by class and by key, once."""
        if pool is self._pool:
            return
        labels = _classes(pool.target)
        self._order = torch.argsort(labels, stable=True)
        counts = torch.bincount(labels + 1)  # those without a label come first
        self._starts = counts.cumsum(0)
        self._by_key = torch.argsort(pool.keys)
        self._pool = pool


def _classes(target: Target | None) -> Tensor:
    """The class of each item, −1 without a label."""
    one = single_target(target, "same_class")
    if one.ndim == 2 and one.is_floating_point():
        return torch.where(is_labelled(one), one.argmax(-1), -1)
    if one.ndim != 1 or one.is_floating_point():
        raise ValueError(f"same_class: needs one class for each item; the target has shape {tuple(one.shape)}, {one.dtype}")
    return torch.where(is_labelled(one), one, -1)
